"""Frozen layers: what moves, BatchNormalization, the optimizer's slots, files, and the work that is left."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dlopt import optimizers
from keras_dlopt.step.frozen import Frozen
from keras_dlopt.step.surround import release, surround
from keras_dlopt.step.units import units

JAX = keras.backend.backend() == "jax"
X = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
Y = X[:, :2]


def network(optimizer=None, **kwargs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, name="first"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(4, name="second"),
            layers.Dense(2, name="last"),
        ]
    )
    model.compile(optimizer or keras.optimizers.Adam(0.01), "mse", jit_compile=JAX, **kwargs)
    return model


def train(model, epochs=1):
    model.fit(X, Y, 4, epochs, shuffle=False, verbose=0)
    return [np.array(w) for w in model.get_weights()]


OPTIMIZERS = {
    "Keras's, loss scaling": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(0.01), 8.0),
    "Keras's, accumulation": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "ours, wrapped": lambda: optimizers.Lookahead(optimizers.SGD(0.01, momentum=0.9)),
}


@pytest.mark.both_backends
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trains_as_with_layers_that_are_not_trainable(name):
    model = network(OPTIMIZERS[name]())
    frozen = Frozen(model, units(model)[:2])
    surround(model, frozen)
    found = train(model)
    release(model, frozen)
    assert len(model.trainable_variables) == 8 and "train_step" not in vars(model)
    assert not {"apply", "stateless_apply"} & set(vars(model.optimizer))

    reference = network(OPTIMIZERS[name]())
    for layer in reference.layers[:2]:
        layer.trainable = False
    for ours, keras_own in zip(found, train(reference), strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-5, atol=1e-7)
    moved = train(model)  # thawed: all of them, the statistics too
    assert not any(np.array_equal(a, b) for a, b in zip(found, moved, strict=True))


@pytest.mark.both_backends
def test_slots_of_frozen_layers_stay_and_files_hold_them_all(tmp_path):
    model = network()
    train(model)

    def state():
        return [np.array(keras.ops.convert_to_numpy(v)) for v in model.optimizer.variables]

    before = state()
    frozen = Frozen(model, units(model)[:2])
    surround(model, frozen)
    train(model)
    after = state()
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert changed == [True, False, *[False] * 8, *[True] * 8]  # counter, rate, slots of the four and of the other four
    model.save(tmp_path / "m.keras")
    release(model, frozen)
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert all(layer.trainable for layer in loaded.layers)
    for a, b in zip(after, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, keras.ops.convert_to_numpy(b))


@pytest.mark.both_backends
def test_flags_of_the_user_stay():
    model = network()
    model.layers[2].trainable = False
    model.layers[3].kernel.trainable = False
    frozen = Frozen(model, [model.layers[2], model.layers[3]])
    surround(model, frozen)
    before = model.get_weights()
    after = train(model)
    assert [np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == [False] * 6 + [True] * 4
    assert [model.layers[2].trainable, model.layers[3].trainable] == [False, True]
    assert not model.layers[3].kernel.trainable and model.layers[3].bias.trainable


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = layers.Dense(4), layers.Dense(2)

    def call(self, x):
        return self.last(self.first(x))

    def train_step(self, *args):
        if JAX:
            logs, state = super().train_step(*args)
            return logs | {"own": logs["loss"] * 2}, state
        return super().train_step(*args) | {"own": 1.0}


@pytest.mark.both_backends
def test_a_train_step_of_ones_own():
    model = Own()
    model(X)
    model.compile("adam", "mse", jit_compile=JAX, steps_per_execution=2)
    surround(model, Frozen(model, [model.first]))
    before = model.get_weights()
    assert "own" in model.fit(X, Y, 4, verbose=0).history
    assert [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)] == [
        True,
        True,
        False,
        False,
    ]


def test_mirrored(mirrored):
    with mirrored.scope():
        model = network()
        reference = network()
    surround(model, Frozen(model, units(model)[:2]))
    for layer in reference.layers[:2]:
        layer.trainable = False
    for a, b in zip(train(model), train(reference), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def products(model):
    """How many matrix products the compiled training step has."""
    if JAX:
        import jax

        model.make_train_function()
        state = model._get_jax_state(True, True, True, True)
        return jax.jit(model.train_step).lower(state, (X, X)).compile().as_text().count(" dot(")
    import tensorflow as tf

    step = tf.function(model.train_step, jit_compile=True)
    return step.experimental_get_compiler_ir((tf.constant(X), tf.constant(X)))(stage="optimized_hlo").count(" dot(")


@pytest.mark.both_backends
def test_the_compiled_step_has_no_gradients_of_frozen_layers():
    model = keras.Sequential([keras.Input((6,)), *(layers.Dense(6) for _ in range(4))])
    model.compile("sgd", "mse", jit_compile=JAX)
    model.train_on_batch(X, X)
    counts = [products(model)]
    for frozen in (1, 3):
        wrapper = Frozen(model, units(model)[:frozen])
        surround(model, wrapper)
        counts.append(products(model))
        release(model, wrapper)
    # Forward 4, gradients of weights 4 and of inputs 3; without those of the first, and of the first three.
    assert counts == [11, 9, 5]
