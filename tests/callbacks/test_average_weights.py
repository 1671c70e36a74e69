"""Means of the weights against NumPy's, what validation sees, and BatchNormalization."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dlopt import callbacks

BACKEND = keras.backend.backend()
RATE = 0.1
X = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(24, 1)).astype("float32")


def network(**kwargs):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(RATE), "mse", jit_compile=BACKEND == "jax", **kwargs)
    return model


def by_numpy(steps, batch=4):
    """The weights after every step."""
    weight, path = np.ones((3, 1)), []
    for t in range(steps):
        rows = slice(t * batch % 24, t * batch % 24 + batch)
        weight = weight - RATE * 2 * X[rows].T @ (X[rows] @ weight - Y[rows]) / batch
        path.append(weight)
    return path


def exponential(path, decay):
    mean = path[0]
    for t, weight in enumerate(path[1:], 1):
        now = min(decay, (1 + t) / (10 + t))
        mean = now * mean + (1 - now) * weight
    return mean


class Seen(keras.callbacks.Callback):
    def on_test_batch_begin(self, batch, logs=None):
        self.tested = self.model.get_weights()[0] if BACKEND != "jax" else None

    def on_epoch_end(self, epoch, logs=None):
        self.trained = self.model.get_weights()[0]


@pytest.mark.both_backends
@pytest.mark.parametrize(
    ("kind", "begin", "per_execution"), [("swa", 4, 1), ("swa", 0.5, 2), ("ema", 0, 2), ("ema", 3, 1)]
)
def test_mean_is_numpys_and_takes_the_weights_place(kind, begin, per_execution):
    model, seen = network(steps_per_execution=per_execution), Seen()
    mean = callbacks.AverageWeights(kind, decay=0.3, begin=begin)
    history = model.fit(
        X, Y, 4, epochs=2, shuffle=False, callbacks=[mean, seen], verbose=0, validation_data=(X, Y)
    ).history
    path = by_numpy(12)
    kept = path[int(begin * 12) if begin == 0.5 else begin :]
    expected = np.mean(kept, axis=0) if kind == "swa" else exponential(kept, 0.3)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(history["val_loss"][-1], np.mean((X @ expected - Y) ** 2), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(seen.trained, path[-1], rtol=1e-5, atol=1e-6)
    if BACKEND != "jax":
        np.testing.assert_allclose(seen.tested, expected, rtol=1e-5, atol=1e-6)
    assert "_seam" not in vars(model.optimizer)


@pytest.mark.both_backends
def test_accumulated_batches_are_no_updates():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(RATE, gradient_accumulation_steps=2), "mse", jit_compile=BACKEND == "jax")
    model.fit(X, Y, 4, shuffle=False, callbacks=[callbacks.AverageWeights("swa")], verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], np.mean(by_numpy(3, batch=8), axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.both_backends
def test_batch_norm_has_the_statistics_of_the_mean_weights():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2), layers.BatchNormalization(), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(RATE), "mse", jit_compile=BACKEND == "jax")
    with pytest.raises(ValueError, match=r"AverageWeights\(data=...\)"):
        model.fit(X, Y, callbacks=[callbacks.AverageWeights("swa")], verbose=0)
    mean = callbacks.AverageWeights("swa", data=[X[:12], X[12:]])
    model.fit(X, Y, 8, callbacks=[mean], verbose=0)
    hidden = X @ model.layers[0].get_weights()[0] + model.layers[0].get_weights()[1]
    moving_mean, variance = model.layers[1].get_weights()[2:]
    np.testing.assert_allclose(moving_mean, hidden.mean(0), atol=1e-5)
    np.testing.assert_allclose(variance, (hidden[:12].var(0) + hidden[12:].var(0)) / 2, rtol=1e-4)
    assert model.layers[1].momentum == 0.99


def test_mirrored(mirrored):
    if BACKEND != "tensorflow":
        pytest.skip("a strategy of TensorFlow")
    with mirrored.scope():  # Keras itself fails under it with more than one step an execution
        model = network()
    model.fit(X, Y, 4, shuffle=False, callbacks=[callbacks.AverageWeights("swa", begin=2)], verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], np.mean(by_numpy(6)[2:], axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.both_backends
def test_state_goes_on():
    expected = np.mean(by_numpy(12), axis=0)
    model, mean = network(), callbacks.AverageWeights("swa")
    states = []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: states.append((mean.get_state(), model.get_weights()))
    )
    model.fit(X, Y, 4, shuffle=False, callbacks=[mean, keep], verbose=0)
    model.set_weights(states[0][1])
    load = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: mean.set_state(states[0][0]))
    model.fit(X, Y, 4, 2, initial_epoch=1, shuffle=False, callbacks=[mean, load], verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.both_backends
def test_the_best_weights_are_those_that_validation_measured(tmp_path):
    model, path = network(), tmp_path / "best.weights.h5"
    used = [
        keras.callbacks.EarlyStopping("val_loss", patience=9, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(path, "val_loss", save_best_only=True, save_weights_only=True),
        seen := Seen(),
    ]
    used += [callbacks.AverageWeights("ema", 0.5)]
    data = {"validation_data": (X[:4], 3 * Y[:4]), "shuffle": False, "verbose": 0}
    losses = model.fit(X, Y, 4, 4, callbacks=used, **data).history["val_loss"]
    best = min(losses)
    assert best < losses[-1]
    assert model.evaluate(X[:4], 3 * Y[:4], verbose=0) == pytest.approx(best, rel=1e-5)
    np.testing.assert_allclose(seen.trained, by_numpy(24)[-1], rtol=1e-5, atol=1e-6)
    assert "on_epoch_end" not in vars(used[0]) | vars(used[1])
    model.load_weights(path)
    assert model.evaluate(X[:4], 3 * Y[:4], verbose=0) == pytest.approx(best, rel=1e-5)
    with pytest.raises(ValueError, match="AverageWeights comes after EarlyStopping"):
        model.fit(X, Y, callbacks=[callbacks.AverageWeights(), used[0]], verbose=0)


class BreakInTest(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.trained = keras.ops.convert_to_numpy(self.model.weights[0]) if BACKEND != "jax" else by_numpy(6)[-1]

    def on_test_end(self, logs=None):
        raise KeyboardInterrupt


@pytest.mark.both_backends
@pytest.mark.parametrize("loaded", [False, True])
def test_broken_off_in_validation(loaded):
    """The weights of training come back, unless others have been loaded."""
    model, mean, broken = network(), callbacks.AverageWeights("swa"), BreakInTest()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, 4, shuffle=False, callbacks=[broken, mean], validation_data=(X, Y), verbose=0)
    if loaded:
        model.set_weights([np.full((3, 1), 7.0)])
    mean.end_run()
    expected = np.full((3, 1), 7.0) if loaded else broken.trained
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5)


def test_bad_arguments():
    for name, value in (("kind", "mean"), ("decay", 1.0), ("begin", -1)):
        with pytest.raises(ValueError, match=rf"AverageWeights\({name}=...\)"):
            callbacks.AverageWeights(**{name: value})
    with pytest.raises(ValueError, match="before the end of the run, of 6 steps"):
        network().fit(X, Y, 4, callbacks=[callbacks.AverageWeights(begin=6)], verbose=0)
