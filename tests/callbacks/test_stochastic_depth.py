"""How often blocks are left out, what a step then computes, that nothing else changes, and resumes."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt import callbacks
from keras_dlopt.step.depth import RandomDepth

JAX = keras.backend.backend() == "jax"
X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")


class Counted(layers.Layer):
    """Adds one to a counter whenever it is computed while training; gives `scale` everywhere."""

    def build(self, shape):
        self.scale = self.add_weight((), "ones")
        self.count = self.add_weight((), "zeros", trainable=False)

    def call(self, x, training=False):
        if training:
            self.count.assign(self.count + 1)
        return 0 * x + self.scale


def network(blocks=3, jit=JAX, rate=0.0, **kwargs):
    x = inputs = keras.Input((4,))
    for i in range(blocks):
        x = layers.Add()([x, Counted(name=f"block_{i}")(x)])
    model = keras.Model(inputs, x)
    model.compile(keras.optimizers.SGD(rate), "mae", jit_compile=jit, **kwargs)
    return model


def counts(model):
    return [float(ops.convert_to_numpy(layer.count)) for layer in model.layers if isinstance(layer, Counted)]


@pytest.mark.both_backends
def test_branches_are_computed_as_often_as_they_are_taken():
    model = network(steps_per_execution=5)
    depth = callbacks.StochasticDepth(0.6, seed=3)
    model.fit(X[:8], X[:8], 1, 50, callbacks=[depth], verbose=0)
    assert depth.rates == pytest.approx([0.2, 0.4, 0.6])
    for count, rate in zip(counts(model), depth.rates, strict=True):
        assert abs(count / 400 - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / 400)
    assert "train_step" not in vars(model) and "call" not in vars(model)


class Values(keras.callbacks.Callback):
    """Keeps the loss of every step."""

    def on_train_begin(self, logs=None):
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))

    def on_train_batch_begin(self, batch, logs=None):
        self.model.reset_metrics()


@pytest.mark.parametrize("jit", [False, True])
def test_a_step_adds_what_is_taken_over_its_probability(jit):
    if JAX:
        pytest.skip("metrics are not reset between steps there")
    model, values = network(2, jit), Values()
    model.fit(X, X, 1, 5, callbacks=[callbacks.StochasticDepth(0.5), values], verbose=0)
    possible = [0, 1 / 0.75, 1 / 0.5, 1 / 0.75 + 1 / 0.5]  # of |y - x|
    nearest = np.abs(np.array(values.losses)[:, None] - possible)
    np.testing.assert_allclose(nearest.min(1), 0, atol=1e-5)
    assert set(nearest.argmin(1)) == {0, 1, 2, 3}
    assert np.mean(values.losses) == pytest.approx(2, abs=0.5)  # as without
    again = network(2, jit)
    again.fit(X, X, 1, 5, callbacks=[callbacks.StochasticDepth(0.5), Values()], verbose=0, initial_epoch=5)
    np.testing.assert_allclose(again.predict(X, verbose=0), X + 2, rtol=1e-5)


@pytest.mark.both_backends
def test_rows_draw_for_themselves():
    model = keras.Sequential([keras.Input((4,)), network(1)])
    model.compile("sgd", "mae", jit_compile=JAX)
    rows = np.zeros((400, 4), "float32")
    history = model.fit(rows, rows, 400, callbacks=[callbacks.StochasticDepth(0.3, per="sample")], verbose=0).history
    taken = history["loss"][0] * 0.7
    assert abs(taken - 0.7) < 4 * np.sqrt(0.21 / 400) and taken != 0.7


@pytest.mark.both_backends
def test_inference_and_files_are_the_models(tmp_path):
    def net():
        keras.utils.set_random_seed(0)
        x = inputs = keras.Input((4,))
        for _ in range(2):
            x = layers.Add()([x, layers.BatchNormalization()(layers.Dropout(0.1)(layers.Dense(4)(x)))])
        model = keras.Model(inputs, x)
        model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=JAX)
        return model

    model, path = net(), str(tmp_path / "m.keras")
    save = keras.callbacks.ModelCheckpoint(path)
    depth = callbacks.StochasticDepth(0.5)
    history = model.fit(X, X, 4, 2, callbacks=[depth, save], verbose=0, validation_data=(X, X)).history
    plain = net()
    assert len(plain.variables) == len(model.variables)
    plain.set_weights(model.get_weights())
    assert history["val_loss"][-1] == pytest.approx(plain.evaluate(X, X, verbose=0), rel=1e-5)
    loaded = keras.models.load_model(path)
    np.testing.assert_allclose(loaded.predict(X, verbose=0), plain.predict(X, verbose=0), rtol=1e-5, atol=1e-6)


class Block(layers.Layer):
    def __init__(self, name):
        super().__init__(name=name)
        self.inner = Counted()

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x, training=False):
        return x + self.inner(x, training=training)


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.second = Block("block_1"), Block("block_2")

    def call(self, x, training=False):
        return self.second(self.first(x, training=training), training=training)


@pytest.mark.both_backends
def test_named_blocks_of_a_model_of_ones_own():
    model = Own()
    model(X)
    model.compile(keras.optimizers.SGD(0.0), "mae", jit_compile=JAX)
    with pytest.raises(ValueError, match="name the `blocks`"):
        model.fit(X, X, callbacks=[callbacks.StochasticDepth()], verbose=0)
    depth = callbacks.StochasticDepth(0.5, "block_")
    model.fit(X, X, 1, 10, callbacks=[depth], verbose=0)
    assert depth.rates == [0.25, 0.5]
    for block, rate in zip((model.first, model.second), depth.rates, strict=True):
        count = float(ops.convert_to_numpy(block.inner.count))
        assert abs(count / 160 - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / 160)
    assert "call" not in vars(model.first)


def test_mirrored(mirrored):
    with mirrored.scope():
        model = network(2)
    model.fit(X, X, 2, 10, callbacks=[callbacks.StochasticDepth(0.5)], verbose=0)
    assert 0 < counts(model)[1] < 80


def test_draws_are_those_of_the_counter():
    if JAX:
        pytest.skip("of TensorFlow's draws")
    model = network(1)
    depth = RandomDepth(model, [], [0.5], False, 7)
    draws = []
    for counter in (3, 4, 3):
        depth._local.counter = ops.convert_to_tensor(counter, "int32")
        draws.append([float(depth._draw(number, (1,))[0]) for number in (0, 1)])
    assert draws[0] == draws[2] and len({*draws[0], *draws[1]}) == 4


def test_bad_arguments():
    for name, value in (("rate", 1.0), ("per", "row"), ("seed", -1), ("blocks", "(")):
        with pytest.raises(ValueError, match=rf"StochasticDepth\({name}=...\)"):
            callbacks.StochasticDepth(**{name: value})
