"""Batches against NumPy's run over the same rows, whatever the data come in; rate, length of the run, state."""

import keras
import numpy as np
import pytest

from keras_dlopt import callbacks, schedules

JAX = keras.backend.backend() == "jax"
X = np.random.default_rng(0).normal(size=(22, 3)).astype("float32")
Y = X @ np.array([[1.0], [-2.0], [0.5]], "float32")
SIZES = {0: 4, 0.5: 8, 3: 12}
BATCHES = (4, 4, 8, 12)  # of the four epochs


def network(per_execution=1, rate=0.1, jit=JAX):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(rate), "mse", steps_per_execution=per_execution, jit_compile=jit)
    return model


def by_numpy(rate_of, sizes=BATCHES):
    weight, t = np.ones((3, 1)), 0
    for size in sizes:
        for start in range(0, len(X), size):
            x, y = X[start : start + size], Y[start : start + size]
            weight = weight - rate_of(t, size) * 2 * x.T @ (x @ weight - y) / len(x)
            t += 1
    return weight, t


class Rows(keras.utils.PyDataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return X[4 * i : 4 * i + 4], Y[4 * i : 4 * i + 4]


def data(kind):
    if kind == "arrays":
        return {"x": X, "y": Y, "batch_size": 4}
    if kind == "PyDataset":
        return {"x": Rows(workers=1)}
    import tensorflow as tf

    return {"x": tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)}


@pytest.mark.both_backends
@pytest.mark.parametrize(
    ("kind", "coupling", "per_execution"), [("arrays", "none", 1), ("tf.data", "sqrt", 2), ("PyDataset", "linear", 1)]
)
def test_updates_are_those_of_larger_batches(kind, coupling, per_execution):
    model = network(per_execution)
    grow = callbacks.BatchSizeSchedule(SIZES, coupling)
    history = model.fit(**data(kind), epochs=4, shuffle=False, callbacks=[grow], verbose=0).history
    power = {"none": 0, "sqrt": 0.5, "linear": 1}[coupling]
    expected, steps = by_numpy(lambda t, size: 0.1 * (size / 4) ** power)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-4, atol=1e-6)
    assert int(model.optimizer.iterations) == steps == 17
    assert history["batch_size"] == list(BATCHES)
    np.testing.assert_allclose(history["learning_rate"], [0.1 * (b / 4) ** power for b in BATCHES], rtol=1e-6)
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(0.1)
    assert "_seam" not in vars(model.optimizer)


@pytest.mark.both_backends
def test_a_schedule_ends_with_the_run_and_is_coupled():
    model = network()
    used = [callbacks.LinearDecay(0.2), callbacks.BatchSizeSchedule(SIZES, "linear")]
    model.fit(X, Y, 4, 4, shuffle=False, callbacks=used, verbose=0, validation_data=(X, Y))
    schedule = schedules.LinearDecay(0.2, steps=17)
    expected, _ = by_numpy(lambda t, size: float(schedule(t)) * size / 4)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.both_backends
def test_goes_on_at_initial_epoch():
    model = network()
    used = [callbacks.LinearDecay(0.2), callbacks.BatchSizeSchedule(SIZES, "linear")]
    half = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: setattr(model, "stop_training", epoch == 1))
    model.fit(X, Y, 4, 4, shuffle=False, callbacks=[*used, half], verbose=0)
    model.fit(X, Y, 4, 4, shuffle=False, callbacks=used, verbose=0, initial_epoch=2)
    schedule = schedules.LinearDecay(0.2, steps=17)
    expected, _ = by_numpy(lambda t, size: float(schedule(t)) * size / 4)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-4, atol=1e-6)


def test_mirrored(mirrored):
    with mirrored.scope():
        model = network()
    rows, targets = X[:16], Y[:16]
    grow = callbacks.BatchSizeSchedule({0: 4, 1: 8}, "linear")
    model.fit(rows, targets, 4, 2, shuffle=False, callbacks=[grow], verbose=0)
    weight = np.ones((3, 1))
    for size in (4, 8):
        for start in range(0, 16, size):
            x, y = rows[start : start + size], targets[start : start + size]
            weight = weight - 0.1 * size / 4 * 2 * x.T @ (x @ weight - y) / size
    np.testing.assert_allclose(model.get_weights()[0], weight, rtol=1e-4, atol=1e-6)


def test_bad_arguments():
    for name, value in (("sizes", {}), ("sizes", {0.5: 4}), ("sizes", {0: 4, 1: 6}), ("coupling", "cubic")):
        with pytest.raises(ValueError, match=rf"BatchSizeSchedule\({name}=...\)"):
            callbacks.BatchSizeSchedule(**{"sizes": {0: 4}, name: value})
    with pytest.raises(ValueError, match="as the data, at 0"):
        network().fit(X, Y, 8, 2, callbacks=[callbacks.BatchSizeSchedule({0: 4, 1: 8})], verbose=0)
    with pytest.raises(ValueError, match="an epoch at least each, in a run of 2"):
        network().fit(X, Y, 4, 2, callbacks=[callbacks.BatchSizeSchedule({0: 4, 2: 8})], verbose=0)
    with pytest.raises(ValueError, match="BatchSizeSchedule comes after LinearDecay"):
        network().fit(
            X, Y, 4, 2, callbacks=[callbacks.BatchSizeSchedule({0: 4}), callbacks.LinearDecay(0.1)], verbose=0
        )
