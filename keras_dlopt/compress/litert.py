"""Running LiteRT files: what is in one, what it answers, how fast it is next to another."""

import contextlib
import dataclasses
import math
import os
import pathlib
import re
import time

import ml_dtypes
import numpy as np

from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.extras import require

# Of constants that `contents` reads; int4 comes unpacked, a byte each.
DTYPES = ("float32", "float16", "int4", "int8", "int16", "int32", "int64")


def interpreter(file):
    """An allocated LiteRT interpreter with one thread and XNNPACK, for the path of a `.tflite` file or its bytes."""
    runtime = require("ai_edge_litert.interpreter")
    source = {"model_content": file} if isinstance(file, bytes) else {"model_path": os.fspath(file)}
    with quiet():
        made = runtime.Interpreter(**source, num_threads=1)
        made.allocate_tensors()
    return made


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a LiteRT file holds.

    Attributes:
        int8_tensors, float_tensors: names of the tensors of each kind, without the model's input and output.
        float_operations, int8_operations: kinds of the operations that compute in float32, and in integers alone.
        named_constants: the weights, as pairs (name, array): constants, except the whole numbers that say shapes and
            axes.
    """

    int8_tensors: list
    float_tensors: list
    float_operations: list
    int8_operations: list
    named_constants: list

    @property
    def constants(self):
        """The weights' arrays."""
        return [array for _, array in self.named_constants]


def contents(content):
    """Reads the bytes of a `.tflite` file."""
    schema = require("ai_edge_litert.schema_py_generated")
    kinds = {code: kind for kind, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    dtypes = {getattr(schema.TensorType, dtype.upper()): dtype for dtype in DTYPES}
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    found = Contents([], [], [], [], [])
    for graph in model.subgraphs:
        ends = {*graph.inputs, *graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            dtype = dtypes.get(tensor.type)
            if index not in ends and dtype in ("int8", "float32"):
                names = found.int8_tensors if dtype == "int8" else found.float_tensors
                names.append(tensor.name.decode())
            data = model.buffers[tensor.buffer].data
            scaled = tensor.quantization is not None and tensor.quantization.scale is not None
            if data is not None and dtype and (scaled or dtype not in ("int16", "int32", "int64")):
                found.named_constants.append((tensor.name.decode(), _array(bytes(data), dtype, tensor.shape)))
        for operator in graph.operators:
            kind = kinds[model.operatorCodes[operator.opcodeIndex].builtinCode]
            touched = {dtypes.get(graph.tensors[i].type) for i in [*operator.inputs, *operator.outputs] if i >= 0}
            if "float32" in touched and kind not in ("QUANTIZE", "DEQUANTIZE"):
                found.float_operations.append(kind)
            elif "int8" in touched:
                found.int8_operations.append(kind)
    return found


def _array(data, dtype, shape):
    if dtype != "int4":
        return np.frombuffer(data, dtype)
    packed = np.frombuffer(data, "uint8")
    halves = np.stack([packed & 15, packed >> 4], axis=-1).reshape(-1)[: math.prod(shape)]
    return ((halves ^ 8).astype("int8") - 8).astype(ml_dtypes.int4)


@contextlib.contextmanager
def quiet():
    """Keeps native chatter off the terminal; errors still arrive, as exceptions."""
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def run(file, inputs):
    """What a LiteRT model answers, row by row.

    Args:
        file: path of a `.tflite` file for one row at a time, as `export` writes; or its bytes.
        inputs: array of shape `(rows, ...)`, or a dict of these by the input's name. Where the file takes or gives int8
            for real numbers, its scales are applied.

    Returns:
        Array of shape `(rows, ...)`; of several outputs, a list: in the order of the model, or of the keys if it
        returns a dict.
    """
    model = interpreter(file)
    runner = model.get_signature_runner()
    sources, targets = runner.get_input_details(), runner.get_output_details()
    named = inputs if isinstance(inputs, dict) else {next(iter(sources)): inputs}
    named = {key: _stored(np.asarray(rows), sources[key]) for key, rows in named.items()}
    answers = {key: [] for key in sorted(targets, key=_place)}
    for i in range(len(next(iter(named.values())))):
        answer = runner(**{key: rows[i : i + 1] for key, rows in named.items()})
        for key, rows in answers.items():
            rows.append(_real(answer[key][0], targets[key]))
    stacked = [np.stack(rows) for rows in answers.values()]
    return stacked[0] if len(stacked) == 1 else stacked


def _place(name):
    """Outputs of a list are called `output_0`, `output_1`, ..."""
    number = re.fullmatch(r"output_(\d+)", name)
    return (int(number[1]) if number else 0, name)


def _stored(rows, detail):
    scale, zero = detail["quantization"]
    if rows.dtype.kind == "f" and detail["dtype"] == np.int8:
        rows = np.clip(np.round(rows / scale) + zero, -128, 127)
    return rows.astype(detail["dtype"])


def _real(values, detail):
    scale, zero = detail["quantization"]
    if detail["dtype"] != np.int8 or not scale:
        return values
    return (values.astype("float32") - zero) * np.float32(scale)


@dataclasses.dataclass(frozen=True)
class LatencyRatio:
    """How many times faster the second file is than the first.

    Attributes:
        median: of the ratios measured; 2.0 means half the time.
        low, high: the 10th and 90th percentile of the ratios.
        baseline_seconds, seconds: median time of one call of each file.
    """

    median: float
    low: float
    high: float
    baseline_seconds: float
    seconds: float


def latency_ratio(baseline, candidate, rounds=300):
    """Times two LiteRT files against each other on this machine: one thread, XNNPACK, one row a call.

    The two take turns of a fraction of a millisecond, or one call, and every round gives one ratio: what else runs on
    the machine slows both alike or falls into few rounds.

    Args:
        baseline, candidate: paths of `.tflite` files.
        rounds: number of ratios measured, at least 1. Defaults to 300.

    Returns:
        A `LatencyRatio`.
    """
    for name, path in (("baseline", baseline), ("candidate", candidate)):
        if not pathlib.Path(path).is_file():
            raise invalid("latency_ratio", name, path, "the path of a `.tflite` file")
    check_number("latency_ratio", "rounds", rounds, low=1, integer=True)
    return timed_in_turns([baseline, candidate], rounds)


def timed_in_turns(files, rounds):
    """`latency_ratio` of two files, each a path or the bytes."""
    models = [_ready(file) for file in files]
    calls = [max(1, math.ceil(2e-4 / _seconds(model, 10))) for model in models]
    times = np.empty((rounds, 2))
    for i in range(rounds):
        # Whoever goes first changes from round to round: a drift favours neither.
        for j in (0, 1) if i % 2 else (1, 0):
            times[i, j] = _seconds(models[j], calls[j])
    low, median, high = np.percentile(times[:, 0] / times[:, 1], [10, 50, 90])
    slow, fast = np.median(times, axis=0)
    return LatencyRatio(float(median), float(low), float(high), float(slow), float(fast))


def _ready(file):
    model = interpreter(file)
    random = np.random.default_rng(0)
    for detail in model.get_input_details():
        model.set_tensor(detail["index"], random.uniform(size=detail["shape"]).astype(detail["dtype"]))
    _seconds(model, 20)
    return model


def _seconds(model, calls):
    start = time.perf_counter()
    for _ in range(calls):
        model.invoke()
    return (time.perf_counter() - start) / calls
