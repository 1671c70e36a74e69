"""Channels that leave: a smaller model with the outputs of the one whose channels are zero, whatever the graph."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt import callbacks, compress
from keras_dlopt.compress import removal
from keras_dlopt.compress.channels import Couplings, channel_units


def randomized(model):
    """Nothing is zero or one by its initializer: biases, gains, moving averages."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name == "moving_variance":
            weight.assign(random.uniform(0.5, 2, weight.shape))
        elif len(weight.shape) == 1:
            weight.assign(random.normal(0, 0.1, weight.shape) + (weight.name == "gamma"))
    return model


def outputs(model):
    x = np.random.default_rng(1).normal(size=(2, *model.input_shape[1:])).astype("float32")
    return ops.convert_to_numpy(model(x, training=False))


def zero_least(model, share, ranking="layer"):
    """Zeroes all that makes the least important channels; returns how many."""
    couplings = Couplings(model)
    labels = removal._least_important(couplings, couplings.groups(), share, ranking)
    for entry in couplings.slices:
        if entry.makes:
            array = np.moveaxis(ops.convert_to_numpy(entry.weight).copy(), entry.axis, 0)
            array[np.isin(entry.labels, list(labels))] = 0
            entry.weight.assign(np.moveaxis(array, 0, entry.axis))
    return len(labels)


def residual():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    x = stem = layers.ReLU()(layers.BatchNormalization()(x))
    for _ in range(2):
        y = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
        x = layers.Add()([x, layers.BatchNormalization(scale=False)(layers.Conv2D(8, 1)(y))])
    x = keras.ops.relu(x + stem)
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


def concatenated():
    inputs = keras.Input((8, 8, 3))
    a, b = (layers.Conv2D(n, 3, padding="same", activation="relu")(inputs) for n in (4, 6))
    x = layers.Concatenate()([a, b])
    x = layers.Add()([x, layers.Conv2D(10, 1)(x)])  # half of its filters go with a's, half with b's
    x = layers.Concatenate(axis=1)([x, layers.Conv2D(10, 1)(x)])
    return keras.Model(inputs, layers.Dense(4)(layers.Flatten()(layers.MaxPooling2D()(x))))


