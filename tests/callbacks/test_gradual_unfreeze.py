"""Which layers train when, Adam's clock of what thaws against an Adam of its own, and layer-wise rates."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt import callbacks, optimizers

JAX = keras.backend.backend() == "jax"
X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
Y = X[:, :2]


def network(optimizer=None, **kwargs):
    keras.utils.set_random_seed(0)
    body = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="one"), layers.Dense(3, name="two")], name="body")
    model = keras.Sequential([keras.Input((4,)), body, layers.Dense(2, name="head")])
    optimizer = optimizer(model) if callable(optimizer) else keras.optimizers.SGD(0.05)
    model.compile(optimizer, "mse", jit_compile=JAX, **kwargs)
    return model


class Weights(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.path = [[np.array(w) for w in self.model.get_weights()]]

    def on_epoch_end(self, epoch, logs=None):
        self.path.append([np.array(w) for w in self.model.get_weights()])

    def moved(self):
        """For each epoch, which kernels have moved."""
        return [
            [not np.array_equal(a, b) for a, b in zip(old[::2], new[::2], strict=True)]
            for old, new in zip(self.path, self.path[1:], strict=False)
        ]


def fit(model, *used, epochs=3, **kwargs):
    weights = Weights()
    history = model.fit(X, Y, 4, epochs, shuffle=False, callbacks=[*used, weights], verbose=0, **kwargs).history
    return weights, history


STAGES = {
    "one more each epoch": (None, [[0, 0, 1], [0, 1, 1], [1, 1, 1]]),
    "patterns and a share": ({0: "head", 0.5: "^one$|/one/"}, [[0, 0, 1], [0, 0, 1], [1, 0, 1]]),
    "all at last": ({0: 2, 2: None}, [[0, 1, 1], [0, 1, 1], [1, 1, 1]]),
}


@pytest.mark.both_backends
@pytest.mark.parametrize("name", STAGES)
def test_what_trains_when(name):
    stages, expected = STAGES[name]
    model = network(steps_per_execution=2 if stages is None else 1)
    weights, history = fit(model, callbacks.GradualUnfreeze(stages), validation_data=(X, Y))
    assert weights.moved() == expected
    sizes = np.array([20, 15, 8])
    np.testing.assert_allclose(history["frozen"], [sizes[~np.array(row, bool)].sum() / 43 for row in expected])
    assert "train_step" not in vars(model) and "_seam" not in vars(model.optimizer)


@pytest.mark.both_backends
@pytest.mark.parametrize("ours", [False, True], ids=["Keras", "ours"])
def test_a_layer_that_thaws_trains_as_with_an_adam_of_its_own(ours):
    kind = optimizers.Adam if ours else keras.optimizers.Adam
    model = network(lambda _: kind(0.01, epsilon=1e-12))
    weights, _ = fit(model, callbacks.GradualUnfreeze({0: 1, 3: None}), epochs=4)
    reference = network()
    reference.set_weights(weights.path[3])
    # The head goes on with its own moments: those of a run that ends one epoch earlier.
    adam = {id(v): [0.0, 0.0, 0] for v in reference.trainable_variables}
    first = network(lambda _: kind(0.01, epsilon=1e-12))
    for frozen, start, epochs in ((True, weights.path[0], 3), (False, weights.path[3], 1)):
        first.set_weights(start)
        step_by_numpy(first, epochs, frozen, adam, reference)
    for ours_now, expected in zip(weights.path[4], first.get_weights(), strict=True):
        np.testing.assert_allclose(ours_now, expected, rtol=2e-4, atol=2e-6)


def step_by_numpy(model, epochs, frozen, adam, keys):
    """Adam by the book on a linear network, each variable with its own clock."""
    slots = [adam[id(v)] for v in keys.trainable_variables]
    weights = [w.astype("float64") for w in model.get_weights()]
    for t in range(3 * epochs):
        x, y = X[t % 3 * 4 : t % 3 * 4 + 4], Y[t % 3 * 4 : t % 3 * 4 + 4]
        inputs = [x]
        for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
            inputs.append(inputs[-1] @ kernel + bias)
        error, gradients = 2 * (inputs[-1] - y) / y.size, []
        for i in (2, 1, 0):
            gradients[:0] = [inputs[i].T @ error, error.sum(0)]
            error = error @ weights[2 * i].T
        for i in range(4 if frozen else 0, 6):
            m, v, k = slots[i]
            m, v, k = 0.9 * m + 0.1 * gradients[i], 0.999 * v + 0.001 * gradients[i] ** 2, k + 1
            weights[i] = weights[i] - 0.01 * m / (1 - 0.9**k) / np.sqrt(v / (1 - 0.999**k))
            slots[i][:] = m, v, k
    model.set_weights(weights)


@pytest.mark.both_backends
def test_with_layerwise_rates():
    model = network(lambda m: optimizers.SGD(0.05, groups=optimizers.layerwise_decay(m, 0.5)))
    weights, _ = fit(model, callbacks.GradualUnfreeze({0: 1, 1: None}), epochs=2)
    assert weights.moved() == [[0, 0, 1], [1, 1, 1]]
    plain = network(lambda m: optimizers.SGD(0.05))
    plain.set_weights(weights.path[1])
    plain.fit(X[:4], Y[:4], 4, verbose=0)
    once = network(lambda m: optimizers.SGD(0.05, groups=optimizers.layerwise_decay(m, 0.5)))
    once.set_weights(weights.path[1])
    once.fit(X[:4], Y[:4], 4, callbacks=[callbacks.GradualUnfreeze({0: None})], verbose=0)
    for i, rate in ((0, 0.25), (2, 0.5), (4, 1.0)):
        step = [m.get_weights()[i] - weights.path[1][i] for m in (once, plain)]
        np.testing.assert_allclose(step[0], rate * step[1], rtol=1e-3, atol=1e-7)


def test_goes_on_at_initial_epoch_with_its_state():
    model, unfreeze = network(lambda _: keras.optimizers.Adam(0.01)), callbacks.GradualUnfreeze({0: 1, 1: None})
    weights, _ = fit(model, unfreeze)
    again = network(lambda _: keras.optimizers.Adam(0.01))
    kept = {}

    def stop(epoch, _):
        again.stop_training = epoch == 1
        kept.update(unfreeze.get_state())

    fit(again, unfreeze, keras.callbacks.LambdaCallback(on_epoch_end=stop))
    assert kept == {"thawed_at": [0, 3]}
    load = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: unfreeze.set_state(kept))
    fit(again, unfreeze, load, initial_epoch=2)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_mirrored(mirrored):
    with mirrored.scope():
        model = network(lambda _: keras.optimizers.Adam(0.01))
    weights, _ = fit(model, callbacks.GradualUnfreeze())
    assert weights.moved() == [[0, 0, 1], [0, 1, 1], [1, 1, 1]]
    single = network(lambda _: keras.optimizers.Adam(0.01))
    fit(single, callbacks.GradualUnfreeze())
    for a, b in zip(model.get_weights(), single.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == 9


def test_bad_arguments():
    for stages in ({}, {1: 1}, {0: 0}, {0: "("}, {0: 1, -1: 2}, [1]):
        with pytest.raises(ValueError, match=r"GradualUnfreeze\(stages=...\)"):
            callbacks.GradualUnfreeze(stages)
    with pytest.raises(ValueError, match="patterns found in one of"):
        fit(network(), callbacks.GradualUnfreeze({0: "nowhere"}))
    with pytest.raises(ValueError, match="frozen by another callback"):
        fit(network(), callbacks.GradualUnfreeze({0: 1, 1: 2}), callbacks.FreezeLayers(begin=0.1, groups=3))


@pytest.mark.both_backends
def test_what_is_frozen_is_pruned_all_the_same():
    model = network()
    fit(model, callbacks.GradualUnfreeze({0: "head"}), callbacks.Prune(0.5, end=1), epochs=1)
    assert [np.mean(ops.convert_to_numpy(w) == 0) for w in model.weights[::2]] == [0.5, 0.5, 0.5]
