"""The range test: the rates of every step, the loss of every batch, the suggestions, and nothing left behind."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dlopt import callbacks, tune
from keras_dlopt.tune.range_test import smooth

JAX = keras.backend.backend() == "jax"
X = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
Y = X[:, :1] - 0.5 * X[:, 1:2]


def make_model(optimizer=None, dropout=0.3, **compiled):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(dropout)]
    model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.Adam(0.01), "mse", metrics=["mae"], jit_compile=JAX, **compiled)
    return model


def linear(**compiled):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=JAX, **compiled)
    return model


def state(model):
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


def by_numpy(x, y, rates, batch):
    """The losses of gradient descent on a linear model from zero, one rate a batch."""
    w, losses = np.zeros((3, 1)), []
    for start, rate in zip(range(0, len(x), batch), rates, strict=True):
        a, b = x[start : start + batch], y[start : start + batch]
        error = a @ w - b
        losses.append(np.mean(error**2))
        w -= rate * 2 * a.T @ error / len(a)
    return losses


@pytest.mark.both_backends
@pytest.mark.parametrize("sweep", ["exponential", "linear"])
def test_each_step_uses_its_rate_and_gives_the_loss_of_its_batch(sweep):
    finder = callbacks.LearningRateFinder(1e-3, 0.3, sweep=sweep, diverge=1e6)
    linear().fit(X, Y, 4, shuffle=False, callbacks=[finder], verbose=0)
    rates = np.geomspace(1e-3, 0.3, 6) if sweep == "exponential" else np.linspace(1e-3, 0.3, 6)
    np.testing.assert_allclose(finder.result.rates, rates, rtol=1e-5)
    np.testing.assert_allclose(finder.result.losses, by_numpy(X, Y, rates, 4), rtol=1e-4)


@pytest.mark.both_backends
def test_training_goes_on_as_if_nothing_had_been():
    ends = []
    for search in (False, True):
        model = make_model()
        keras.utils.set_random_seed(2)
        model.fit(X, Y, 8, verbose=0)
        if search:
            before = state(model)
            found = tune.find_learning_rate(model, X, Y, batch_size=4, steps=12, low=1e-3, high=1.0)
            assert len(found.rates) > 3
            after = state(model)
            assert len(before) == len(after) and all(map(np.array_equal, before, after))
        model.fit(X, Y, 8, verbose=0)  # shuffled, as if the search had drawn nothing
        ends.append(state(model))
    assert all(map(np.array_equal, *ends))


@pytest.mark.both_backends
def test_executions_of_several_steps_are_put_back():
    model = linear(steps_per_execution=3)
    found = tune.find_learning_rate(model, X, Y, batch_size=4, steps=6, low=1e-3, high=0.3, diverge=1e6)
    np.testing.assert_allclose(found.rates, np.geomspace(1e-3, 0.3, 6), rtol=1e-5)
    assert model.steps_per_execution == 3 and not model.get_weights()[0].any()
    model.fit(X, Y, 4, verbose=0)
    assert int(model.optimizer.iterations) == 6
    finder = callbacks.LearningRateFinder(1e-3, 0.3, sweep="linear", diverge=1e6)
    model.fit(X, Y, 4, callbacks=[finder], verbose=0)
    np.testing.assert_allclose(finder.result.rates, np.linspace(1e-3, 0.3, 6)[[1, 4]], rtol=1e-5)


@pytest.mark.both_backends
def test_a_model_that_its_first_step_builds():
    model = keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile("adam", "mse", jit_compile=JAX)
    found = tune.find_learning_rate(model, X, Y, batch_size=4, steps=6)
    assert len(found.rates) == 6
    weights = model.get_weights()
    model.fit(X, Y, 4, verbose=0)
    assert not np.array_equal(weights[0], model.get_weights()[0]) and int(model.optimizer.iterations) == 6


def test_beside_other_callbacks():
    with pytest.raises(ValueError, match="LearningRateFinder comes after AverageWeights"):
        linear().fit(X, Y, callbacks=[callbacks.LearningRateFinder(), callbacks.AverageWeights("swa")], verbose=0)
    with pytest.raises(ValueError, match="without a schedule"):
        linear().fit(X, Y, 4, callbacks=[callbacks.OneCycle(0.1), callbacks.LearningRateFinder()], verbose=0)
    model = linear()
    swa = callbacks.AverageWeights("swa", begin=0.5)
    model.fit(X, Y, 4, callbacks=[swa, callbacks.LearningRateFinder(1e-3, 0.3)], verbose=0)
    assert not model.get_weights()[0].any()


def test_a_train_step_without_a_loss_is_refused():
    class Silent(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            return {"error": super().train_step(data)["loss"]}

    model = Silent()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="returns its `loss`"):
        tune.find_learning_rate(model, X, Y)


def test_the_sweep_ends_when_the_loss_diverges_or_is_not_finite():
    model = linear()
    found = tune.find_learning_rate(model, X, Y, batch_size=4, steps=200, low=1e-2, high=1e9)
    assert 3 < len(found.rates) < 100 and np.isfinite(found.losses).all()
    found = tune.find_learning_rate(model, X, Y, batch_size=4, steps=200, low=1e30, high=1e38, diverge=1e300)
    assert len(found.rates) < 5 and not model.get_weights()[0].any()


def test_a_run_that_breaks_off_leaves_nothing():
    class Breaks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model, finder = linear(), callbacks.LearningRateFinder(0.1, 0.2)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, 4, callbacks=[finder, Breaks()], verbose=0)
    assert model.get_weights()[0].any()
    finder.put_back()
    assert not model.get_weights()[0].any() and float(model.optimizer.learning_rate) == 0.5


def test_a_dataset():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    found = tune.find_learning_rate(linear(), data, steps=7, low=1e-3, high=0.1)
    np.testing.assert_allclose(found.rates, np.geomspace(1e-3, 0.1, 7), rtol=1e-5)


def test_suggestions_on_a_known_curve():
    rates = np.geomspace(1e-5, 10, 61)  # ten points a decade
    t = np.log10(rates)
    losses = 3 - 2 / (1 + np.exp(-4 * (t + 2))) + np.where(t > -0.5, 30 * (t + 0.5) ** 2, 0)
    test = tune.RangeTest(rates, losses, losses)
    assert test.steepest == pytest.approx(1e-2)  # the logistic's middle
    assert test.minimum == pytest.approx(rates[losses.argmin()] / 10)
    end = losses.argmin()  # the loss falls from the first point to its smallest
    assert test.valley == pytest.approx(rates[end - (end + 1) // 2])


def test_smoothing_corrects_its_bias():
    np.testing.assert_allclose(smooth(np.full(7, 2.5), 0.9), 2.5)
    losses = np.random.default_rng(0).normal(size=9)
    weights = 0.8 ** np.arange(9)[::-1]
    assert smooth(losses, 0.8)[-1] == pytest.approx((weights * losses).sum() / weights.sum())


def test_plot(tmp_path):
    rates = np.geomspace(1e-4, 1, 30)
    losses = 1 + (np.log10(rates) + 1.5) ** 2
    tune.RangeTest(rates, losses, losses).plot(tmp_path / "range.png")
    assert (tmp_path / "range.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "name, value",
    [("low", 0), ("high", 1e-9), ("steps", 2), ("sweep", "cosine"), ("smoothing", 1), ("diverge", 1)],
)
def test_bad_arguments(name, value):
    with pytest.raises(ValueError, match=name):
        callbacks.LearningRateFinder(**{name: value})


def test_what_cannot_be_put_back_or_swept_is_refused():
    with pytest.raises(ValueError, match="generator"):
        tune.find_learning_rate(linear(), iter([(X, Y)]))
    with pytest.raises(ValueError, match="compiled"):
        tune.find_learning_rate(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]), X, Y)
    scheduled = make_model(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)))
    with pytest.raises(ValueError, match="learning_rate"):
        tune.find_learning_rate(scheduled, X, Y)
    with pytest.raises(ValueError, match="losses"):
        _ = tune.RangeTest(np.ones(1), np.ones(1), np.ones(1)).valley
