"""The factor on a schedule, without one, and when it is lowered."""

import keras
import numpy as np
import pytest

from keras_dlopt import callbacks, schedules

BACKEND = keras.backend.backend()
X = np.zeros((8, 1), "float32")


class Metric(keras.callbacks.Callback):
    """Puts given values into the logs."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs["metric"] = self.values[epoch]


def rates(metric, *used, per_execution=1, rate=0.1, **kwargs):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse", jit_compile=BACKEND == "jax", steps_per_execution=per_execution)
    fit = model.fit(X, X, 2, epochs=len(metric), callbacks=[Metric(metric), *used], verbose=0, **kwargs)
    return fit.history["learning_rate"]


@pytest.mark.both_backends
@pytest.mark.parametrize("per_execution", [1, 2])
def test_multiplies_a_schedule_after_warmup(per_execution):
    plateau = callbacks.ReduceLROnPlateau("metric", 0.5, patience=1, warmup=2)
    used = callbacks.WarmupCosine(0.4, warmup=8), plateau
    found = rates([9, 9, 5, 5, 4, 4], *used, per_execution=per_execution)
    schedule = schedules.WarmupCosine(0.4, warmup=8, steps=24)
    factors = [1, 1, 1, 1, 0.5, 0.5]  # of epoch 3's plateau from epoch 4 on
    expected = [factor * float(schedule(4 * epoch + 3)) for epoch, factor in enumerate(factors)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.both_backends
def test_equals_keras_without_a_schedule():
    metric = [5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3]
    ours = rates(metric, callbacks.ReduceLROnPlateau("metric", 0.3, patience=2, cooldown=2, min_lr=0.005))
    theirs = rates(
        metric, keras.callbacks.ReduceLROnPlateau("metric", 0.3, patience=2, mode="min", cooldown=2, min_lr=0.005)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert len(set(ours)) > 2


@pytest.mark.both_backends
def test_an_epoch_without_validation_does_not_count():
    plateau = callbacks.ReduceLROnPlateau("val_loss", 0.5, patience=1)
    found = rates([0] * 6, plateau, validation_data=(X, X), validation_freq=2)  # the loss stays zero
    np.testing.assert_allclose(found, [0.1, 0.1, 0.1, 0.1, 0.05, 0.05])


def test_bad_arguments_and_order():
    for name, value in (("factor", 1.0), ("patience", 0), ("mode", "auto"), ("warmup", -1)):
        with pytest.raises(ValueError, match=rf"ReduceLROnPlateau\({name}=...\)"):
            callbacks.ReduceLROnPlateau(**{name: value})
    with pytest.raises(ValueError, match="ReduceLROnPlateau comes after Constant"):
        rates([1], callbacks.ReduceLROnPlateau("metric"), callbacks.Constant(0.1))
    with pytest.raises(ValueError, match=r"ReduceLROnPlateau\(monitor=...\)"):
        rates([1], callbacks.ReduceLROnPlateau("accuracy"))
