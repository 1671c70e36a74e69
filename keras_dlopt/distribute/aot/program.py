"""What goes to the compiler, and where in the model an operation comes from."""

import dataclasses
import inspect
import os
import re

# What an entry of the compiled program holds; activations, temporaries and code come from the compiler.
ROLES = ("parameters", "optimizer state", "other state", "inputs")

_LIBRARIES = tuple(f"{os.sep}{name}{os.sep}" for name in ("tensorflow", "keras", "jax", "optree", "tf_keras"))


@dataclasses.dataclass(frozen=True)
class Finding:
    """An operation that a TPU does not like.

    Attributes:
        kind: "host operation", "dynamic shape" or "error while tracing".
        operation: its name.
        where: the layer or callback, and the line, that brings it in.
        advice: what to do.
    """

    kind: str
    operation: str
    where: str
    advice: str

    def __str__(self):
        return f"{self.kind} {self.operation} in {self.where}: {self.advice}"


@dataclasses.dataclass(frozen=True)
class Program:
    """One compiled step as the backend lowers it.

    Attributes:
        step: "train" or "predict".
        module: the program in StableHLO, as text or bytecode; None if the backend cannot make it.
        key: text that is the same for the same program, whatever the run.
        partitions: over how many devices it is sharded.
        roles: for each argument of the program, one of `ROLES`.
        findings: operations that a TPU does not like.
    """

    step: str
    module: bytes | None
    key: str
    partitions: int
    roles: list[str]
    findings: list[Finding]


class Places:
    """Finds the layer, callback or line that an operation comes from.

    Args:
        model: the model whose step was traced.
        owners: pairs (object, what to call it) of whatever else runs inside the step: observers, callbacks.
    """

    def __init__(self, model, owners=()):
        self.layers = {layer.name: layer for layer in model._flatten_layers(include_self=False)}
        self.model = model
        self.owners = list(owners)

    def of_operation(self, name, frames):
        """Of an operation's name with its scopes, and its frames (file, line, function), the innermost last."""
        line = next((frame for frame in reversed(frames) if _is_users(frame[0])), None)
        at = f" ({os.path.basename(line[0])}:{line[1]}, in {line[2]})" if line else ""
        return (self._owner(frames) or self.of_name(name) or "the train step") + at

    def of_name(self, name):
        """The layer in whose scope an operation is, the innermost first, or None."""
        for part in reversed(re.split(r"[/()]", name)):
            for candidate in (part, re.sub(r"_\d+$", "", part)):
                if candidate in self.layers:
                    layer = self.layers[candidate]
                    return f'layer "{layer.name}" ({type(layer).__name__})'
        if self.model.optimizer is not None and f"{self.model.optimizer.name}/" in name:
            return f"optimizer {type(self.model.optimizer).__name__}"
        return None

    def of_exception(self, error):
        """Where an exception of the tracing came from."""
        frames, holders, trace = [], [], error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append((code.co_filename, trace.tb_lineno, code.co_name))
            holders.append(trace.tb_frame.f_locals.get("self"))
            trace = trace.tb_next
        names = {id(layer): name for name, layer in self.layers.items()}
        scope = next((names[id(holder)] for holder in reversed(holders) if id(holder) in names), "")
        return self.of_operation(scope, frames)

    def _owner(self, frames):
        for owner, called in self.owners:
            try:
                file, (lines, start) = inspect.getsourcefile(type(owner)), inspect.getsourcelines(type(owner))
            except (OSError, TypeError):  # made in a shell
                continue
            if any(frame[0] == file and start <= frame[1] < start + len(lines) for frame in frames):
                return called
        return None


def _is_users(file):
    return not file.startswith("<") and not any(library in file for library in _LIBRARIES)
