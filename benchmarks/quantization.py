"""Quantization: accuracy against the bits, what survives, how much becomes integer, and how fast it is.

    python benchmarks/quantization.py [accuracy] [keep] [networks] [speed] [--seeds 5]

Four parts, or those that are named. Every cell is saved in `quantization.json` when it is done, and is not measured
again: delete its line, or the file, to do so. The tables go to `quantization.md`.

`accuracy`: from one float network a seed, trained for 15 epochs, three trainings of 8 epochs more, with the same rows,
schedule and optimizer: in float, which is then quantized (PTQ), and quantization-aware (QAT) with 8-bit and with 4-bit
weights. Tasks: scikit-learn's digits with a plain CNN, and digits pasted at random places and sizes onto pieces
 of photographs, with depthwise convolutions, swish and squeeze-and-excite.

`keep`: QAT after pruning and clustering, keeping zeros and centroids or not. `networks`: keras.applications on enlarged
digits, trained briefly. `speed`: MobileNetV2 at 128 and 224 pixels, paired runs of LiteRT files on one thread.
"""

import argparse
import json
import os
import pathlib
import platform
import tempfile
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from digit_tasks import accuracy, copied, digits, fit, plain_cnn, scattered
from keras import layers
from sklearn.cluster import KMeans

import keras_dlopt as dlopt
from keras_dlopt import compress
from keras_dlopt.compress import litert

HERE = pathlib.Path(__file__).parent
SAVED = HERE / "quantization.json"
FIRST, EXTRA = 15, 8
NETWORK_EPOCHS = (12, 4)  # float, then quantization-aware
NETWORKS = ("MobileNetV2", "MobileNetV3Small", "ResNet50", "EfficientNetB0")
# 97.5th percentile of Student's t for n - 1 degrees of freedom, n = 2 to 10.
STUDENT = dict(zip(range(2, 11), (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262), strict=True))


def mobile_cnn():
    def normalized(x):
        return layers.Activation("silu")(layers.BatchNormalization(momentum=0.9)(x))

    inputs = keras.Input((24, 24, 3))
    x = normalized(layers.Conv2D(24, 3, 2, padding="same", use_bias=False)(inputs))
    for filters, stride in ((32, 1), (48, 2), (48, 1), (64, 2)):
        x = normalized(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x))
        gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
        gate = layers.Conv2D(8, 1, activation="silu")(gate)
        gate = layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(gate)
        x = layers.Multiply()([x, gate])
        x = normalized(layers.Conv2D(filters, 1, use_bias=False)(x))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


TASKS = {"digits": (digits, plain_cnn), "digits on photographs": (scattered, mobile_cnn)}


def file_accuracy(model, data, **arguments):
    """Accuracy of the LiteRT file, and its size after gzip."""
    with tempfile.TemporaryDirectory() as folder:
        exported = compress.export(model, os.path.join(folder, "m.tflite"), int8=True, **arguments)
        answers = litert.run(exported.path, data[1])
        return float((answers.argmax(-1) == data[3]).mean()), exported.gzip_bytes


def measure_accuracy(task, seed):
    load, build = TASKS[task]
    data = load()
    keras.utils.set_random_seed(seed)
    base = fit(build(), data, FIRST, 2e-3)
    cell = {"float": accuracy(base, data)}
    keras.utils.set_random_seed(1000 + seed)
    longer = fit(copied(base), data, EXTRA, 5e-4)
    cell["float, 8 epochs more"] = accuracy(longer, data)
    cell["PTQ, 8 bits"] = file_accuracy(longer, data, representative=data[0][:200])[0]
    for bits in (8, 4):
        if bits < 8:
            aware = compress.quantize_aware(longer, weight_bits=bits)
            compress.calibrate(aware, data[0][:200])
            cell[f"PTQ, {bits}-bit weights"] = file_accuracy(aware, data)[0]
        keras.utils.set_random_seed(1000 + seed)
        aware = fit(compress.quantize_aware(base, weight_bits=bits), data, EXTRA, 5e-4)
        cell[f"QAT, {bits}-bit weights"] = file_accuracy(aware, data)[0]
    return cell


def clustered(model, centroids=16):
    """Each kernel's weights replaced by the nearest of 16 means; zeros stay."""
    copy = copied(model)
    for weight in copy.trainable_weights:
        if weight.path.endswith("kernel"):
            values = np.asarray(weight)
            nonzero = values[values != 0].reshape(-1, 1)
            found = KMeans(min(centroids, len(nonzero)), n_init=1, random_state=0).fit(nonzero)
            values = values.copy()
            values[values != 0] = found.cluster_centers_[found.labels_, 0]
            weight.assign(values)
    return copy


