"""A step that is undone leaves no trace: weights, slots and counter equal those of a run without the batch."""

import logging

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt import callbacks

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(24, 2)).astype("float32")
POISONED = X.copy()
POISONED[9] = np.inf  # in batch 2 of 6


def network(optimizer, **kwargs):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, "tanh", name="first"), layers.Dense(2, name="second")])
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(size=w.shape) for w in model.weights])
    model.compile(optimizer, "mse", jit_compile=BACKEND == "jax", **kwargs)
    return model


def state(model):
    return [ops.convert_to_numpy(v) for v in [*model.trainable_variables, *model.optimizer.variables]]


def without_batch(x):
    return np.delete(x, range(8, 12), axis=0)


@pytest.mark.both_backends
@pytest.mark.parametrize("per_execution", [1, 2])
def test_skip_is_the_run_without_the_batch(per_execution, caplog):
    model = network(keras.optimizers.Adam(0.1), steps_per_execution=per_execution)
    with caplog.at_level(logging.WARNING):
        fit = model.fit(POISONED, Y, 4, shuffle=False, callbacks=[callbacks.NonFiniteGuard()], verbose=0)
    clean = network(keras.optimizers.Adam(0.1))
    clean.fit(without_batch(X), without_batch(Y), 4, shuffle=False, verbose=0)
    for found, expected in zip(state(model), state(clean), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert fit.history["non_finite"] == [1]
    (message,) = [record.getMessage() for record in caplog.records if "undone" in record.getMessage()]
    assert message.startswith("batch 2 undone") and "first/kernel" in message


@pytest.mark.both_backends
@pytest.mark.parametrize("scheduled", [False, True])
def test_rollback_goes_on_from_the_copy_with_a_lower_rate(scheduled):
    model = network(keras.optimizers.SGD(0.1, momentum=0.9))
    guard = callbacks.NonFiniteGuard("rollback", every=2, factor=0.25)
    used = [callbacks.Constant(0.1), guard] if scheduled else [guard]
    x = X.copy()
    x[13] = np.nan  # batch 3: back to the copy of after batch 1
    fit = model.fit(x, Y, 4, shuffle=False, callbacks=used, verbose=0)
    clean = network(keras.optimizers.SGD(0.1, momentum=0.9))
    clean.fit(X[:8], Y[:8], 4, shuffle=False, verbose=0)
    clean.optimizer.learning_rate = 0.025
    clean.fit(X[16:], Y[16:], 4, shuffle=False, verbose=0)
    for found, expected in zip(model.get_weights(), clean.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert int(model.optimizer.iterations) == 4
    if scheduled:
        np.testing.assert_allclose(fit.history["learning_rate"], 0.025, rtol=1e-6)


@pytest.mark.both_backends
def test_averages_do_not_count_what_was_undone():
    model = network(keras.optimizers.SGD(0.1))
    used = [callbacks.NonFiniteGuard(), callbacks.AverageWeights("swa")]
    model.fit(POISONED, Y, 4, shuffle=False, callbacks=used, verbose=0)
    clean = network(keras.optimizers.SGD(0.1))
    used = [callbacks.AverageWeights("swa")]
    clean.fit(without_batch(X), without_batch(Y), 4, shuffle=False, callbacks=used, verbose=0)
    for found, expected in zip(model.get_weights(), clean.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_pruning_schedule_and_sparse_gradients_in_the_same_run():
    model = keras.Sequential([keras.Input((3,)), layers.Embedding(9, 4), layers.Flatten(), layers.Dense(8)])
    model.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=False)
    tokens, target = np.arange(72).reshape(24, 3) % 9, np.ones((24, 8), "float32")
    target[9] = np.nan
    used = [callbacks.Constant(0.05), callbacks.NonFiniteGuard(), callbacks.Prune(0.5, end=2, only="kernel")]
    fit = model.fit(tokens, target, 4, callbacks=used, shuffle=False, verbose=0)
    assert (fit.history["non_finite"], int(model.optimizer.iterations)) == ([1], 5)
    assert all(np.isfinite(array).all() for array in state(model))
    np.testing.assert_allclose([fit.history["sparsity"][0], fit.history["learning_rate"][0]], [0.5, 0.05], rtol=1e-6)
    with pytest.raises(ValueError, match="Prune comes after NonFiniteGuard"):
        model.fit(tokens, target, callbacks=[callbacks.Prune(0.5), callbacks.NonFiniteGuard()], verbose=0)


def test_replicas_skip_together(mirrored):
    with mirrored.scope():
        model = network(keras.optimizers.Adam(0.1))
    model.fit(POISONED, Y, 4, shuffle=False, callbacks=[callbacks.NonFiniteGuard()], verbose=0)
    clean = network(keras.optimizers.Adam(0.1))
    clean.fit(without_batch(X), without_batch(Y), 4, shuffle=False, verbose=0)
    for found, expected in zip(model.get_weights(), clean.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_bad_arguments():
    for name, value in (("action", "stop"), ("every", 0), ("factor", 0.0)):
        with pytest.raises(ValueError, match=rf"NonFiniteGuard\({name}=...\)"):
            callbacks.NonFiniteGuard(**{name: value})
