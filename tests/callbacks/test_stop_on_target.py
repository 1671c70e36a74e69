"""The epoch after which a run ends."""

import keras
import numpy as np
import pytest

from keras_dlopt import callbacks


def losses(stop):
    """The error halves in every epoch."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.25), "mse", jit_compile=keras.backend.backend() == "jax")
    return model.fit(np.ones((1, 1)), np.ones((1, 1)), epochs=5, callbacks=[stop], verbose=0).history["loss"]


@pytest.mark.both_backends
@pytest.mark.parametrize(("target", "mode", "epochs"), [(0.0625, "min", 3), (0.01, "min", 5), (0.9, "max", 1)])
def test_ends_after_the_epoch_that_reaches_it(target, mode, epochs):
    np.testing.assert_allclose(losses(callbacks.StopOnTarget("loss", target, mode=mode)), 0.25 ** np.arange(epochs))


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"StopOnTarget\(mode=...\)"):
        callbacks.StopOnTarget("loss", 1.0, mode="auto")
    with pytest.raises(ValueError, match=r"StopOnTarget\(target=...\)"):
        callbacks.StopOnTarget("loss", float("nan"))
    with pytest.raises(ValueError, match=r"StopOnTarget\(monitor=...\)"):
        losses(callbacks.StopOnTarget("accuracy", 1.0))
