"""The epoch after which a run ends."""

import keras
import numpy as np
import pytest

from keras_dlopt import callbacks

ONE = np.ones((1, 1))


def losses(stop, **kwargs):
    """The error halves in every epoch."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.25), "mse", jit_compile=keras.backend.backend() == "jax")
    return model.fit(ONE, ONE, epochs=5, callbacks=[stop], verbose=0, **kwargs).history["loss"]


@pytest.mark.both_backends
@pytest.mark.parametrize(("target", "mode", "epochs"), [(0.0625, "min", 3), (0.01, "min", 5), (0.9, "max", 1)])
def test_ends_after_the_epoch_that_reaches_it(target, mode, epochs):
    np.testing.assert_allclose(losses(callbacks.StopOnTarget("loss", target, mode=mode)), 0.25 ** np.arange(epochs))


@pytest.mark.both_backends
def test_an_epoch_without_validation_says_nothing():
    stop = callbacks.StopOnTarget("val_loss", 0.07, mode="min")  # reached in the second epoch
    assert len(losses(stop, validation_data=(ONE, ONE), validation_freq=[1, 3])) == 3


def test_a_metric_that_does_not_come_with_validation_is_refused_when_that_is_due():
    for frequency, due in ((2, 2), (9, 1)):  # the run has five epochs
        stop = callbacks.StopOnTarget("val_loss", 1.0)
        with pytest.raises(ValueError, match=r"StopOnTarget\(monitor=...\)"):
            losses(stop, validation_freq=frequency)
        assert int(stop.model.optimizer.iterations) == due


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"StopOnTarget\(mode=...\)"):
        callbacks.StopOnTarget("loss", 1.0, mode="auto")
    with pytest.raises(ValueError, match=r"StopOnTarget\(target=...\)"):
        callbacks.StopOnTarget("loss", float("nan"))
    with pytest.raises(ValueError, match=r"StopOnTarget\(monitor=...\)"):
        losses(callbacks.StopOnTarget("accuracy", 1.0))
