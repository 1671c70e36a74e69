"""Which rows are kept, and that the step is that of these rows alone."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt import callbacks
from keras_dlopt.step.hard_rows import hard_rows, row_losses

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3)).astype("float32")
Y = RNG.normal(size=(24, 1)).astype("float32")
WEIGHTS = RNG.uniform(size=24).astype("float32")
RATE = 0.1


def network(**kwargs):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(RATE), "mse", **{"jit_compile": BACKEND == "jax", **kwargs})
    return model


def by_numpy(chosen_of, steps=6, weights=None, size=4):
    weights = np.ones(24) if weights is None else weights
    weight = np.ones((3, 1))
    for t in range(steps):
        rows = np.arange(t * size, (t + 1) * size) % 24
        losses = weights[rows] * ((X[rows] @ weight - Y[rows]) ** 2)[:, 0]
        kept = rows[chosen_of(t, losses)]
        weight = weight - RATE * 2 * X[kept].T @ (weights[kept, None] * (X[kept] @ weight - Y[kept])) / len(kept)
    return weight


def largest_half(t, losses):
    return np.argsort(losses)[len(losses) // 2 :]


@pytest.mark.both_backends
@pytest.mark.parametrize("case", [{}, {"jit_compile": True}, {"steps_per_execution": 3}], ids=["plain", "jit", "three"])
def test_the_step_is_that_of_the_hardest_rows(case):
    model = network(**case)
    hard = callbacks.SelectiveBackprop(0.5, begin=0, end=6, select="top")
    model.fit(X, Y, 4, sample_weight=WEIGHTS, shuffle=False, verbose=0, callbacks=[hard])
    np.testing.assert_allclose(model.get_weights()[0], by_numpy(largest_half, weights=WEIGHTS), atol=1e-5)
    assert "train_step" not in vars(model)


@pytest.mark.both_backends
def test_only_between_begin_and_end():
    model = network()
    hard = callbacks.SelectiveBackprop(0.5, begin=2, end=4, select="top")
    model.fit(X, Y, 4, shuffle=False, verbose=0, callbacks=[hard])
    expected = by_numpy(lambda t, losses: largest_half(t, losses) if 2 <= t < 4 else np.arange(4))
    np.testing.assert_allclose(model.get_weights()[0], expected, atol=1e-5)


def test_mirrored_replicas_choose_among_their_own(mirrored):
    if BACKEND != "tensorflow":
        pytest.skip("a strategy of TensorFlow")
    with mirrored.scope():
        model = network()
    hard = callbacks.SelectiveBackprop(0.5, begin=0, end=3, select="top")
    model.fit(X, Y, 8, shuffle=False, verbose=0, callbacks=[hard])

    def of_replicas(t, losses):
        return np.concatenate([largest_half(t, losses[:4]), 4 + largest_half(t, losses[4:])])

    np.testing.assert_allclose(model.get_weights()[0], by_numpy(of_replicas, steps=3, size=8), atol=1e-5)


@pytest.mark.both_backends
def test_the_draw_has_the_odds_it_should():
    losses, keep = np.array([4.0, 1.0, 3.0, 2.0], "float32"), 0.25  # one of four rows: the odds are the shares
    for beta in (1.0, 3.0):
        odds = np.array([4.0, 1.0, 3.0, 2.0]) ** beta
        draws = ops.vectorized_map(lambda t, beta=beta: hard_rows(losses, keep, beta, (0, t)), ops.arange(2000))
        share = np.bincount(ops.convert_to_numpy(draws)[:, 0], minlength=4) / 2000
        np.testing.assert_allclose(share, odds / odds.sum(), atol=0.04)  # 3.5 standard deviations
    assert len(ops.convert_to_numpy(hard_rows(losses, 0.5, 1.0, (0, 0)))) == 2
    first = [ops.convert_to_numpy(hard_rows(losses, 0.5, 1.0, (seed, 5))) for seed in (3, 3)]
    np.testing.assert_array_equal(*first)


@pytest.mark.both_backends
def test_the_draw_changes_from_step_to_step_and_runs_repeat_it():
    weights = []
    for _ in range(2):
        model = network()
        model.fit(
            *(X, Y, 4),
            shuffle=False,
            verbose=0,
            callbacks=[callbacks.SelectiveBackprop(0.5, begin=0, end=6, seed=4)],
        )
        weights.append(model.get_weights()[0])
    np.testing.assert_array_equal(*weights)
    chosen = []
    for t in range(6):
        losses = np.arange(4, dtype="float32")
        chosen.append(tuple(ops.convert_to_numpy(hard_rows(losses, 0.5, 1.0, (4, t)))))
    assert len(set(chosen)) > 1
    assert np.abs(weights[0] - by_numpy(largest_half)).max() > 1e-3


@pytest.mark.both_backends
def test_losses_of_rows_add_up_to_that_of_the_batch():
    inputs = keras.Input((3,))
    named = {"a": layers.Dense(2, name="a")(inputs), "b": layers.Reshape((2, 2))(layers.Dense(4)(inputs))}
    model = keras.Model(inputs, named)
    model.compile("sgd", {"a": "mse", "b": "mae"}, loss_weights={"a": 2.0, "b": 0.5})
    y = {"a": RNG.normal(size=(24, 2)).astype("float32"), "b": RNG.normal(size=(24, 2, 2)).astype("float32")}
    y_pred = model(X)
    whole = model.compute_loss(X, y, y_pred)
    with keras.StatelessScope():
        rows = ops.convert_to_numpy(row_losses(model, y, y_pred))
    a, b = (ops.convert_to_numpy(y_pred[name]) for name in "ab")
    expected = 2 * ((a - y["a"]) ** 2).mean(1) + 0.5 * np.abs(b - y["b"]).mean((1, 2))
    np.testing.assert_allclose(rows, expected, rtol=1e-5)
    assert rows.mean() == pytest.approx(float(ops.convert_to_numpy(whole)), rel=1e-5)


@pytest.mark.both_backends
def test_batch_normalization_gathers_the_kept_rows_once_and_dropout_is_still_there():
    model = keras.Sequential(
        [keras.Input((3,)), layers.BatchNormalization(momentum=0.5), layers.Dropout(0.5, seed=1), layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=BACKEND == "jax")
    prediction = ops.convert_to_numpy(model(X[:8]))
    kept = np.argsort(((prediction - Y[:8]) ** 2)[:, 0])[4:]
    hard = callbacks.SelectiveBackprop(0.5, begin=0, end=1, select="top")
    model.fit(X[:8], Y[:8], 8, verbose=0, callbacks=[hard])
    np.testing.assert_allclose(model.layers[0].moving_mean, X[kept].mean(0) / 2, atol=1e-6)
    np.testing.assert_allclose(model.layers[0].moving_variance, 0.5 + X[kept].var(0) / 2, atol=1e-5)


@pytest.mark.both_backends
def test_refused_when_the_run_begins():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, inputs):
            return self.dense(inputs)

    model = Own()
    model.compile("sgd", jit_compile=BACKEND == "jax")
    with pytest.raises(ValueError, match=r"SelectiveBackprop\(model=...\).*compiled with a loss"):
        model.fit(X, Y, verbose=0, callbacks=[callbacks.SelectiveBackprop()])
    model = Own()
    model.compile("sgd", lambda y, y_pred: ops.mean(y - y_pred), jit_compile=BACKEND == "jax")
    with pytest.raises(ValueError, match="gives one number for the whole batch"):
        model.fit(X, Y, 4, verbose=0, callbacks=[callbacks.SelectiveBackprop()])
    with pytest.raises(ValueError, match=r"SelectiveBackprop\(end=...\).*after `begin`, which is step 3"):
        network().fit(X, Y, 4, verbose=0, callbacks=[callbacks.SelectiveBackprop(end=2)])
