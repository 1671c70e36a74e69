"""Step times against NumPy's percentiles on a clock of its own, operations against a layer's, waiting that is real."""

import itertools
import time

import keras
import numpy as np
import pytest

from keras_dlopt import callbacks

JAX = keras.backend.backend() == "jax"
X = np.ones((320, 64), "float32")


def network(**kwargs):
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=JAX, **kwargs)
    return model


@pytest.mark.both_backends
@pytest.mark.parametrize("per_execution", [1, 2])
def test_times_rates_and_operations(per_execution):
    speed = callbacks.Throughput(peak_flops=1e9)
    times = np.arange(1.0, 1000.0) ** 2  # every look at the clock is later by more
    looks = iter(np.cumsum(times))
    speed.clock = lambda: float(next(looks))
    model = network(steps_per_execution=per_execution)
    logs = model.fit(X, X, 32, callbacks=[speed], verbose=0).history
    ends = np.cumsum(times)[: 10 // per_execution]
    steps = np.repeat(np.diff(ends) / per_execution, per_execution)
    for p in (50, 90, 99):
        np.testing.assert_allclose(logs[f"step_p{p}"][0], np.percentile(steps, p))
    np.testing.assert_allclose(logs["samples_per_second"][0], 32 * len(steps) / steps.sum())
    flops = 2 * 2 * 32 * 64 * 64  # the product, and the kernel's gradient
    np.testing.assert_allclose(logs["mfu"][0] * np.percentile(steps, 50) * 1e9, flops, rtol=0.1)
    assert "samples/s" in speed.summary() and ("input_share" in logs) == (JAX or per_execution == 1)
    assert "train_step" not in vars(model)


@pytest.mark.both_backends
def test_batches_that_grow_and_a_step_that_changes():
    speed = callbacks.Throughput(peak_flops=1.0)
    speed.clock = itertools.count(0.0).__next__  # a second a step
    grow = callbacks.BatchSizeSchedule({0: 16, 1: 32})  # 20, 10, 10 steps
    hard = callbacks.SelectiveBackprop(0.25, begin=30, end=40)
    logs = network().fit(X, X, 16, 3, callbacks=[speed, grow, hard], verbose=0).history
    np.testing.assert_allclose(logs["samples_per_second"], [16, 32, 32])
    product = 2 * 64 * 64  # a row's
    flops = [16 * 2 * product, 32 * 2 * product, 32 * product + 8 * 2 * product]
    np.testing.assert_allclose(logs["mfu"], flops, rtol=0.1)
    measured = [19, 9, 9]  # the first step compiles
    assert speed.summary().startswith(f"{np.dot([16, 32, 32], measured) / 37:.4g} samples/s")


@pytest.mark.both_backends
@pytest.mark.parametrize("pause", [0.01, 0.0])
def test_a_slow_source_is_told_from_a_slow_step(pause):
    def batches():
        while True:
            time.sleep(pause)
            yield X[:32], X[:32]

    class Slow(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            time.sleep(0.03 * (pause == 0))

    speed = callbacks.Throughput()
    network().fit(batches(), steps_per_epoch=12, callbacks=[speed, Slow()], verbose=0)
    assert ("input-bound" in speed.summary()) == (pause > 0), speed.summary()


def test_bad_peak():
    with pytest.raises(ValueError, match=r"Throughput\(peak_flops=...\)"):
        callbacks.Throughput(0)
    with pytest.raises(ValueError, match="v5e-8"):
        callbacks.Throughput("v5-8")
