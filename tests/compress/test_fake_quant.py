"""Fake quantization against its definition in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dlopt.compress.fake_quant import FakeQuant, fake_quant_kernel

pytestmark = pytest.mark.both_backends
TF = keras.backend.backend() == "tensorflow"
RNG = np.random.default_rng(0)


def rounded(x, scale, zero, low, high):
    """The definition: integers `q` in [low, high], value `scale * (q - zero)`."""
    return (np.clip(np.round(x / scale) + zero, low, high) - zero) * scale


def gradient(function, x):
    """d sum(function(x)) / dx."""
    if TF:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            total = ops.sum(function(x))
        return tape.gradient(total, x).numpy()
    import jax

    return np.asarray(jax.grad(lambda x: ops.sum(function(x)))(x))


@pytest.mark.parametrize("shape, axis", [((40,), None), ((7, 5), None), ((3, 3, 4, 6), -1), ((5, 4, 6), 2)])
def test_kernels_are_rounded_to_255_symmetric_levels(shape, axis):
    kernel = RNG.normal(size=shape).astype("float32")
    others = None if axis is None else tuple(range(len(shape) - 1))
    scale = np.abs(kernel).max(axis=others) / 127
    got = ops.convert_to_numpy(fake_quant_kernel(ops.convert_to_tensor(kernel), axis))
    np.testing.assert_allclose(got, rounded(kernel, scale, 0, -127, 127), atol=1e-6)


def test_zeros_stay_exactly_zero_and_a_channel_of_zeros_is_harmless():
    kernel = RNG.normal(size=(3, 3, 8, 16)).astype("float32") * (RNG.uniform(size=(3, 3, 8, 16)) > 0.8)
    kernel[..., 3] = 0
    got = ops.convert_to_numpy(fake_quant_kernel(ops.convert_to_tensor(kernel), -1))
    assert np.all(got[kernel == 0] == 0)
    assert np.all(np.isfinite(got))


def test_the_gradient_of_a_kernel_passes_straight_through():
    kernel = ops.convert_to_tensor(RNG.normal(size=(5, 4)).astype("float32"))
    np.testing.assert_array_equal(gradient(lambda k: 3.0 * fake_quant_kernel(k, -1), kernel), np.full((5, 4), 3.0))


def test_ranges_are_the_mean_then_the_moving_average_of_the_extremes():
    layer = FakeQuant(momentum=0.75)
    low = high = 0.0
    for t in range(12):
        batch = RNG.normal(loc=1.0, size=(8, 3)).astype("float32")
        momentum = min(0.75, t / (t + 1))
        low = momentum * low + (1 - momentum) * min(0.0, batch.min())
        high = momentum * high + (1 - momentum) * max(0.0, batch.max())
        layer(batch, training=True)
    np.testing.assert_allclose([float(layer.low), float(layer.high)], [low, high], rtol=1e-5)

    # At inference the range stands, and what lies outside is clipped. Zero is one of the 256 levels.
    x = np.linspace(2 * low, 2 * high, 101).astype("float32")
    scale = (high - low) / 255
    got = ops.convert_to_numpy(layer(x, training=False))
    np.testing.assert_allclose(got, rounded(x, scale, round(-low / scale), 0, 255), atol=1e-5)
    np.testing.assert_allclose([float(layer.low), float(layer.high)], [low, high], rtol=1e-5)


def test_gradients_are_cut_where_activations_are_clipped():
    x = ops.convert_to_tensor(np.array([-7.0, -5.0, 0.0, 5.0, 7.0], "float32"))
    layer = FakeQuant(limits=(-6.0, 6.0))
    np.testing.assert_array_equal(gradient(layer, x), [0.0, 1.0, 1.0, 1.0, 0.0])


def test_prescribed_limits_have_no_state():
    layer = FakeQuant(limits=(0.0, 255 / 256))
    got = ops.convert_to_numpy(layer(np.array([0.0, 0.3, 1.0], "float32"), training=True))
    np.testing.assert_allclose(got, [0.0, 77 / 256, 255 / 256], atol=1e-7)
    assert layer.weights == [] and layer.observed


def test_an_unseen_range_says_so():
    layer = FakeQuant()
    layer.build((None, 3))
    assert not layer.observed
    layer(np.ones((2, 3), "float32"), training=True)
    assert layer.observed


@pytest.mark.skipif(not TF, reason="tf.distribute")
def test_replicas_share_the_mean_of_their_ranges(mirrored):
    with mirrored.scope():
        layer = FakeQuant()
        layer.build((None, 2))
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensors(np.array([[2.0, -1.0], [4.0, -3.0]], "float32")).unbatch().batch(2)
    for batch in mirrored.experimental_distribute_dataset(rows):
        mirrored.run(tf.function(lambda x: layer(x, training=True)), args=(batch,))
    assert layer.low.numpy() == -2.0 and layer.high.numpy() == 3.0