def measure_keep(seed):
    """Zeros and distinct values per kernel, as the file has them."""
    data = digits()
    keras.utils.set_random_seed(seed)
    base = fit(plain_cnn(), data, FIRST, 2e-3)
    pruned = fit(copied(base), data, EXTRA, 2e-3, dlopt.callbacks.Prune(0.8))
    starts = {"dense": base, "pruned": pruned, "clustered": clustered(base), "pruned, clustered": clustered(pruned)}
    cases = {
        "QAT": ("dense", ()),
        "QAT of the pruned": ("pruned", ()),
        "PQAT": ("pruned", "zeros"),
        "QAT of the clustered": ("clustered", ()),
        "CQAT": ("clustered", "centroids"),
        "PCQAT": ("pruned, clustered", ("zeros", "centroids")),
    }
    cell = {}
    for name, (start, keep) in cases.items():
        keras.utils.set_random_seed(1000 + seed)
        aware = fit(compress.quantize_aware(starts[start], keep=keep), data, EXTRA, 5e-4)
        reached, gzip_bytes = file_accuracy(aware, data)
        kernels = [
            np.asarray(layer.rounded(axis=None if len(layer.kernel.shape) == 2 else -1))
            for layer in kernel_layers(aware)
        ]
        # A filter's scale is its own: values are told apart before rounding where centroids are kept.
        shared = [np.asarray(layer.kernel) for layer in kernel_layers(aware)]
        cell[name] = {
            "accuracy": reached,
            "zeros": sum(int((k == 0).sum()) for k in kernels) / sum(k.size for k in kernels),
            "values": max(len(np.unique(np.round(k, 5))) for k in shared),
            "gzip": gzip_bytes,
        }
    return cell


def kernel_layers(model):
    return [layer for layer in model.layers if hasattr(layer, "weight_bits")]


def network(name, side, classes=10):
    model = getattr(keras.applications, name)(
        input_shape=(side, side, 3), weights=None, classes=classes, classifier_activation=None
    )
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9  # a brief training must settle it
    return model


def measure_network(name, epochs):
    x_train, x_test, y_train, y_test = digits()
    x_train, x_test = (np.repeat(np.repeat(x * 255, 4, 1), 4, 2).repeat(3, -1) for x in (x_train, x_test))
    if name in ("MobileNetV2", "ResNet50"):  # the others rescale inside
        x_train, x_test = x_train / 127.5 - 1, x_test / 127.5 - 1
    data = x_train, x_test[:500], y_train, y_test[:500]
    keras.utils.set_random_seed(0)
    model = fit(network(name, 32), data, epochs[0], 1e-3)
    aware = fit(compress.quantize_aware(model), data, epochs[1], 1e-4)
    with tempfile.TemporaryDirectory() as folder:
        plain = compress.export(model, os.path.join(folder, "float.tflite"))
        whole = compress.export(aware, os.path.join(folder, "int8.tflite"), int8=True, check=data[1], allow_float=True)
        ratio = compress.latency_ratio(plain.path, whole.path)
    return {
        "int8": whole.int8_tensors,
        "float": whole.float_tensors,
        "left": whole.float_layers,
        "agreement": whole.agreement,
        "accuracy": [accuracy(model, data), accuracy(aware, data)],
        "bytes": [plain.bytes, whole.bytes],
        "ratio": [ratio.median, ratio.low, ratio.high],
    }


def measure_speed(kind, side):
    keras.utils.set_random_seed(0)
    model = network("MobileNetV2", side, 1000)
    rows = np.random.default_rng(0).uniform(-1, 1, (20, side, side, 3)).astype("float32")
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, name) for name in ("plain.tflite", "other.tflite")]
        plain = compress.export(model, files[0])
        if kind == "QAT int8":
            aware = compress.quantize_aware(model)
            compress.calibrate(aware, rows)
            other = compress.export(aware, files[1], int8=True)
        else:
            other = compress.export(model, files[1], quantize=kind, representative=rows if kind == "int8" else None)
        ratio = compress.latency_ratio(*files, rounds=300)
    return {
        "ratio": [ratio.median, ratio.low, ratio.high],
        "milliseconds": [1e3 * ratio.baseline_seconds, 1e3 * ratio.seconds],
        "bytes": [plain.bytes, other.bytes],
        "gzip": [plain.gzip_bytes, other.gzip_bytes],
    }


def _epochs(counts):
    return f"{counts[0]} + {counts[1]} epochs"


def interval(values):
    """Mean and half the 95 % interval, in points of per cent."""
    values = 100 * np.asarray(values)
    half = STUDENT[len(values)] * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return values.mean(), half  # without an interval for a single seed


def cells_of(saved, part):
    return {key[len(part) + 1 :]: cell for key, cell in saved.items() if key.startswith(part + "/")}


