"""Saved files are what they would be without observers, and an observed run resumes with all its state."""

import h5py
import keras
import numpy as np
import pytest

from keras_dlopt import optimizers, step

pytestmark = pytest.mark.both_backends

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 3)).astype("float32")
Y = X[:, :1] * 2 + 1
BATCH = 4


class Ring(step.Observer):
    """Writes something at every step, before and after."""

    def build(self, optimizer, variables):
        self.ring = self.add_variable((5, 2), name="ring")
        self.count = self.add_variable((), dtype="int32", name="count")

    def after_apply(self, gradients, variables):
        self.assign(self.count, self.count + 1)
        self.assign(self.ring, self.ring + 1.0)


class Observe(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.observer = Ring()
        step.attach(self.model.optimizer, self.observer, self.model)

    def on_train_end(self, logs=None):
        step.detach(self.model.optimizer, self.observer)


KINDS = {
    "keras": lambda: keras.optimizers.Adam(0.01),
    "ours": lambda: optimizers.Adam(0.01),
    "loss scaling": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
}


def make_model(kind):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(KINDS[kind](), "mse")
    return model


def fit(model, callbacks=(), epochs=2, **kwargs):
    history = model.fit(X, Y, BATCH, epochs, shuffle=False, verbose=0, callbacks=list(callbacks), **kwargs)
    return history.history["loss"]


def contents(path):
    """Every array in an h5 file, by its path."""
    arrays = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: arrays.update({name: np.array(item)}) if hasattr(item, "shape") else None)
    return arrays


def assert_same_files(one, other):
    one, other = contents(one), contents(other)
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_files_saved_in_the_middle_are_those_of_the_unobserved_run(kind, tmp_path):
    for name, observers in (("plain", []), ("seen", [Observe()])):
        every = keras.callbacks.ModelCheckpoint(
            str(tmp_path / name) + "-{batch}.weights.h5", save_weights_only=True, save_freq=5
        )
        fit(make_model(kind), [*observers, every], epochs=1)
    saved = sorted(path.name for path in tmp_path.glob("plain-*"))
    assert len(saved) == 2
    for name in saved:
        assert_same_files(tmp_path / name, tmp_path / name.replace("plain", "seen"))


@pytest.mark.parametrize("kind", KINDS)
def test_whole_model_saved_in_the_middle_goes_on_with_its_state(kind, tmp_path, recwarn):
    """Six batches, ModelCheckpoint's file, six more from the file: as twelve in one go."""
    whole = make_model(kind)
    fit(whole, epochs=1)

    path = str(tmp_path / "middle.keras")
    first = make_model(kind)
    fit(first, [Observe(), keras.callbacks.ModelCheckpoint(path, save_freq=6)], epochs=1, steps_per_epoch=6)
    second = keras.models.load_model(path)
    assert not [w for w in recwarn if "Skipping variable loading" in str(w.message)]
    assert int(keras.ops.convert_to_numpy(second.optimizer.iterations)) == 6
    second.fit(X[24:], Y[24:], BATCH, shuffle=False, verbose=0, callbacks=[Observe()])
    assert_same_state(second, whole)


@pytest.mark.parametrize("kind", KINDS)
def test_backup_and_restore_goes_on_with_its_state(kind, tmp_path):
    class Stop(Exception):
        pass

    class Break(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise Stop

    whole = make_model(kind)
    fit(whole, epochs=3)

    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
    with pytest.raises(Stop):
        fit(make_model(kind), [Observe(), backup, Break()], epochs=3)
    for callbacks in ([Observe(), backup], [backup, Observe()]):  # restored while attached, and before
        resumed = make_model(kind)
        kept = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"), delete_checkpoint=False)
        fit(resumed, [kept if c is backup else c for c in callbacks], epochs=3, initial_epoch=2)
        assert_same_state(resumed, whole)
        backup_after_epoch_two(tmp_path, kind)


def backup_after_epoch_two(tmp_path, kind):
    """Puts the backup back to where the first run broke off."""
    keeper = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"), delete_checkpoint=False)
    for file in (tmp_path / "backup").iterdir():
        file.unlink()
    fit(make_model(kind), [keeper], epochs=2)


def test_weights_loaded_while_attached(tmp_path):
    """A file of an unobserved run, loaded into an observed optimizer."""
    source = make_model("keras")
    fit(source)
    source.save_weights(tmp_path / "run.weights.h5")
    model, observer = make_model("keras"), Ring()
    step.attach(model.optimizer, observer, model)
    fit(model, epochs=1)
    model.load_weights(tmp_path / "run.weights.h5")
    assert int(keras.ops.convert_to_numpy(observer.count)) == 12
    step.detach(model.optimizer, observer)
    assert_same_state(model, source)


def assert_same_state(model, expected):
    pairs = (model.weights, expected.weights), (model.optimizer.variables, expected.optimizer.variables)
    for mine, theirs in pairs:
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (one, other)), err_msg=one.path)
