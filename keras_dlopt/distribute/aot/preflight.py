"""`preflight`: a model's steps through the TPU compiler, and what follows from its answers."""

import contextlib
import re
import warnings

import keras

from keras_dlopt import tpu_configs
from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.distribute.aot import example, largest
from keras_dlopt.distribute.aot.compiler import Compiler
from keras_dlopt.distribute.aot.program import ROLES, Finding, Places, Program
from keras_dlopt.distribute.aot.report import GIB, Comparison, Report, Step, asked_for
from keras_dlopt.step import observers
from keras_dlopt.step.model_state import ModelState


def preflight(
    model,
    batch,
    topology="v5e-8",
    *,
    data=None,
    callbacks=(),
    find_batch=False,
    compare=None,
    predict=True,
    compiler=None,
    progress=True,
):
    """Compiles a model's training and prediction for a TPU, without one, and says what they would need there.

    The steps that `fit` and `predict` run are lowered by the model's own backend and compiled by Google's TPU compiler,
    which the package libtpu holds, in a process of its own. On the JAX backend the program is sharded over the whole
    slice, the batch over all devices and the state on each. On TensorFlow it is what one replica of a TPUStrategy runs,
    with its share of the batch and without the exchange of gradients. Nothing is trained: weights stay as they are.

    **Nothing runs on a TPU.** That it compiles, and the memory, are the compiler's word. Times are estimates from the
    roofline, the longer of FLOPs / peak and bytes / bandwidth: a bound that real steps do not reach.

    Args:
        model: a compiled `keras.Model`. Its optimizer, loss and metrics are part of the step.
        batch: the global batch, a multiple of the slice's devices.
        topology: name of a slice, such as "v5e-8" (`keras-dlopt tpu list` shows all).
        data: a batch of any size, as `fit` gets it: (x, y) or (x, y, sample_weight). Only shapes and dtypes count. By
            default they come from the model's inputs and its loss; needed where these do not tell.
        callbacks: callbacks that bring something into the step, such as `Prune`; `RecordOptimizer` with the step that
            records. Their `on_train_begin` and `on_train_end` are called; afterwards weights and optimizer state are
            put back.
        find_batch: whether to look for the largest batch that fits, starting from `batch`. It is a multiple of 8
            examples a device, or of one where 8 do not fit.
        compare: names of slices to compile for instead of `topology`.
        predict: whether to compile the prediction as well.
        compiler: a `Compiler` whose process is to be used; by default one is started for this call.
        progress: whether to show what is being compiled, when `compiler` is not given.

    Returns:
        A `Report`; with `compare`, a `Comparison` of them. A step that does not compile is no exception: its
        `Step.compiles` is False, and `print(report)` says why.

    Raises:
        ValueError: for a model that was never compiled, a slice that is unknown or not for this backend, a batch that
            cannot be split; on TensorFlow for a model of several replicas, or inside `strategy.scope()`.
        ImportError: without libtpu and jax: `pip install "keras-dlopt[tpu]"`.

    Example:

        report = distribute.preflight(model, batch=1024, topology="v5e-8")
        print(report)
        report.train.hbm_used / report.train.hbm_available
    """
    if not isinstance(model, keras.Model):
        raise invalid("preflight", "model", model, "a compiled keras.Model")
    if not model.compiled:
        raise ValueError(f'`preflight(model=...)` must be compiled: call `compile` on "{model.name}" first')
    check_number("preflight", "batch", batch, low=1, integer=True)
    if compare is None:
        slices = [_load("topology", topology)]
    elif isinstance(compare, list | tuple) and compare:
        slices = [_load("compare", name) for name in compare]
    else:
        raise invalid("preflight", "compare", compare, "a list of slices, such as ['v5e-8', 'v6e-8']")
    for found in slices:
        if batch % found.compiler_devices:
            accepted = f"a multiple of the {found.compiler_devices} devices of {found.name}"
            raise invalid("preflight", "batch", batch, accepted)
    strategy_scope = _strategy_scope(model)
    shapes = example.shapes(model, data)
    with contextlib.ExitStack() as stack:
        if compiler is None:
            compiler = stack.enter_context(Compiler(progress))
        with strategy_scope:
            model._symbolic_build(data_batch=example.batch_of(shapes, batch))
        owners = stack.enter_context(_installed(model, list(callbacks)))
        flight = _Flight(model, shapes, Places(model, owners), compiler)
        steps = ("train", "predict") if predict else ("train",)
        if find_batch:
            reports = [largest.search(flight, batch, found, steps) for found in slices]
        else:
            reports = [flight.report(batch, found, steps) for found in slices]
    return reports[0] if compare is None else Comparison(reports)


def _load(argument, name):
    try:
        found = tpu_configs.load(name)
    except ValueError as error:
        message = str(error).replace("`load(name=...)`", f"`preflight({argument}=...)`")
        raise ValueError(message.replace("name=", f"{argument}=")) from None
    if keras.backend.backend() == "tensorflow" and "tf" not in found.frameworks:
        raise ValueError(f"`preflight({argument}=...)`: {found.name} runs JAX only: set KERAS_BACKEND=jax.")
    return found


