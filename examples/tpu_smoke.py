"""Five minutes on a real TPU: trains a small net there, and writes what happened beside what the preflight foretold.

    pip install "keras-dlopt[tpu]"
    KERAS_BACKEND=jax python examples/tpu_smoke.py --topology v5e-8

The project has no TPU; `tpu_smoke.json` from somebody who has one tells how far the estimates are off. It holds
versions, the device's kind, losses, seconds a step and bytes of memory, nothing else. Where there is no TPU, it says so
and ends.
"""

import argparse
import json
import os
import statistics
import time
from importlib.metadata import version

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

from keras_dlopt import distribute, optimizers


def digits(batch):
    """Images and labels, as many as whole batches have: a smaller last one is not for a TPU."""
    data = load_digits()
    whole = len(data.images) // batch * batch
    x = np.repeat(np.repeat(data.images[:whole, ..., None] / 16, 4, axis=1), 4, axis=2).astype("float32")
    return x, data.target[:whole].astype("int32")


def build_model(name):
    keras.utils.set_random_seed(0)
    convolutions = [layers.Conv2D(128, 3, activation="relu", padding="same") for _ in range(4)]
    model = keras.Sequential([layers.Input((32, 32, 1)), *convolutions, layers.Flatten(), layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.get(name, learning_rate=1e-3), loss, metrics=["accuracy"])
    return model


class Times(keras.callbacks.Callback):
    """Seconds of every batch."""

    def on_train_begin(self, logs=None):
        self.seconds = []

    def on_train_batch_begin(self, batch, logs=None):
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.seconds.append(time.perf_counter() - self.started)


def kinds():
    if keras.backend.backend() == "jax":
        import jax

        return {device.device_kind for device in jax.devices()}
    import tensorflow as tf

    return {device.device_type for device in tf.config.list_logical_devices("TPU")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topology", default="v5e-8", help="the slice that this runs on")
    parser.add_argument("--batch", type=int, default=512, help="at most 1797, the number of images")
    parser.add_argument("--optimizers", nargs="+", default=["adam", "lion", "muon", "soap", "schedulefreeadamw"])
    parser.add_argument("--out", default="tpu_smoke.json")
    arguments = parser.parse_args()
    try:
        strategy = distribute.strategy("tpu")
    except RuntimeError as reason:
        print(f"No TPU here: {reason}")
        return
    packages = ("keras", "keras-dlopt", "jax", "libtpu")
    found = {"devices": sorted(kinds()), "versions": {name: version(name) for name in packages}, "runs": []}
    x, y = digits(arguments.batch)
    for name in arguments.optimizers:
        foretold = distribute.preflight(build_model(name), arguments.batch, arguments.topology, predict=False)
        times = Times()
        with strategy.scope():
            model = build_model(name)
        history = model.fit(x, y, arguments.batch, epochs=10, callbacks=[times], verbose=0).history
        found["runs"].append(
            {
                "optimizer": name,
                "losses": history["loss"],
                "seconds": statistics.median(times.seconds[4:]),
                "estimated seconds": foretold.train.seconds,
                "preflight": foretold.as_dict(),
            }
        )
        print(f"{name}: loss {history['loss'][-1]:.4f}, {found['runs'][-1]['seconds'] * 1e3:.2f} ms a step")
    with open(arguments.out, "w") as file:
        json.dump(found, file, indent=1)
    print(f"Written to {arguments.out}: please open an issue with it.")


if __name__ == "__main__":
    main()
