"""Cheaper steps: what each technique saves, and what it costs in accuracy, beside the same run without it.

    python benchmarks/cheaper_steps.py [case ...] [--seeds 5]

A row of `CASES` is a technique's run and the plain run: the same network from the same weights, the same rows and
epochs, one after the other in turns. Every cell, a case with a seed, is saved in `cheaper_steps.json` when it is done,
and is not measured again: delete it there, or the file, to do so. `callbacks.py` puts the table on its page.

Seconds are those of `fit`, compilations included. Floating-point operations are counted in the graph of TensorFlow's
training step, of what its results need: products and convolutions, forward and backward, over the whole run.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from digit_tasks import digits, scattered
from keras import layers
from tensorflow.python.framework import ops as graph_ops
from tensorflow.python.ops.cond_v2 import get_func_graphs
from tensorflow.python.profiler.internal import flops_registry  # noqa: F401
from text_task import character_transformer, text

from keras_dlopt import atomic, callbacks, compress

HERE = pathlib.Path(__file__).parent
SAVED = HERE / "cheaper_steps.json"


def residual_net(widths=(12, 24, 48), blocks=2, shape=(24, 24, 3)):
    def block(x, filters, stride):
        branch = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        branch = layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(branch)
        branch = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(branch))
        branch = layers.Conv2D(filters, 3, padding="same", use_bias=False)(branch)
        short = x if stride == 1 else layers.Conv2D(filters, 1, stride, use_bias=False)(x)
        return layers.Add()([short, branch])

    inputs = keras.Input(shape)
    x = layers.Conv2D(widths[0], 3, padding="same", use_bias=False)(inputs)
    for i, filters in enumerate(widths):
        for j in range(blocks):
            x = block(x, filters, 2 if i and not j else 1)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(inputs, layers.Dense(10, name="logits")(layers.GlobalAveragePooling2D()(x)))


def photographs(seed):
    return scattered(train=2000, test=1000)


def few_photographs(seed):
    x, x_test, y, y_test = scattered(train=2000, test=1000)
    return x[:600], x_test, y[:600], y_test


def from_clean_digits(seed):
    """The residual network, trained on digits without photographs."""
    x, _, y, _ = digits()
    x = np.repeat(np.kron(x, np.ones((1, 3, 3, 1), "float32")), 3, axis=-1)
    model = residual_net()
    compiled(model, keras.optimizers.Adam(2e-3)).fit(x, y, 64, 8, verbose=0)
    return model


def trained_on_photographs(seed):
    """The residual network, wider, after most of its training."""
    x, _, y, _ = photographs(seed)
    model = residual_net((24, 48, 96))
    compiled(model, keras.optimizers.Adam(2e-3)).fit(x, y, 64, 10, callbacks=cosine(), verbose=0)
    return model


def cosine(rate=2e-3):
    return [callbacks.CosineDecay(rate)]


@dataclasses.dataclass(frozen=True)
class Case:
    """A technique beside the plain run.

    Args:
        technique, plain: make the callbacks of the two runs.
        data: seed -> (x, x_test, y, y_test).
        network: seed -> model, not compiled.
        optimizer: model -> optimizer.
        epochs, batch: of both runs.
        before: changes the model of the technique's run: model -> model.
        share: how often, on average, the technique computes what is in conditionals.
        says: what the two runs are, for the table.
    """

    says: str
    technique: Callable = list
    plain: Callable = cosine
    data: Callable = photographs
    network: Callable = lambda seed: residual_net()
    optimizer: Callable = lambda model: keras.optimizers.Adam(2e-3)
    epochs: int = 12
    batch: int = 64
    before: Callable = lambda model: model
    share: float = 1.0


CASES = {
    "FreezeLayers, schedule": Case(
        "groups freeze from 0.6 of the run on",
        lambda: [*cosine(), callbacks.FreezeLayers(begin=0.6, groups=4)],
    ),
    "FreezeLayers, change": Case(
        "groups freeze when they move by less than 0.3 of the most",
        lambda: [*cosine(), callbacks.FreezeLayers("change", begin=0.4, groups=4)],
    ),
    "BatchSizeSchedule": Case(
        "plain: the rate falls to a half and a quarter after 0.5 and 0.75 of the run; the batch doubles there instead",
        lambda: [callbacks.BatchSizeSchedule({0: 32, 0.5: 64, 0.75: 128})],
        lambda: [callbacks.PiecewiseConstant([2e-3, 1e-3, 5e-4], [0.5, 0.75])],
        batch=32,
    ),
    "StochasticDepth, batch": Case(
        "later blocks are left out more often, up to a fifth of the time",
        lambda: [*cosine(), callbacks.StochasticDepth(0.2)],
        share=1 - 0.2 * 7 / 12,  # of six blocks
    ),
    "StochasticDepth, sample": Case(
        "each row leaves out blocks for itself",
        lambda: [*cosine(), callbacks.StochasticDepth(0.2, per="sample")],
    ),
    "GradualUnfreeze": Case(
        "600 rows, from a network that knows clean digits; the last quarter, half, all of the layers",
        lambda: [*cosine(), callbacks.GradualUnfreeze({0: 5, 0.25: 10, 0.5: None})],
        data=few_photographs,
        network=from_clean_digits,
    ),
    "ProgressiveResizing": Case(
        "12 x 12 and 16 x 16 pixels for 0.35 of the run each, then 24 x 24",
        lambda: [*cosine(), callbacks.ProgressiveResizing((12, 16), multiple=4)],
    ),
    "SequenceLengthWarmup": Case(
        "16 and 32 of 64 characters for 0.15 of the run each",
        lambda: [*cosine(), callbacks.SequenceLengthWarmup()],
        data=lambda seed: text(),
        network=lambda seed: character_transformer(),
    ),
    "SelectiveBackprop": Case(
        "half of every batch from 0.5 to 0.9 of the run",
        lambda: [*cosine(), callbacks.SelectiveBackprop()],
    ),
    "factorize": Case(
        "a trained network, wider, 4 more epochs; its kernels with 0.9 of their energy",
        lambda: cosine(5e-4),
        lambda: cosine(5e-4),
        network=trained_on_photographs,
        before=compress.factorize,
        epochs=4,
    ),
}


def compiled(model, optimizer):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    return model


class Flops(keras.callbacks.Callback):
    """Adds up the floating-point operations of a run, from the graph of its step in each epoch; last of the callbacks.

    Attributes:
        total: the operations.
        seconds: how long counting took.
    """

    def __init__(self, x, y, batch, share):
        super().__init__()
        self.x, self.y, self.batch, self.share = x, y, batch, share
        self.total, self.seconds, self.counts = 0.0, 0.0, {}

    def on_epoch_begin(self, epoch, logs=None):
        start = time.perf_counter()
        step = vars(self.model).get("train_step")
        if step not in self.counts:  # held, so that no later one is taken for it
            self.counts[step] = step_flops(self.model, self.x[: self.batch], self.y[: self.batch], self.share)
        # A batch that grows has as many operations for a row.
        self.total += self.counts[step] * len(self.x) / self.batch
        self.seconds += time.perf_counter() - start


def step_flops(model, x, y, share):
    """The products and convolutions that the results and assignments of a training step need."""
    graph = tf.function(model.train_step).get_concrete_function((tf.constant(x), tf.constant(y))).graph
    return _needed_flops(graph, [t.op for t in graph.outputs], share)


def _needed_flops(graph, todo, share):
    todo = [*todo, *(op for op in graph.get_operations() if op.type.startswith("Assign"))]
    needed = {}
    while todo:
        op = todo.pop()
        if op.name not in needed:
            needed[op.name] = op
            todo += [t.op for t in op.inputs] + list(op.control_inputs)
    total = 0.0
    for op in needed.values():
        if op.type in ("If", "StatelessIf"):
            taken, _ = get_func_graphs(op)
            total += _needed_flops(taken, [t.op for t in taken.outputs], share) * share
        elif "Conv" in op.type or "MatMul" in op.type:
            total += graph_ops.get_stats_for_node_def(graph, op.node_def, "flops").value or 0
    return total


def run(case, technique, model, data):
    """Trains; returns accuracy, seconds without counting, and operations."""
    x, x_test, y, y_test = data
    flops = Flops(x, y, case.batch, case.share)
    compiled(model, case.optimizer(model))
    start = time.perf_counter()
    model.fit(x, y, case.batch, case.epochs, verbose=0, callbacks=[*technique, flops])
    seconds = time.perf_counter() - start - flops.seconds
    accuracy = float((model.predict(x_test, 256, verbose=0).argmax(-1) == y_test).mean())
    return {"accuracy": accuracy, "seconds": seconds, "flops": flops.total}


def measure(case, seed):
    data = case.data(seed)
    keras.utils.set_random_seed(seed)
    base = case.network(seed)
    cell = {}
    for kind in ("plain", "technique") if seed % 2 else ("technique", "plain"):
        keras.utils.set_random_seed(seed)
        model = keras.models.clone_model(base)
        model.set_weights(base.get_weights())
        if kind == "technique":
            model = case.before(model)
        cell[kind] = run(case, case.technique() if kind == "technique" else case.plain(), model, data)
    return cell


def save(cells):
    with atomic.replacing(SAVED) as temporary:
        pathlib.Path(temporary).write_text(json.dumps(cells, indent=1) + "\n")


def spread(values):
    return f"{statistics.mean(values):.1%}" + (f" ± {statistics.stdev(values):.1%}" if len(values) > 1 else "")


def table(cells):
    """Lines of Markdown."""
    lines = [
        "## Cheaper steps",
        "",
        f"{platform.machine()}, {os.cpu_count()} cores, TensorFlow {version('tensorflow')}, Keras {version('keras')}, "
        "`jit_compile=False`. Accuracy: mean ± standard deviation over seeds. Seconds: median over seeds of the ratio "
        "to the plain run of the same seed, compilations included, on a machine that others used too; operations, "
        "which do not depend on that: mean share of the plain run's.",
        "",
        "| technique | seeds | accuracy | plain | seconds / plain | operations / plain | runs |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, case in CASES.items():
        found = list(cells.get(name, {}).values())
        if not found:
            continue
        ours, plain = ([cell[kind] for cell in found] for kind in ("technique", "plain"))
        ratios = [a["seconds"] / b["seconds"] for a, b in zip(ours, plain, strict=True)]
        flops = statistics.mean(a["flops"] / b["flops"] for a, b in zip(ours, plain, strict=True))
        lines.append(
            f"| {name} | {len(found)} | {spread([a['accuracy'] for a in ours])} | "
            f"{spread([b['accuracy'] for b in plain])} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f}-{max(ratios):.2f}) | {flops:.2f} | {case.says} |"
        )
    return lines


def saved():
    """The cells that are measured: case -> seed -> what `measure` returns."""
    return json.loads(SAVED.read_text()) if SAVED.exists() else {}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="names in CASES; all of them by default")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    cells = saved()
    for seed in range(arguments.seeds):
        for name in arguments.cases or CASES:
            if str(seed) not in cells.setdefault(name, {}):
                cells[name][str(seed)] = measure(CASES[name], seed)
                save(cells)
                print(name, seed, cells[name][str(seed)], flush=True)
    print("\n".join(table(cells)))


if __name__ == "__main__":
    main()
