"""A step on the TensorFlow backend as StableHLO: what one replica of a TPUStrategy runs."""

import re

import tensorflow as tf
from keras import tree

from keras_dlopt.distribute.aot.program import Finding, Program

_HOST = re.compile(r"(Eager)?PyFunc.*|Print.*|Write\w*Summary|(Read|Write)File|(Save|Restore)V2|.*LookupTable.*")
_DYNAMIC = {"Where", "Unique", "UniqueV2", "UniqueWithCounts", "UniqueWithCountsV2", "ListDiff", "SetDiff1d"}
_HOST_ADVICE = "TPUStrategy has no host inside the step: take it out, or do it in a callback between the steps"
_DYNAMIC_ADVICE = "a TPU needs every size when it compiles: keep the shape and mask values instead, as with `where`"


def lower(model, step, batch, devices, places):
    """The program of one device.

    Args:
        model: a compiled model, built.
        step: "train" or "predict".
        batch: symbolic tensors of one device's batch.
        devices: not used: TensorFlow lowers one replica, without what the replicas exchange.
        places: finds where operations come from.
    """
    signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tree.flatten(batch) if tensor is not None]
    method = model.train_step if step == "train" else model.predict_step

    def call(*tensors):
        given = iter(tensors)
        return method(tree.map_structure(lambda tensor: None if tensor is None else next(given), batch))

    function = tf.function(call, jit_compile=True)
    concrete = function.get_concrete_function(*signature)
    operations = list(_operations(concrete.graph))
    findings = [finding for operation in operations for finding in _findings(operation, places)]
    module, key = None, ""
    if not any(finding.kind == "host operation" for finding in findings):
        try:
            module = function.experimental_get_compiler_ir(*signature)(stage="stablehlo")
        except (tf.errors.OpError, ValueError) as error:
            findings += _refused(error, {operation.name: operation for operation in operations}, places)
        else:
            key = re.sub(r" ?loc\((#loc\d*|\"[^\"]*\")\)|^#loc.*\n", "", module, flags=re.MULTILINE)
            key = re.sub(r"(@a_inference_\w+?)_\d+__\.\d+", r"\1", key, count=1)  # counts the process's functions
    state = _roles(model)
    roles = ["inputs"] * len(signature)
    roles += [state.get(id(captured), "other state") for captured in concrete.captured_inputs]
    return Program(step, module and module.encode(), key, 1, roles, findings)


def _roles(model):
    optimizer = model.optimizer.variables if model.optimizer is not None else []
    groups = {"parameters": model.variables, "optimizer state": optimizer}
    return {
        id(variable.value.handle): role
        for role, variables in groups.items()
        for variable in variables
        if hasattr(variable.value, "handle")
    }


def _operations(graph):
    yield from graph.get_operations()
    for function in graph._functions.values():  # bodies of loops and branches
        inner = getattr(function, "graph", None)
        if inner is not None:
            yield from inner.get_operations()


def _findings(operation, places):
    strings = any(tensor.dtype == tf.string for tensor in (*operation.inputs, *operation.outputs))
    if _HOST.fullmatch(operation.type) or (strings and operation.type not in ("Const", "Assert", "NoOp")):
        yield Finding("host operation", operation.type, _place(operation, places), _HOST_ADVICE)
    elif operation.type in _DYNAMIC:
        yield Finding("dynamic shape", operation.type, _place(operation, places), _DYNAMIC_ADVICE)


def _place(operation, places):
    frames = [(frame.filename, frame.lineno, frame.name) for frame in operation.traceback or ()]
    return places.of_operation(operation.name, frames)


def _refused(error, operations, places):
    """What TensorFlow's bridge to XLA has no kernel for."""
    message = error.message if isinstance(error, tf.errors.OpError) else str(error)
    for kind, name in re.findall(r"(\w+) \(No registered[^{]*\{\{node ([^}]*)\}\}", message):
        place = _place(operations[name], places) if name in operations else places.of_operation(name, [])
        yield Finding("operation without a TPU kernel", kind, place, "replace it by operations of keras.ops")
    if "{{node" not in message:
        first = " ".join(message.split())[:300]
        yield Finding("error while lowering", type(error).__name__, "the step", first)
