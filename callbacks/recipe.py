"""A list of callbacks from a YAML file, and the JSON schema of such files."""

import difflib
import inspect
import os
import re
import types
import typing

from keras_dlopt import callbacks
from keras_dlopt.arguments import invalid
from keras_dlopt.callbacks.callback import Callback

_JSON = {bool: "boolean", int: "integer", float: "number", str: "string", tuple: "array", list: "array", dict: "object"}


def from_recipe(path):
    """The callbacks that a YAML file lists, for `model.fit(callbacks=...)`.

    Each entry is a name in `keras_dlopt.callbacks`, or one with the constructor's arguments below it. What takes an
    object, such as a schedule, takes what Keras's `serialize_keras_object` gives.

    Args:
        path: the file: `callbacks: [...]`.

    Returns:
        A list of callbacks.

    Raises:
        ValueError: naming the line, if the file is none, a name or an argument is unknown or missing, or a value is
            none that the argument takes.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "recipe.yaml"
    >>> _ = path.write_text('''
    ... callbacks:
    ...   - OneCycle: {peak: 0.1}
    ...   - Prune:
    ...       sparsity: 0.8
    ...       skip: [logits]
    ... ''')
    >>> [type(callback).__name__ for callback in from_recipe(path)]
    ['OneCycle', 'Prune']
    """
    path = os.fspath(path)
    content, lines = _read(path)
    if not isinstance(content, dict) or list(content) != ["callbacks"] or not isinstance(content["callbacks"], list):
        raise ValueError(f"{path}: a recipe is `callbacks: [...]` and nothing else.")
    entries = zip(content["callbacks"], lines(), strict=True)
    return [_make(f"{path}, line {line}", entry) for entry, line in entries]


def _read(path):
    """What the file holds, and a function that returns the lines on which the entries of its only list begin."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Takes 1e-3 for a number, which YAML 1.1 does not."""

    number = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        content, root = yaml.load(text, Loader), yaml.compose(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    return content, lambda: [node.start_mark.line + 1 for node in root.value[-1][1].value]


def _make(where, entry):
    name, given = next(iter(entry.items())) if isinstance(entry, dict) and len(entry) == 1 else (entry, None)
    given = {} if given is None else given
    kinds = _kinds()
    if not isinstance(name, str) or not isinstance(given, dict):
        raise ValueError(f"{where} is neither a name nor `Name: {{argument: value}}`. Received: {entry!r}")
    if name not in kinds:
        near = difflib.get_close_matches(name, kinds, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f", one of {', '.join(kinds)}"
        raise ValueError(f"{where}: {name!r} is no callback of keras_dlopt{hint}")
    known = inspect.signature(kinds[name]).parameters
    for argument in given:
        if argument not in known:
            raise ValueError(f"{where}: " + str(invalid(name, argument, given[argument], f"one of {', '.join(known)}")))
    missing = [argument for argument in _needed(kinds[name]) if argument not in given]
    if missing:
        raise ValueError(f"{where}: `{name}` needs {', '.join(missing)}.")
    try:
        return kinds[name].from_config(given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error


def recipe_schema():
    """The JSON schema of a recipe, made from the constructors' signatures."""
    entries = [name for name, kind in _kinds().items() if not _needed(kind)]
    named = [
        {"type": "object", "properties": {name: _arguments(kind)}, "required": [name], "additionalProperties": False}
        for name, kind in _kinds().items()
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"callbacks": {"type": "array", "items": {"anyOf": [{"enum": entries}, *named]}}},
        "required": ["callbacks"],
        "additionalProperties": False,
    }


def _kinds():
    """Name -> class, of all that a recipe can list."""
    found = {name: getattr(callbacks, name) for name in callbacks.__all__}
    bases = (Callback, callbacks.ScheduleCallback)
    return {n: k for n, k in found.items() if isinstance(k, type) and issubclass(k, Callback) and k not in bases}


def _needed(kind):
    parameters = inspect.signature(kind).parameters
    return [name for name, parameter in parameters.items() if parameter.default is inspect.Parameter.empty]


def _arguments(kind):
    properties = {name: _property(p) for name, p in inspect.signature(kind).parameters.items()}
    allowed = ["object"] if _needed(kind) else ["object", "null"]
    return {"type": allowed, "properties": properties, "required": _needed(kind), "additionalProperties": False}


def _property(parameter):
    """What the annotation says of the type, if there is one, and the default."""
    found = {}
    names = _types(parameter.annotation)
    if names:
        found["type"] = sorted(names)
    if parameter.default is not inspect.Parameter.empty:
        default = parameter.default
        found["default"] = list(default) if isinstance(default, tuple) else default
    return found


def _types(hint):
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return set().union(*map(_types, typing.get_args(hint)))
    if hint is type(None):
        return {"null"}
    kind = typing.get_origin(hint) or hint
    return {_JSON.get(kind, "object")} if isinstance(kind, type) and kind is not inspect.Parameter.empty else set()