def _strategy_scope(model):
    """Where the optimizer's variables are to be made: under the strategy that the model's were made under."""
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    strategy = model.distribute_strategy
    if tf.distribute.has_strategy() or strategy.num_replicas_in_sync > 1:
        raise ValueError(
            "`preflight` compiles what one replica runs, without a strategy: make the model outside "
            "`strategy.scope()` for a preflight, and call `preflight` outside it"
        )
    return strategy.scope()


class _Flight:
    """One model and what its steps are compiled with."""

    def __init__(self, model, shapes, places, compiler):
        self.model, self.shapes, self.places, self.compiler = model, shapes, places, compiler

    def report(self, batch, found, steps, **searched):
        """Compiles the steps for one slice."""
        made = {step: self.step(step, batch, found) for step in steps}
        backend, devices = keras.backend.backend(), found.compiler_devices
        predict = made.get("predict")
        return Report(self.model.name, backend, found.name, devices, batch, made["train"], predict, **searched)

    def step(self, step, batch, found):
        """Compiles one step for one slice."""
        program = self._lower(step, batch, found.compiler_devices)
        findings = tuple(dict.fromkeys(program.findings))
        chip = found.compiler_devices / found.chips
        figures = {
            "hbm_available": found.compiler_hbm_gib * GIB,
            "peak_flops": found.peak_bf16_tflops * 1e12 / chip,
            "bandwidth": found.bandwidth_gb_per_s * 1e9 / chip,
        }
        if program.module is None:
            return Step(step, False, findings[0].kind, str(findings[0]), findings, **figures)
        title = f"{self.model.name}: {step} step, batch {batch}, for {found.name}"
        answer = self.compiler.compile(program, found.topology, title)
        figures |= {"compile_seconds": answer["seconds"], "cached": answer["cached"]}
        if answer["error"]:
            message = answer["error"]
            place = self.places.of_name(" ".join(_named(message)))
            if place:
                findings += (Finding("operation", _named(message)[0], place, "the TPU compiler refuses it"),)
            return Step(step, False, message.split(":")[0], message, findings, hbm_used=asked_for(message), **figures)
        return Step(step, True, None, None, findings, **_figures(program, answer, self.places), **figures)

    def _lower(self, step, batch, devices):
        if keras.backend.backend() == "tensorflow":
            from keras_dlopt.distribute.aot import lower_tensorflow as backend

            size = batch // devices
        else:
            from keras_dlopt.distribute.aot import lower_jax as backend

            size = batch
        try:
            return backend.lower(self.model, step, example.batch_of(self.shapes, size), devices, self.places)
        except Exception as error:  # whatever the model's own code raises when it is traced
            words = " ".join(str(error).split())[:300]
            finding = Finding("error while tracing", type(error).__name__, self.places.of_exception(error), words)
            return Program(step, None, "", devices, [], [finding])


def _named(message):
    return re.findall(r'op_name="([^"]*)"', message)


def _figures(program, answer, places):
    memory = answer["memory"]
    hbm = dict.fromkeys(ROLES, 0)
    arguments = answer["arguments"]
    roles = program.roles if len(program.roles) == len(arguments) else ["other state"] * len(arguments)
    for role, size in zip(roles, arguments, strict=True):
        hbm[role] += size
    used = memory["peak_memory"]
    left = used - sum(hbm.values())
    temporaries = min(memory["temp_size"], left)
    hbm["activations"] = round(temporaries * answer["activations"])
    hbm["temporaries"] = temporaries - hbm["activations"]
    hbm["program"] = left - temporaries
    return {
        "hbm": hbm,
        "hbm_used": used,
        "flops": answer["flops"],
        "bytes_moved": answer["bytes"],
        "bytes_exchanged": answer["exchanged"],
        "loops": answer["loops"],
        "padding": answer["padding"] / max(answer["buffers"], 1),
        "wasteful": tuple(
            (text, *extents, lost, places.of_name(origin) or origin)
            for text, extents, lost, origin in answer["wasteful"]
        ),
    }


@contextlib.contextmanager
def _installed(model, callbacks):
    """The callbacks at work, as in `fit`, and everything as it was afterwards; yields who owns what in the step."""
    saved = ModelState(model) if callbacks else None
    owners, begun, stack = [], [], contextlib.ExitStack()
    try:
        for callback in callbacks:
            before = observers(model.optimizer)
            callback.set_params({"epochs": 1, "steps": 100_000, "verbose": 0})
            callback.set_model(model)
            callback.on_train_begin()
            begun.append(callback)
            called = f"callback {type(callback).__name__}"
            owners += [(callback, called)]
            owners += [(observer, called) for observer in observers(model.optimizer) if observer not in before]
        for callback in callbacks:
            if hasattr(callback, "in_step"):
                observer = stack.enter_context(callback.in_step())
                owners.append((observer, f"callback {type(callback).__name__}"))
        named = [owner for owner, _ in owners]
        owners += [(o, f"observer {type(o).__name__}") for o in observers(model.optimizer) if o not in named]
        yield owners
    finally:
        stack.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the run was too short
            for callback in begun:
                callback.on_train_end()
        if saved is not None:
            saved.put_back()
