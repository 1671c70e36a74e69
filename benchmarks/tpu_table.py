"""What Google's TPU compiler says of every optimizer and of four networks: compile time and memory.

    python benchmarks/tpu_table.py [--backends tensorflow jax] [--out benchmarks]

Nothing runs on a TPU. Each backend is a process of its own; answers are kept on disk, so that a run goes on where an
earlier one stopped. `--find-batch` adds the largest batch of ResNet50 on one v5e chip.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
from importlib.metadata import version

OPTIMIZER_SLICES = ("v5e-8", "v6e-8")
NETWORKS = {"ResNet50": 256, "MobileNetV3Small": 256, "EfficientNetB0": 256, "transformer": 256}


def convolutional(optimizer):
    """A small net with kernels of two and four axes, a depthwise one, normalization and an embedding-like head."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    front = [layers.Conv2D(16, 3, activation="relu"), layers.BatchNormalization(), layers.DepthwiseConv2D(3)]
    back = [layers.GlobalAveragePooling2D(), layers.Dense(32, activation="gelu"), layers.Dense(10)]
    model = keras.Sequential([layers.Input((16, 16, 3)), *front, *back], name="convolutional")
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def network(name):
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    if name == "transformer":  # 12 layers of width 256 over 128 positions, 11 M parameters
        x = inputs = keras.Input((128,), dtype="int32")
        x = layers.Embedding(5000, 256)(x)
        for _ in range(12):
            y = layers.LayerNormalization()(x)
            x = layers.Add()([x, layers.MultiHeadAttention(8, 32)(y, y)])
            y = layers.Dense(1024, activation="gelu")(layers.LayerNormalization()(x))
            x = layers.Add()([x, layers.Dense(256)(y)])
        model = keras.Model(inputs, layers.Dense(5000)(x), name=name)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    else:
        model = getattr(keras.applications, name)(weights=None, input_shape=(224, 224, 3))
        loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(1e-3), loss)
    return model


def figures(report):
    step = report.train
    return {
        "compiles": step.compiles,
        "message": step.message,
        "seconds": step.compile_seconds,
        "hbm": step.hbm_used,
        "available": step.hbm_available,
        "parts": step.hbm,
        "flops": step.flops,
        "bytes": step.bytes_moved,
    }


def measure(out, find_batch):
    """Fills in one backend's rows of `out`, a JSON file, that are not there yet."""
    import keras

    from keras_dlopt import distribute, optimizers

    backend = keras.backend.backend()
    rows = json.loads(out.read_text()) if out.exists() else {}

    def keep(key, make):
        key = f"{backend} {key}"
        if key not in rows:
            rows[key] = make()
            out.write_text(json.dumps(rows, indent=1))
            print(key, {k: v for k, v in rows[key].items() if k in ("compiles", "seconds", "hbm")}, flush=True)

    with distribute.Compiler(progress=False) as compiler:

        def compile(model, batch, topology, **kwargs):
            return distribute.preflight(model, batch, topology, predict=False, compiler=compiler, **kwargs)

        for topology in OPTIMIZER_SLICES:
            for name in optimizers.names():
                keep(f"{topology} {name}", lambda n=name, t=topology: figures(compile(convolutional(n.lower()), 64, t)))
                keras.backend.clear_session()
        for name, batch in NETWORKS.items():
            for topology in OPTIMIZER_SLICES:
                keep(f"{topology} {name}", lambda n=name, b=batch, t=topology: figures(compile(network(n), b, t)))
                keras.backend.clear_session()
        if find_batch:

            def searched():
                report = compile(network("ResNet50"), 256, "v5e-1", find_batch=True)
                return figures(report) | {"batch": report.batch, "next": report.next_batch, "tried": report.search}

            keep("v5e-1 find_batch ResNet50", searched)


def table(rows, names, slices):
    lines = [
        "| | " + " | ".join(f"{s}, {b}: s | HBM, MiB" for s in slices for b in ("TensorFlow", "JAX")) + " | JAX / TF |",
        "|---" * (2 + 4 * len(slices)) + "|",
    ]
    for name in names:
        cells, ratio = [name], ""
        for slice_ in slices:
            found = [rows.get(f"{backend} {slice_} {name}") for backend in ("tensorflow", "jax")]
            for row in found:
                fits = row and row["compiles"]
                refused = "refused" if row else ""
                cells += [f"{row['seconds']:.1f}", f"{row['hbm'] / 2**20:.4g}"] if fits else [refused, refused]
            if all(row and row["compiles"] for row in found):
                ratio = f"{found[1]['hbm'] / found[0]['hbm']:.2f}"
        lines.append("| " + " | ".join([*cells, ratio]) + " |")
    return lines


def write(rows, folder):
    from keras_dlopt import optimizers

    packages = ", ".join(f"{p} {version(p)}" for p in ("tensorflow", "keras", "jax", "libtpu"))
    lines = [
        "# What the TPU compiler says",
        "",
        f"`python benchmarks/tpu_table.py --find-batch`: {os.cpu_count()} cores ({platform.machine()}), {packages}. "
        "Nothing ran on a TPU. Seconds are those of the compiler, on a machine that others used too; memory is that of "
        "one device at its fullest moment, and JAX / TF compares it on the last slice that both have. TensorFlow: one "
        "replica's step; JAX: the program of the whole slice. An empty cell was not measured.",
        "",
        "## Every optimizer",
        "",
        "A convolutional net of 3,100 parameters, global batch 64.",
        "",
        *table(rows, optimizers.names(), OPTIMIZER_SLICES),
        "",
        "## Networks",
        "",
        f"Adam, global batch {NETWORKS['ResNet50']}, float32.",
        "",
        *table(rows, NETWORKS, OPTIMIZER_SLICES),
        "",
    ]
    for backend in ("tensorflow", "jax"):
        found = rows.get(f"{backend} v5e-1 find_batch ResNet50")
        if found:
            tried = ", ".join(f"{batch} {'fits' if fits else 'is refused'}" for batch, fits in found["tried"])
            lines += [
                f"`find_batch`, ResNet50 with Adam on one v5e chip, {backend}: {found['batch']} fits "
                f"({found['hbm'] / 2**30:.2f} of {found['available'] / 2**30:.2f} GiB), {found['next']} is refused; "
                f"tried: {tried}.",
                "",
            ]
    (folder / "tpu_table.md").write_text("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax"], choices=["tensorflow", "jax"])
    parser.add_argument("--find-batch", action="store_true", help="add the search of ResNet50's largest batch")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent, metavar="FOLDER")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    data = arguments.out / "tpu_table.json"
    if arguments.measure:
        measure(data, arguments.find_batch)
        return
    for backend in arguments.backends:
        env = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, __file__, "--measure", "--out", arguments.out]
        subprocess.run(command + ["--find-batch"] * arguments.find_batch, env=env, check=True)
    write(json.loads(data.read_text()), arguments.out)


if __name__ == "__main__":
    main()
