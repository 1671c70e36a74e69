"""When groups freeze, at which rates they move before, and that a run that goes on is the same."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dlopt import callbacks
from keras_dlopt.callbacks.freeze_layers import freezing_times

JAX = keras.backend.backend() == "jax"
X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
Y = X[:, :2]
EPOCHS = 5


def network(**kwargs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(3), layers.Dense(2)]
    )
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=JAX, **kwargs)
    return model


class Weights(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.path = [[np.array(w) for w in self.model.get_weights()]]

    def on_epoch_end(self, epoch, logs=None):
        self.path.append([np.array(w) for w in self.model.get_weights()])


def fit(model, *used, epochs=EPOCHS, **kwargs):
    weights = Weights()
    history = model.fit(X, Y, 4, epochs, shuffle=False, callbacks=[*used, weights], verbose=0, **kwargs).history
    return weights.path, history


def test_times_are_freezeouts():
    np.testing.assert_allclose(freezing_times(0.125, 3), [0.5**3, (2 / 3) ** 3, (5 / 6) ** 3])


@pytest.mark.both_backends
@pytest.mark.parametrize("per_execution", [1, 3])
def test_freezes_from_the_input_on_at_its_times(per_execution):
    model = network(steps_per_execution=per_execution)
    path, history = fit(model, callbacks.FreezeLayers(begin=0.3, groups=4), validation_data=(X, Y))
    # Times 0.3, 0.465, 0.70 of five epochs: frozen from epochs 2, 3 and 4 on.
    moved = [
        [not np.array_equal(a, b) for a, b in zip(old, new, strict=True)]
        for old, new in zip(path, path[1:], strict=False)
    ]
    first, norm, second, last = [0, 1], [2, 3, 4, 5], [6, 7], [8, 9]
    for epoch, frozen in enumerate(([], [], first, first + norm, first + norm + second)):
        assert [i for i in range(10) if not moved[epoch][i]] == frozen
    assert last and history["frozen"] == pytest.approx([0, 0, 20 / 51, 28 / 51, 43 / 51])
    assert "train_step" not in vars(model) and "_seam" not in vars(model.optimizer)


@pytest.mark.both_backends
def test_rates_fall_to_zero_at_the_time():
    model = keras.Sequential(
        [keras.Input((1,)), *(layers.Dense(1, use_bias=False, kernel_initializer="ones") for _ in "ab")]
    )
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=JAX)
    freeze = callbacks.FreezeLayers(begin=0.6, groups=2)
    model.fit(np.ones((4, 1)), np.zeros((4, 1)), 1, 5, callbacks=[callbacks.CosineDecay(0.01), freeze], verbose=0)
    a = b = 1.0
    for t in range(20):
        rates = [0.01 * (1 + np.cos(np.pi * min(t / 20 / end, 1))) / 2 for end in (0.6, 1.0)]
        a, b = a - rates[0] * 2 * a * b * b, b - rates[1] * 2 * a * a * b
    np.testing.assert_allclose(np.ravel(model.get_weights()), [a, b], rtol=1e-5)


@pytest.mark.both_backends
def test_change_freezes_what_has_stopped_moving():
    model = network()
    freeze = callbacks.FreezeLayers("change", begin=0.3, groups=4, threshold=0.8)
    decay = callbacks.PiecewiseConstant([0.05, 0.01], [6])
    path, history = fit(model, decay, freeze)
    frozen, largest, expected = 0, [0.0] * 3, []
    parts = [[0, 1], [2, 3], [6, 7]]  # without the statistics
    for epoch, (old, new) in enumerate(zip(path, path[1:], strict=False)):
        expected.append(sum(path[0][i].size for part in parts[:frozen] for i in part) / 51)
        for i in range(frozen, 3):
            norms = [
                np.sqrt(sum(np.sum(x[j] ** 2) for j in parts[i]))
                for x in ([a - b for a, b in zip(new, old, strict=True)], new)
            ]
            largest[i] = max(largest[i], norms[0] / norms[1])
            if i == frozen and norms[0] / norms[1] < 0.8 * largest[i] and (epoch + 1) / EPOCHS >= 0.3:
                frozen += 1
    assert history["frozen"] == pytest.approx(expected)
    assert expected[-1] > 0.5


@pytest.mark.parametrize("rule", ["schedule", "change"])
def test_goes_on_at_initial_epoch_with_its_state(rule):
    arguments = {"begin": 0.3, "groups": 3, "threshold": 0.99}
    expected, _ = fit(network(), callbacks.FreezeLayers(rule, **arguments))
    freeze, model, kept = callbacks.FreezeLayers(rule, **arguments), network(), {}

    def stop(epoch, _):
        model.stop_training = epoch == 2
        kept.update(freeze.get_state())

    fit(model, freeze, keras.callbacks.LambdaCallback(on_epoch_end=stop))
    load = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: epoch == 3 and freeze.set_state(kept))
    path, _ = fit(model, freeze, load, initial_epoch=3)
    for a, b in zip(path[-1], expected[-1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.both_backends
def test_what_is_pruned_stays_zero():
    model = network()
    used = [callbacks.FreezeLayers(begin=0.5, groups=2), callbacks.Prune(0.5, end=1)]
    _, history = fit(model, *used, epochs=2)
    assert history["sparsity"] == pytest.approx([0.5, 0.5])
    with pytest.raises(ValueError, match="Prune comes after FreezeLayers"):
        fit(model, *used[::-1])


def test_mirrored(mirrored):
    with mirrored.scope():
        model = network()
    _, history = fit(model, callbacks.FreezeLayers(begin=0.5, groups=2), epochs=2)
    assert history["frozen"] == pytest.approx([0, 28 / 51])


def test_bad_arguments():
    for name, value in (("rule", "age"), ("begin", 1.0), ("groups", 1), ("threshold", 0)):
        with pytest.raises(ValueError, match=rf"FreezeLayers\({name}=...\)"):
            callbacks.FreezeLayers(**{name: value})
    with pytest.raises(ValueError, match="at most the 4 layers with weights"):
        fit(network(), callbacks.FreezeLayers(groups=5))
