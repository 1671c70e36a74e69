"""The search for a learning rate: which trials go on, that they see the same batches, that nothing is left behind."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_dlopt import tune

JAX = keras.backend.backend() == "jax"
X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = X[:, :1] - 0.5 * X[:, 1:2]


def linear(optimizer=None, **compiled):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(optimizer or keras.optimizers.SGD(0.5), "mse", jit_compile=JAX, **compiled)
    return model


def state(model):
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


def by_numpy(x, y, x_val, y_val, rate, epochs, batch, seed):
    """Validation losses of gradient descent on a linear model from zero."""
    w, losses = np.zeros((3, 1)), []
    for epoch in range(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(x))
        for start in range(0, len(x), batch):
            a, b = x[order][start : start + batch], y[order][start : start + batch]
            w -= rate * 2 * a.T @ (a @ w - b) / len(a)
        losses.append(np.mean((x_val @ w - y_val) ** 2))
    return losses


@pytest.mark.both_backends
def test_trials_are_real_runs_and_the_better_half_goes_on():
    search = tune.search_learning_rate(linear(), X, Y, epochs=8, batch_size=8, trials=8, seed=3)
    assert sorted(map(len, search.losses)) == [1, 1, 1, 1, 2, 2, 4, 4]
    kept = [(X[:36], Y[:36]), (X[36:], Y[36:])]
    for rate, losses in zip(search.rates, search.losses, strict=True):
        expected = by_numpy(*kept[0], *kept[1], float(np.float32(rate)), len(losses), 8, 3)
        np.testing.assert_allclose(losses, expected, rtol=2e-3, atol=1e-6)
    firsts = [losses[0] for losses in search.losses]
    assert {i for i, losses in enumerate(search.losses) if len(losses) > 1} == set(np.argsort(firsts)[:4])
    last = [i for i, losses in enumerate(search.losses) if len(losses) == 4]
    assert search.best == search.rates[min(last, key=lambda i: min(search.losses[i]))]
    assert search.rates[0] == pytest.approx(search.range_test.valley / 3)


@pytest.mark.both_backends
def test_training_goes_on_as_if_nothing_had_been():
    ends = []
    for search in (False, True):
        keras.utils.set_random_seed(1)
        layers = [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(0.3)]
        model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"], jit_compile=JAX)
        model.fit(X, Y, 8, verbose=0, shuffle=False)
        if search:
            before = state(model)
            tune.search_learning_rate(model, X, Y, epochs=2, trials=2, validation_data=(X, Y))
            assert all(map(np.array_equal, before, state(model)))
        model.fit(X, Y, 8, verbose=0, shuffle=False)
        ends.append(state(model))
    assert all(map(np.array_equal, *ends))


def test_two_trials_have_half_of_the_run():
    search = tune.search_learning_rate(linear(), X, Y, epochs=3, trials=2)
    assert [len(losses) for losses in search.losses] == [2, 2]


def test_a_dataset_with_weights():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y, np.ones(len(X)))).batch(8)
    search = tune.search_learning_rate(linear(), data, validation_data=data, epochs=2, trials=2)
    assert all(math.isfinite(losses[-1]) for losses in search.losses)
    weighted = tune.search_learning_rate(linear(), X, Y, sample_weight=np.zeros(len(X)) + 1e-9, epochs=2, trials=2)
    assert weighted.losses[0][-1] < 1e-6  # of held-out rows with their weights
    endless = data.repeat()
    with pytest.raises(ValueError, match="steps_per_epoch"):
        tune.search_learning_rate(linear(), endless, validation_data=data, epochs=2, trials=2)
    search = tune.search_learning_rate(
        linear(), endless, validation_data=data, epochs=2, trials=2, steps_per_epoch=2, low=1e-3
    )
    assert [len(losses) for losses in search.losses] == [1, 1]


def test_an_endless_dataset_goes_on_from_epoch_to_epoch():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)  # of five batches an epoch takes two
    search = tune.search_learning_rate(
        linear(), data.repeat(), validation_data=(X, Y), epochs=4, trials=2, steps_per_epoch=2, low=1e-3
    )
    w, losses = np.zeros((3, 1)), []
    for epoch in (0, 1):
        for start in (16 * epoch, 16 * epoch + 8):
            a, b = X[start : start + 8], Y[start : start + 8]
            w -= np.float32(search.rates[0]) * 2 * a.T @ (a @ w - b) / 8
        losses.append(np.mean((X @ w - Y) ** 2))
    np.testing.assert_allclose(search.losses[0], losses, rtol=1e-3)


@pytest.mark.both_backends
def test_trials_of_executions_of_several_steps():
    ends = []
    for executions in (1, 5):
        model = linear(steps_per_execution=executions)
        ends.append(tune.search_learning_rate(model, X, Y, epochs=2, trials=2, batch_size=8, seed=1).losses)
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-4)


def test_plot(tmp_path):
    search = tune.RateSearch(np.array([0.1, 0.2, 0.4]), ([2.0, 1.0], [1.0, 0.5], [math.inf]), None)
    figure = search.plot(tmp_path / "search.svg")
    lines = figure.axes[0].get_lines()
    assert lines[1].get_xydata().tolist() == [[0.1, 1.0], [0.2, 0.5]] and search.best == 0.2
    assert (tmp_path / "search.svg").read_text().count("<svg") == 1


def test_bad_arguments():
    for name, value in (("epochs", 1), ("trials", 1), ("batch_size", 0)):
        with pytest.raises(ValueError, match=name):
            tune.search_learning_rate(linear(), X, Y, **{"epochs": 4, name: value})
    import tensorflow as tf

    model = linear()
    with pytest.raises(ValueError, match="validation_data"):
        tune.search_learning_rate(model, tf.data.Dataset.from_tensor_slices((X, Y)).batch(8), epochs=4)
    with pytest.raises(ValueError, match="no validation loss was finite"):
        tune.search_learning_rate(model, X, Y, epochs=2, validation_data=(X, Y * np.nan))
    assert not model.get_weights()[0].any()