def gated():
    """Squeeze and excite: sigmoid is not zero at zero, but what it multiplies is."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="swish")(inputs)
    gate = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(8, 1, activation="sigmoid")(layers.Conv2D(4, 1, activation="relu")(gate))
    x = layers.Multiply()([x, gate])
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalMaxPooling2D()(x)))


def separable():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(6, 3, padding="same"),
            layers.DepthwiseConv2D(3, depth_multiplier=2),
            layers.BatchNormalization(),
            layers.PReLU(shared_axes=[1, 2]),
            layers.SeparableConv2D(8, 3, depth_multiplier=2, activation="tanh"),
            layers.Conv2DTranspose(6, 3),
            layers.UpSampling2D(),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(6, activation="sigmoid"),  # 0.5 at zero: stays
            layers.Dense(4),
        ]
    )


def nested():
    inside = keras.Sequential([keras.Input((6, 5)), layers.Conv1D(8, 3, activation="relu"), layers.Conv1D(6, 1)])
    twice = layers.Dense(6, activation="relu")
    inputs = keras.Input((6, 5))
    return keras.Model(inputs, layers.Dense(4)(layers.Flatten()(twice(twice(inside(inputs))))))


def stacked():
    """Models whose inputs lose channels, one of them inside another and called twice."""
    twice = keras.Sequential([layers.Conv2D(8, 1), layers.ReLU()])
    first, second = (
        keras.Sequential([layers.Conv2D(8, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()])
        for _ in "12"
    )
    inner = keras.Sequential([twice, second, twice])
    return keras.Sequential([keras.Input((8, 8, 3)), first, inner, layers.Flatten(), layers.Dense(4)])


def volumes():
    return keras.Sequential(
        [keras.Input((4, 4, 4, 2)), layers.Conv3D(6, 2), layers.AveragePooling3D(2), layers.Conv3D(3, 1)]
    )


def text():
    inputs = keras.Input((7,), dtype="int32")
    x = layers.Embedding(11, 6)(inputs)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(layers.Conv1D(8, 3)(x))))


GRAPHS = (residual, concatenated, gated, separable, nested, stacked, volumes, text)


@pytest.mark.parametrize("build", [pytest.param(residual, marks=pytest.mark.both_backends), *GRAPHS[1:]])
@pytest.mark.parametrize("ranking", ["layer", "global"])
def test_a_smaller_model_is_the_one_with_zero_channels(build, ranking):
    model = randomized(build())
    at_once = compress.remove_channels(model, 0.5, ranking=ranking)
    zero_least(model, 0.5, ranking)
    expected = outputs(model)
    assert expected.std() > 1e-3
    for smaller in (at_once, compress.remove_channels(model)):
        assert smaller.count_params() < 0.7 * model.count_params()
        np.testing.assert_allclose(outputs(smaller), expected, atol=1e-5)


@pytest.mark.parametrize(
    "build", [lambda **how: keras.applications.MobileNetV2(alpha=0.35, **how), keras.applications.ResNet50]
)
def test_of_keras_applications(build):
    how = {"weights": None, "input_shape": (32, 32, 3), "classes": 10, "classifier_activation": None}
    model = randomized(build(**how))
    zero_least(model, 0.5)
    smaller = compress.remove_channels(model)
    assert smaller.count_params() < 0.3 * model.count_params()
    assert outputs(model).std() > 1e-3
    np.testing.assert_allclose(outputs(smaller), outputs(model), atol=1e-5)


def test_the_filters_of_least_norm_leave():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(10), layers.Dense(3)])
    kernel = ops.convert_to_numpy(model.layers[0].kernel)
    strongest = np.sort(np.argsort(np.linalg.norm(kernel, axis=0))[5:])
    smaller = compress.remove_channels(model, 0.5)
    np.testing.assert_array_equal(smaller.layers[1].kernel, kernel[:, strongest])
    np.testing.assert_array_equal(smaller.layers[2].kernel, ops.convert_to_numpy(model.layers[1].kernel)[strongest])


def test_what_is_read_in_unknown_ways_stays():
    x = inputs = keras.Input((6, 3))
    x = layers.Conv1D(8, 1, name="free")(x)
    x = layers.Conv1D(8, 1, name="normalized")(x)
    x = layers.Conv1D(8, 1, name="recurred")(layers.LayerNormalization()(x))
    x = layers.Dense(6, activation="softmax", name="mixed")(layers.LSTM(4)(x))
    smaller = compress.remove_channels(keras.Model(inputs, layers.Dense(2, name="out")(x)), 0.5)
    widths = {
        name: smaller.get_layer(name).kernel.shape[-1] for name in ("free", "normalized", "recurred", "mixed", "out")
    }
    assert widths == {"free": 4, "normalized": 8, "recurred": 8, "mixed": 6, "out": 2}


def test_skipped_layers_keep_their_channels_and_every_layer_keeps_one():
    smaller = compress.remove_channels(dense(8, 6, 1, 5), 0.9, skip="d8/")
    assert [layer.units for layer in smaller.layers[1:]] == [8, 1, 1, 5]


@pytest.mark.both_backends
@pytest.mark.parametrize("build", [residual, concatenated])
def test_pruned_in_fit_then_taken_out(build):
    model = randomized(build())
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x = np.random.default_rng(0).normal(size=(32, 8, 8, 3))
    model.fit(x, np.zeros((32, 4)), batch_size=4, verbose=0, callbacks=[callbacks.Prune(0.5, pattern="channels")])
    channels = sum(map(len, Couplings(model).groups()))
    smaller = compress.remove_channels(model)
    assert channels - sum(map(len, Couplings(smaller).groups())) == round(channels / 2)
    np.testing.assert_allclose(outputs(smaller), outputs(model), atol=1e-5)


def test_what_training_cannot_make_zero_is_not_pruned():
    norm = layers.BatchNormalization(trainable=False)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, use_bias=False), norm, layers.Dense(2)])
    assert [unit.size for unit in channel_units(model)] == [8]
    norm.moving_mean.assign(np.arange(8) % 2)
    assert [unit.size for unit in channel_units(model)] == [4]
    norm.moving_mean.assign(np.ones(8))
    with pytest.raises(ValueError, match=r"`Prune\(model=...\)` must be a functional model with channels that may go"):
        channel_units(model)


def subclassed():
    class Mine(keras.Model):
        def call(self, x):
            return x

    return Mine()


def dense(*widths):
    return keras.Sequential([keras.Input((4,)), *(layers.Dense(width, name=f"d{width}") for width in widths)])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: compress.remove_channels(subclassed(), 0.5), r"`remove_channels\(model=...\)` must be a built Seq"),
        (lambda: compress.remove_channels(dense(8, 2), 1), r"`remove_channels\(share=...\)`"),
        (lambda: compress.remove_channels(dense(8, 2), 0.5, ranking="all"), r"`remove_channels\(ranking=...\)`"),
        (lambda: compress.remove_channels(dense(8, 2), 0.5, skip="tail"), r"\(skip=...\)` .*there are: d8, d2"),
        (lambda: compress.remove_channels(dense(8, 2)), "must be a model with zero channels"),
        (lambda: compress.remove_channels(dense(8), 0.5), "with more channels that may be removed"),
        (lambda: compress.remove_channels(dense(8, 2), 0.5, skip="d8"), "with more channels that may be removed"),
        (lambda: callbacks.Prune(0.5, pattern="channels", criterion="movement"), "left at 'magnitude'"),
        (lambda: callbacks.Prune(0.5, pattern="channels", only="d8"), r"`Prune\(only=...\)` must be left at \(\)"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
