"""A fixed run with one optimizer of each family, as a script: its losses must be the same wherever it is trained.

    python training.py PLACE FOLDER

PLACE is "devices" (1, 2 and 4 of one process; on JAX only 4) or "workers" (this is one of several processes). What
was found is written to a file in FOLDER.
"""

import contextlib
import json
import os
import signal
import sys

import keras
import numpy as np
from keras import layers

from keras_dlopt import callbacks, distribute, optimizers
from keras_dlopt.callbacks.resume.store import Store
from keras_dlopt.distribute.plan import last
from keras_dlopt.optimizers.table import TABLE

# One of each family, the last: of curvature the one whose random numbers are the same on every replica.
FAMILIES = {row.family: row.name for row in TABLE.values()}
OPTIMIZERS = {"Keras's Adam": keras.optimizers.Adam} | {name: getattr(optimizers, name) for name in FAMILIES.values()}
RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(72, 10)).astype("float32"), RNG.integers(0, 4, 72)
BATCH = 24


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return len(X) // BATCH

    def __getitem__(self, index):
        part = slice(index * BATCH, (index + 1) * BATCH)
        return X[part], Y[part]


class Dies(keras.callbacks.Callback):
    """Kills worker 1 in the middle of the fourth epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 3 and batch == 1 and last().index == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


def compiled(strategy, make, **kwargs):
    with strategy.scope():
        keras.utils.set_random_seed(1)
        hidden = layers.Dense(16, activation="tanh", name="hidden")
        model = keras.Sequential([layers.Input((10,)), hidden, layers.Dense(4, name="head")])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(make(0.01), loss, **{"jit_compile": False, **kwargs})
        rng = np.random.default_rng(5)  # the same weights on both backends
        model.set_weights([rng.normal(scale=0.3, size=weight.shape) for weight in model.get_weights()])
    return model


def fit(model, x=X, y=Y, epochs=3, **kwargs):
    if y is not None:
        kwargs = {"batch_size": BATCH, "shuffle": False, **kwargs}
    return model.fit(x, y, epochs=epochs, verbose=0, **kwargs).history


def losses(strategy):
    return {name: fit(compiled(strategy, make))["loss"] for name, make in OPTIMIZERS.items()}


def everything(strategy, folder):
    """One run with validation, a metric and callbacks; and what came of it besides."""
    model = compiled(strategy, optimizers.Adam, metrics=["accuracy"])
    used = [
        callbacks.OneCycle(0.05),
        callbacks.Prune(0.5, end=0.5),
        callbacks.RecordOptimizer(f"{folder}/log", every=1),
        keras.callbacks.ModelCheckpoint(f"{folder}/best.keras", monitor="val_loss", save_best_only=True),
    ]
    history = fit(model, validation_data=(X[:48], Y[:48]), callbacks=used)
    zeros = [float((np.asarray(w) == 0).mean()) for w in model.get_weights() if w.ndim > 1]
    return {
        "history": history,
        "zeros": zeros,
        "weights": [w.tolist() for w in model.get_weights()],
        "predictions": model.predict(X[:48], batch_size=BATCH, verbose=0).tolist(),
        "evaluated": model.evaluate(X, Y, batch_size=BATCH, verbose=0),
        "logs": len(os.listdir(f"{folder}/log")),
    }


def kinds_of_data(strategy):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y))
    return {
        "tf.data": fit(compiled(strategy, keras.optimizers.Adam), distribute.dataset(data, BATCH), None)["loss"],
        "PyDataset": fit(compiled(strategy, keras.optimizers.Adam), Batches(), None, shuffle=False)["loss"],
    }


def resuming(folder):
    """`ResumeExactly` after every batch, as the chief finds that `every` asks for."""
    return callbacks.ResumeExactly(f"{folder}/exact", every=1e-3)


def breaking_off(strategy, folder, data):
    """The losses of a run of three epochs that breaks off in the second and goes on, for workers on JAX."""

    class Breaks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == 4:
                raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        fit(compiled(strategy, keras.optimizers.Adam), data, None, callbacks=[Breaks(), resuming(folder)])
    return fit(compiled(strategy, keras.optimizers.Adam), data, None, callbacks=[resuming(folder)])["loss"]


def long_run(strategy, *used):
    """Six epochs, for a run that is interrupted; momentum, so that the optimizer's state matters."""
    return fit(compiled(strategy, optimizers.Adam), epochs=6, callbacks=used)["loss"]


def without_each_mend(strategy):
    """What Keras itself says, each mend taken out in turn."""
    from keras.src.backend.tensorflow import trainer

    from keras_dlopt.distribute.replaced import UPSTREAM

    said = {}
    for owner, name in ((trainer.TensorFlowTrainer, "_maybe_symbolic_build"), (trainer, "reduce_per_replica")):
        mended = getattr(owner, name)
        setattr(owner, name, UPSTREAM[f"{owner.__name__.rpartition('.')[2]}.{name}"])
        try:
            fit(compiled(strategy, keras.optimizers.Adam), epochs=1)
            said[name] = "nothing"
        except ValueError as error:
            said[name] = str(error)
        finally:
            setattr(owner, name, mended)
    return said


def on_devices(folder):
    if keras.backend.backend() == "jax":
        alone, name = _devices(1), "SophiaH"  # its random numbers are the backend's
        return {"1": {name: fit(compiled(alone, OPTIMIZERS[name]))["loss"]}, "4": losses(_devices(4))}
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
    found = {"everything": everything(_devices(1), folder), "long": long_run(_devices(1))}
    return found | {str(count): losses(_devices(count)) for count in (1, 2, 4)}


def _devices(count):
    strategy = distribute.strategy("cpu", devices=[f"CPU:{i}" for i in range(count)])
    assert last().replicas == count
    return strategy


def on_workers(folder):
    strategy = distribute.strategy()
    writes, upstream = [], Store.write
    Store.write = lambda store, number, state: (writes.append(number), upstream(store, number, state))
    if keras.backend.backend() == "jax":
        import tensorflow as tf

        data = distribute.dataset(tf.data.Dataset.from_tensor_slices((X, Y)), BATCH)
        model = compiled(strategy, keras.optimizers.Adam)
        found = {"losses": {"Keras's Adam": fit(model, data, None)["loss"]}}
        model.save(f"{folder}/jax.keras")
        found["resumed"] = breaking_off(strategy, f"{folder}/jax", data)
        return found | {"weights": model.get_weights()[0].tolist(), "writes": writes}
    backup = keras.callbacks.BackupAndRestore(f"{folder}/backup")
    found = {"losses": losses(strategy), "chief": distribute.is_chief()}
    if last().workers == 2:
        found["everything"] = everything(strategy, f"{folder}/workers")
        found["data"] = kinds_of_data(strategy)
        found["without"] = without_each_mend(strategy)
        write(found, f"{folder}/tensorflow-workers-2-{last().index}.json")
        long_run(strategy, backup, Dies(), resuming(folder))
    found["resumed"] = long_run(strategy, backup)
    found["resumed exactly"] = long_run(strategy, resuming(folder))
    return found | {"writes": writes}


def write(found, path):
    with open(path + ".part", "w") as file:
        json.dump(found, file)
    os.replace(path + ".part", path)


if __name__ == "__main__":
    place, folder = sys.argv[1:]
    if place == "devices":
        write(on_devices(folder), f"{folder}/{keras.backend.backend()}.json")
    else:
        found = on_workers(folder)
        write(found, f"{folder}/{keras.backend.backend()}-workers-{last().workers}-{last().index}.json")
