"""Pruning: accuracy beside tfmot and beside pruning at once, cost of a step, speed without channels, size.

    python benchmarks/pruning.py [accuracy] [overhead] [channels] [size] [--seeds 5]

Four parts, or those that are named. Every cell is saved in `pruning.json` when it is done, and is not measured
again: delete it there, or the file, to do so. The tables go to `pruning.md`.

`accuracy`: from one dense network a seed, trained for 15 epochs, ten epochs more with the same rows, optimizer and
schedule: dense, with `callbacks.Prune`, and by real tfmot through the bridge; beside them `compress.prune`, without
training. Tasks: scikit-learn's digits, and digits at random places and sizes on pieces of photographs.

`overhead`: compiled training steps of the same network dense, with `callbacks.Prune`'s masks, and wrapped by tfmot,
which take turns of 100 steps, one choice of masks among them. `channels`: keras.applications with half of their
channels. `size`: float32 after gzip over int8 with 90 % zeros after gzip.
"""

import argparse
import json
import os
import pathlib
import platform
import tempfile
import time
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from digit_tasks import accuracy, copied, digits, fit, plain_cnn, scattered
from keras import layers
from quantization import cells_of, interval

from keras_dlopt import callbacks, compress, step
from keras_dlopt.compress import sparsity
from keras_dlopt.compress.masks import Masks, cut_into_units
from keras_dlopt.compress.patterns import SingleWeights
from keras_dlopt.compress.prunable import prunable_weights

HERE = pathlib.Path(__file__).parent
SAVED = HERE / "pruning.json"
FIRST, MORE = 15, 10
SHARES = (0.8, 0.9, 0.95)
BLOCK = 100  # steps in a turn, and between two choices of masks: what tfmot does by default


def photo_cnn():
    x = inputs = keras.Input((24, 24, 3))
    for filters in (16, 32, 32):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x)))
    return keras.Model(inputs, layers.Dense(10)(layers.Dense(64, activation="relu")(layers.Flatten()(x))))


TASKS = {"digits": (digits, plain_cnn), "digits on photographs": (scattered, photo_cnn)}


def measure_accuracy(task, seed):
    load, build = TASKS[task]
    data = load()
    keras.utils.set_random_seed(seed)
    base = fit(build(), data, FIRST, 2e-3)
    cell = {"dense": accuracy(base, data)}

    def more(model, *used):
        keras.utils.set_random_seed(1000 + seed)
        return fit(model, data, MORE, 2e-3, *used)

    cell["dense, ten epochs more"] = accuracy(more(copied(base)), data)
    for share in SHARES:
        pruned = more(copied(base), callbacks.Prune(share))
        wrapped = more(compress.prune(base, share, engine="tfmot")).strip()
        cell[f"{share:.0%}, native"] = accuracy(pruned, data)
        cell[f"{share:.0%}, tfmot"] = accuracy(wrapped, data)
        cell[f"{share:.0%}, at once"] = accuracy(compress.prune(base, share), data)
        for model in (pruned, wrapped):
            assert abs(sparsity.sparsity_of(prunable_weights(model)) - share) < 2e-3
    return cell


def wide_dense():
    return keras.Sequential(
        [keras.Input((256,)), *(layers.Dense(512, activation="relu") for _ in range(3)), layers.Dense(10)]
    )


NETWORKS = {  # name -> network, shape of a row, rows in a batch
    "CNN on 8 x 8": (plain_cnn, (8, 8, 1), 64),
    "CNN on 24 x 24": (photo_cnn, (24, 24, 3), 64),
    "dense, 3 x 512": (wide_dense, (256,), 128),
    "MobileNetV2 at 96": (
        lambda: keras.applications.MobileNetV2((96, 96, 3), weights=None, classes=10),
        (96, 96, 3),
        16,
    ),
}


