"""Several runs of `fit` in one process that take turns, an epoch each, so that what they need can be compared.

Each run has its thread and its model; one of them works at a time. In every round each has one turn, in another order.
A turn lasts from one `on_epoch_begin` to the next: all that callbacks do in an epoch is in it.
"""

import os
import platform
import random
import statistics
import tempfile
import threading
import time
from importlib.metadata import version

import keras
import numpy as np

STEPS = 100


class _Turns(keras.callbacks.Callback):
    """Comes first in the list: waits until it is its turn, and measures the turn before."""

    def __init__(self):
        super().__init__()
        self.go, self.arrived = threading.Event(), threading.Event()
        self.turns, self.started, self.error = [], None, None

    def on_epoch_begin(self, epoch, logs=None):
        self._arrive()

    def on_train_end(self, logs=None):
        self._arrive(last=True)

    def _arrive(self, last=False):
        if self.started is not None:
            wall = time.perf_counter() - self.started[0]
            for thread in threading.enumerate():  # what it started to write is part of its processor time
                if thread.name.startswith("ResumeExactly"):
                    thread.join()
            self.turns.append((wall, time.process_time() - self.started[1]))
        self.go.clear()
        self.arrived.set()
        if not last:
            self.go.wait()
            self.arrived.clear()
            self.started = time.perf_counter(), time.process_time()

    def let(self):
        """Lets it have its turn."""
        self.go.set()
        self._until_here()

    def _until_here(self):
        # `clear` comes after `go`: not to take the arrival before for the next one.
        while self.go.is_set():
            time.sleep(0.001)
        self.arrived.wait()
        if self.error is not None:
            raise self.error


class Run:
    """A `fit` that is about to begin.

    Args:
        make: folder -> a compiled model, the `x` of `fit`, and its callbacks.
        rounds: number of turns.
    """

    def __init__(self, make, rounds):
        self._folder = tempfile.TemporaryDirectory()
        self._control = _Turns()
        model, x, callbacks = make(self._folder.name)

        def fit():
            try:
                used = [self._control, *callbacks]
                model.fit(x, epochs=rounds, steps_per_epoch=STEPS, callbacks=used, verbose=0)
            except BaseException as error:
                self._control.error = error
                self._control.go.clear()
                self._control.arrived.set()

        self._thread = threading.Thread(target=fit, daemon=True)
        self._thread.start()
        self._control.arrived.wait()

    def turn(self):
        self._control.let()

    def end(self):
        """Seconds of wall time and of processor time of each turn."""
        self._thread.join()
        self._folder.cleanup()
        return self._control.turns


def measure(makes, rounds):
    """Runs side by side: name -> list of (wall, processor) seconds of `rounds` turns, the compiling first one apart.

    Args:
        makes: name -> what `Run` takes.
        rounds: how many turns each has.
    """
    runs = {name: Run(make, rounds + 1) for name, make in makes.items()}
    order, shuffle = list(runs), random.Random(0).shuffle
    for _ in range(rounds + 1):
        for name in order:
            runs[name].turn()
        shuffle(order)
    return {name: run.end()[1:] for name, run in runs.items()}


def ratios(turns, of, clock):
    """Quartiles of the ratios of turns to those `of` another run in the same rounds; clock 0 is wall time."""
    return statistics.quantiles([a[clock] / b[clock] for a, b in zip(turns, of, strict=True)], n=4)


def make_model(name, **optimizer):
    """A compiled model, "mlp" or "conv", and a dataset that gives the same batch for ever."""
    import tensorflow as tf
    from keras import layers

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    if name == "conv":  # 3.0 M parameters, batch 32
        x = rng.normal(size=(32, 28, 28, 1))
        widths = (64, 128, 256, 384, 512)
        convolutions = (layers.Conv2D(width, 3, 2, padding="same", activation="relu") for width in widths)
        body = [keras.Input((28, 28, 1)), *convolutions, layers.GlobalAveragePooling2D(), layers.Dense(10)]
    else:  # 3.2 M parameters, batch 16: bound by reading and writing weights and state
        x = rng.normal(size=(16, 1024))
        body = [keras.Input((1024,)), *(layers.Dense(1024, activation="relu") for _ in range(3)), layers.Dense(10)]
    model = keras.Sequential(body)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-4, **optimizer), loss, jit_compile=False)
    batch = tf.constant(x.astype("float32")), tf.constant(rng.integers(0, 10, len(x)))
    return model, tf.data.Dataset.from_tensors(batch).repeat()


def machine():
    """What it was measured on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras"))
    return f"{os.cpu_count()} cores ({platform.machine()}), {packages}"