def table_accuracy(saved):
    cells = cells_of(saved, "accuracy")
    lines = ["## Accuracy: post-training against quantization-aware", ""]
    lines += [
        "In per cent of the test rows, mean and 95 % interval over the seeds; quantized networks measured as LiteRT"
    ]
    lines += ["files. Differences are paired with the float network of as many epochs.", ""]
    for task in TASKS:
        runs = [cell for key, cell in cells.items() if key.startswith(task + "/")]
        if runs:
            lines += [f"### {task}, {len(runs)} seeds", "", "| | accuracy | minus float |", "|---|---|---|"]
            for name in runs[0]:
                mean, half = interval([run[name] for run in runs])
                change, spread = interval([run[name] - run["float, 8 epochs more"] for run in runs])
                paired = "" if name.startswith("float") else f"{change:+.2f} ± {spread:.2f}"
                lines.append(f"| {name} | {mean:.2f} ± {half:.2f} | {paired} |")
            lines.append("")
    return lines


def table_keep(saved):
    runs = list(cells_of(saved, "keep").values())
    lines = [
        "## Keeping zeros and centroids",
        "",
        "Digits, 80 % pruned, 16 values a kernel. `zeros` as the file has them; ",
    ]
    lines += ["`values`: the most distinct ones in a kernel before rounding.", ""]
    lines += ["| | accuracy | zeros | values | gzip bytes |", "|---|---|---|---|---|"]
    for name in runs[0]:
        mean, half = interval([run[name]["accuracy"] for run in runs])
        zeros, values, size = (np.mean([run[name][key] for run in runs]) for key in ("zeros", "values", "gzip"))
        lines.append(f"| {name} | {mean:.2f} ± {half:.2f} | {zeros:.1%} | {values:.0f} | {size:,.0f} |")
    return [*lines, ""]


def table_networks(saved):
    lines = [
        "## How much becomes integer",
        "",
        "keras.applications at 32 x 32, trained briefly; agreement of Keras and",
    ]
    lines += [
        "LiteRT on 500 test rows; float32 time over int8 time on a busy machine, median and 80 % of the rounds.",
        "",
    ]
    lines += [
        "| | int8 / float tensors | agreement | accuracy float, QAT | bytes | times faster |",
        "|---|---|---|---|---|---|",
    ]
    for name, cell in cells_of(saved, "networks").items():
        before, after = cell["accuracy"]
        ratio, low, high = cell["ratio"]
        small = cell["bytes"][0] / cell["bytes"][1]
        about = name.replace("/", ", ")
        lines.append(
            f"| {about} | {cell['int8']} / {cell['float']} | {cell['agreement']:.1%} "
            f"| {before:.1%}, {after:.1%} | {small:.1f}x smaller | {ratio:.2f} ({low:.2f} to {high:.2f}) |"
        )
    return [*lines, ""]


def table_speed(saved):
    lines = [
        "## Speed and size: MobileNetV2, by pixels",
        "",
        "Times faster than float32 in paired runs, one thread.",
        "",
    ]
    lines += ["| | times faster | milliseconds | bytes | gzip bytes |", "|---|---|---|---|---|"]
    for name, cell in cells_of(saved, "speed").items():
        ratio, low, high = cell["ratio"]
        lines.append(
            f"| {name} | {ratio:.2f} ({low:.2f} to {high:.2f}) | {cell['milliseconds'][1]:.2f} "
            f"(float32 {cell['milliseconds'][0]:.2f}) | {cell['bytes'][1]:,} ({cell['bytes'][0]:,}) "
            f"| {cell['gzip'][1]:,} ({cell['gzip'][0]:,}) |"
        )
    return [*lines, ""]


KINDS = ("QAT int8", "int8", "dynamic", "float16")
PARTS = {"accuracy": table_accuracy, "keep": table_keep, "networks": table_networks, "speed": table_speed}


def write_tables(saved):
    lines = ["# Quantization", "", "Made by `python benchmarks/quantization.py`, which says how.", ""]
    versions = ", ".join(f"{name} {version(name)}" for name in ("keras", "tensorflow", "ai-edge-litert"))
    lines += [f"{versions}; {platform.machine()}, {os.cpu_count()} cores.", ""]
    for part, table in PARTS.items():
        if cells_of(saved, part):
            lines += table(saved)
    (HERE / "quantization.md").write_text("\n".join(lines).rstrip() + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="defaults to all")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    parts = arguments.parts or list(PARTS)
    saved = json.loads(SAVED.read_text()) if SAVED.exists() else {}
    work = {
        "accuracy": [((task, seed), measure_accuracy) for seed in range(arguments.seeds) for task in TASKS],
        "keep": [((seed,), measure_keep) for seed in range(arguments.seeds)],
        "networks": [((name, NETWORK_EPOCHS), measure_network) for name in NETWORKS],
        "speed": [((kind, side), measure_speed) for side in (128, 224) for kind in KINDS],
    }
    for part in parts:
        for about, measure in work[part]:
            key = "/".join([part, *(str(item) if isinstance(item, (str, int)) else _epochs(item) for item in about)])
            if key not in saved:
                saved[key] = measure(*about)
                print(key, saved[key], flush=True)
                SAVED.write_text(json.dumps(saved, indent=0))
                write_tables(saved)
                keras.backend.clear_session()


if __name__ == "__main__":
    main()