def measure_overhead(name, jit):
    """Time of a step over that of the dense one's, turn by turn."""
    build, shape, rows = NETWORKS[name]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, *shape)).astype("float32"), rng.integers(10, size=rows)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    turns = 4 if rows < 32 else 20
    run = BLOCK * turns * 4

    def compiled(model, jit_compile=jit):
        model.compile(keras.optimizers.Adam(1e-4), loss, jit_compile=jit_compile)
        return model

    def masks_of(model):
        def find():
            return cut_into_units(model, SingleWeights)

        return Masks(find, sparsity.cubic_plan(0.9, 0, run // 2, BLOCK))

    base = build()
    models = {"dense": compiled(copied(base)), "native": compiled(copied(base))}
    step.attach(models["native"].optimizer, masks_of(models["native"]), models["native"])
    if not jit and not name.startswith("Mobile"):
        models["tfmot"] = compiled(compress.prune(base, 0.9, engine="tfmot", end=run // 2, frequency=BLOCK), False)
        # Its first step sets tfmot's counter, with the schedule of the run.
        models["tfmot"].fit(x, y, batch_size=rows, epochs=run, verbose=0, callbacks=[StopAtOnce()])
    rows = iter(tf.data.Dataset.from_tensors((x, y)).repeat())
    for model in models.values():
        model.make_train_function()
        for _ in range(3):
            model.train_function(rows)
    times = {kind: [] for kind in models}
    for turn in range(turns):
        for kind in list(models)[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            for _ in range(BLOCK):
                logs = models[kind].train_function(rows)
            float(logs["loss"])
            times[kind].append((time.perf_counter() - start) / BLOCK)
    ratios = {kind: np.divide(times[kind], times["dense"]) for kind in models if kind != "dense"}
    return {"milliseconds": 1e3 * float(np.median(times["dense"]))} | {
        kind: np.percentile(found, (50, 25, 75)).tolist() for kind, found in ratios.items()
    }


class StopAtOnce(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


def application(name, side, classes=10):
    return getattr(keras.applications, name)(
        input_shape=(side, side, 3), weights=None, classes=classes, classifier_activation=None
    )


def measure_channels(name, side, rounds=15):
    keras.utils.set_random_seed(0)
    model = application(name, side)
    smaller = compress.remove_channels(model, 0.5)
    x = np.random.default_rng(0).normal(size=(32, side, side, 3)).astype("float32")
    pair = (model, smaller)
    for one in pair:
        one.predict(x, verbose=0)
    ratios = []
    for turn in range(rounds):
        seconds = {}
        for one in pair[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            one.predict(x, verbose=0)
            seconds[one is smaller] = time.perf_counter() - start
        ratios.append(seconds[False] / seconds[True])
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, f"{i}.tflite") for i in range(2)]
        exported = [compress.export(one, file) for one, file in zip(pair, files, strict=True)]
        litert = compress.latency_ratio(*files, rounds=100)
    return {
        "parameters": [one.count_params() for one in pair],
        "bytes": [found.bytes for found in exported],
        "predict": np.percentile(ratios, (50, 10, 90)).tolist(),
        "litert": [litert.median, litert.low, litert.high],
    }


def measure_size(name):
    keras.utils.set_random_seed(0)
    if name == "digits":
        data = digits()
        model = fit(plain_cnn(), data, FIRST, 2e-3)
        pruned, rows = fit(copied(model), data, MORE, 2e-3, callbacks.Prune(0.9)), data[0][:200]
    else:
        model = application(name, 128, 1000)
        pruned = compress.prune(model, 0.9, depthwise=False)
        rows = np.random.default_rng(0).uniform(-1, 1, (20, 128, 128, 3)).astype("float32")
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, f"{i}.tflite") for i in range(2)]
        before = compress.export(model, files[0])
        after = compress.export(pruned, files[1], quantize="int8", representative=rows)
    return {"gzip": [before.gzip_bytes, after.gzip_bytes], "bytes": [before.bytes, after.bytes]}


def spread(values, sign=""):
    mean, half = interval(values)
    return f"{mean:{sign}.2f} ± {half:.2f}"


def ratio(found, digits):
    middle, low, high = (f"{value:.{digits}f}" for value in found)
    return f"{middle} ({low}-{high})"


def table_accuracy(saved):
    cells = cells_of(saved, "accuracy")
    yield from (
        "## Accuracy",
        "",
        "In per cent of the test rows, mean and 95 % interval over the seeds; differences are",
    )
    yield from ("paired by seed.", "")
    for task in TASKS:
        runs = [cell for key, cell in cells.items() if key.startswith(task + "/")]
        if runs:
            yield from (
                f"### {task}, {len(runs)} seeds",
                "",
                "| zeros | native | tfmot | native minus tfmot | at once |",
            )
            yield "|---|---|---|---|---|"
            for name in ("dense", "dense, ten epochs more"):
                yield f"| {name} | {spread([run[name] for run in runs])} | | | |"
            for share in (f"{share:.0%}" for share in SHARES):
                ways = {way: [run[f"{share}, {way}"] for run in runs] for way in ("native", "tfmot", "at once")}
                native, tfmot, once = (spread(found) for found in ways.values())
                change = spread(np.subtract(ways["native"], ways["tfmot"]), sign="+")
                yield f"| {share} | {native} | {tfmot} | {change} | {once} |"
            yield ""


def table_overhead(saved):
    yield from (
        "## Cost of a step",
        "",
        "Time over that of the dense step: median of the turns, and their quartiles.",
        "",
    )
    yield from ("| network | jit | dense, ms | with `Prune` | tfmot's wrappers |", "|---|---|---|---|---|")
    for key, cell in cells_of(saved, "overhead").items():
        name, jit = key.split("/")
        native, tfmot = (ratio(cell[k], 3) if k in cell else "" for k in ("native", "tfmot"))
        yield f"| {name} | {jit} | {cell['milliseconds']:.2f} | {native} | {tfmot} |"
    yield ""


def table_channels(saved):
    yield from ("## Half of the channels", "", "Times as fast: median, 10th and 90th percentile of the rounds.", "")
    yield from ("| | parameters | `predict` of 32 rows | LiteRT, one row, one thread |", "|---|---|---|---|")
    for name, cell in cells_of(saved, "channels").items():
        predict, litert = (ratio(cell[key], 2) for key in ("predict", "litert"))
        yield f"| {name} | {cell['parameters'][0]:,} to {cell['parameters'][1]:,} | {predict} | {litert} |"
    yield ""


def table_size(saved):
    yield from ("## Size: int8 and 90 % zeros", "")
    yield from ("| | float32, gzip | int8, 90 % zeros, gzip | times smaller |", "|---|---|---|---|")
    for name, cell in cells_of(saved, "size").items():
        before, after = cell["gzip"]
        yield f"| {name} | {before:,} | {after:,} | {before / after:.1f} |"
    yield ""


PARTS = {"accuracy": table_accuracy, "overhead": table_overhead, "channels": table_channels, "size": table_size}


def cells(part, seeds):
    if part == "accuracy":
        return {f"{task}/{seed}": (measure_accuracy, task, seed) for seed in range(seeds) for task in TASKS}
    if part == "overhead":
        names = [(name, jit) for name in NETWORKS for jit in (False, True)]
        return {f"{name}/{'jit' if jit else 'no'}": (measure_overhead, name, jit) for name, jit in names}
    if part == "channels":
        return {
            f"{name} at {side}": (measure_channels, name, side)
            for name, side in (("MobileNetV2", 128), ("ResNet50", 96))
        }
    return {name: (measure_size, name) for name in ("MobileNetV2", "digits")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="any of " + ", ".join(PARTS))
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    saved = json.loads(SAVED.read_text()) if SAVED.exists() else {}
    for part in arguments.parts or PARTS:
        for key, (measure, *how) in cells(part, arguments.seeds).items():
            if f"{part}/{key}" not in saved:
                saved[f"{part}/{key}"] = measure(*how)
                SAVED.write_text(json.dumps(saved, indent=1) + "\n")
                write(saved)
                print(part, key, saved[f"{part}/{key}"], flush=True)
                keras.backend.clear_session()
    write(saved)


def write(saved):
    packages = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "tensorflow-model-optimization"))
    lines = ["# Pruning: accuracy, cost, speed, size", ""]
    lines += [f"`python benchmarks/pruning.py`: {os.cpu_count()} cores ({platform.machine()}) shared with other work,"]
    lines += [f"{packages}. Times are ratios of runs that took turns; run it on a quiet machine for better ones.", ""]
    for part, table in PARTS.items():
        if cells_of(saved, part):
            lines += table(saved)
    (HERE / "pruning.md").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
