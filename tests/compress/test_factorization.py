"""Two layers in the place of one: equal to the truncated SVD, and to the model at full energy."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

from keras_dlopt import compress
from keras_dlopt.compress.factorization import _rank

RNG = np.random.default_rng(0)


def low_rank(model, rank):
    """Gives every kernel this rank, but for a little."""
    for layer in model._flatten_layers():
        if hasattr(layer, "kernel"):
            shape = layer.kernel.shape
            matrix = RNG.normal(size=(int(np.prod(shape[:-1])), rank)) @ RNG.normal(size=(rank, shape[-1]))
            layer.kernel.assign(matrix.reshape(shape) + 1e-6 * RNG.normal(size=shape))
            layer.bias.assign(RNG.normal(size=layer.bias.shape))
    return model


def network():
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="first")(inputs)
    y = layers.Conv2D(16, 3, padding="same", dilation_rate=2, name="second")(x)
    x = layers.Add()([x, keras.Sequential([layers.Conv2D(16, (3, 1), padding="same", name="inner")], name="body")(y)])
    x = layers.Dense(20, "tanh", name="wide")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(4, name="head")(x))


@pytest.mark.both_backends
def test_what_has_low_rank_stays_what_it_was():
    model = low_rank(network(), 2)
    thin = compress.factorize(model, 1 - 1e-6)
    x = RNG.normal(size=(4, 12, 12, 3)).astype("float32")
    before, after = (ops.convert_to_numpy(m(x)) for m in (model, thin))
    np.testing.assert_allclose(after, before, atol=1e-4 * np.abs(before).max())
    assert thin.count_params() < model.count_params() / 3
    names = [layer.name for layer in thin.layers if "factor" in layer.name]
    assert names == [f"{name}_factor" for name in ("first", "second", "inner", "wide", "head")]


def test_a_kernel_is_the_truncated_svd():
    model = keras.Sequential([keras.Input((9, 5)), layers.Conv1D(12, 3, strides=2, name="conv")])
    thin = compress.factorize(model, rank=4)
    kernel = ops.convert_to_numpy(model.layers[0].kernel).reshape(15, 12)
    u, s, vt = np.linalg.svd(kernel)
    first, second = (ops.convert_to_numpy(layer.kernel) for layer in thin.layers[1:])
    np.testing.assert_allclose(first.reshape(15, 4) @ second.reshape(4, 12), (u[:, :4] * s[:4]) @ vt[:4], atol=1e-5)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20), st.floats(0.01, 1.0))
@settings(deadline=None)
def test_the_rank_is_the_smallest_that_keeps_the_energy(values, energy):
    s = np.sort(values)[::-1]
    r = _rank(s, energy, None)
    total = np.sum(s**2)
    assert np.sum(s[:r] ** 2) >= energy * total * (1 - 1e-9)
    assert r == 1 or np.sum(s[: r - 1] ** 2) < energy * total


def test_shared_layers_are_shared_and_the_chosen_alone_change():
    inputs = keras.Input((12,))
    shared = layers.Dense(12, name="shared")
    model = low_rank(keras.Model(inputs, layers.Dense(12, name="head")(shared(shared(inputs)))), 1)
    thin = compress.factorize(model, skip="head")
    x = RNG.normal(size=(3, 12)).astype("float32")
    np.testing.assert_allclose(thin(x), model(x), rtol=1e-3, atol=1e-3 * float(np.abs(model(x)).max()))
    assert [layer.name for layer in thin.layers[1:]] == ["shared_factor", "shared", "head"]
    assert compress.factorize(model, only="head").count_params() == model.count_params() - 144 + 24


def test_it_trains_and_is_saved(tmp_path):
    thin = compress.factorize(low_rank(network(), 2))
    thin.compile("adam", "mse")
    x, y = RNG.normal(size=(8, 12, 12, 3)), RNG.normal(size=(8, 4))
    thin.fit(x, y, epochs=2, verbose=0)
    thin.save(tmp_path / "thin.keras")
    again = keras.models.load_model(tmp_path / "thin.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), thin.predict(x, verbose=0))


def test_refusals():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    model.set_weights([np.eye(4), np.zeros(4)])
    for name, value in (("energy", 0), ("energy", 1.5), ("rank", 0), ("rank", 2.5)):
        with pytest.raises(ValueError, match=rf"factorize\({name}=...\)"):
            compress.factorize(model, **{name: value})
    with pytest.raises(ValueError, match="less work than itself"):
        compress.factorize(model)
    with pytest.raises(ValueError, match=r"factorize\(model=...\)"):
        compress.factorize(keras.layers.Dense(3))
    with pytest.raises(ValueError, match=r"factorize\(only=...\)"):
        compress.factorize(model, only="nowhere")
