"""Quantization-aware models: what they compute, what LiteRT makes of them, what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dlopt import compress
from keras_dlopt.compress import litert

TF = keras.backend.backend() == "tensorflow"


def both_backends(value):
    """For the cases that stand for all: JAX compiles every shape anew."""
    return pytest.param(value, marks=pytest.mark.both_backends)


def chain(shape, *stack):
    return keras.Sequential([keras.Input(shape), *stack])


def conv(filters, **kwargs):
    return layers.Conv2D(filters, 3, padding="same", use_bias=False, **kwargs)


def norm():
    return layers.BatchNormalization()


def residual():
    inputs = keras.Input((8, 8, 3))
    x = layers.ReLU()(norm()(conv(8)(inputs)))
    y = norm()(conv(8)(x))
    x = layers.ReLU()(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def branches():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="relu")(inputs)
    shared = layers.Conv2D(4, 1, name="shared")
    gate = layers.Conv2D(4, 1, activation="sigmoid")(x)
    y = layers.Concatenate()([shared(x), shared(layers.MaxPooling2D(3, 1, "same")(x)), layers.Multiply()([x, gate])])
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalMaxPooling2D()(layers.LeakyReLU()(y))))


IMAGE = (8, 8, 3)
MODELS = {
    "dense": lambda: chain((12,), layers.Dense(16, "relu"), layers.Dense(16), layers.ReLU(), layers.Dense(5)),
    "dense on sequences": lambda: chain((6, 12), layers.Dense(8, "relu6"), layers.Flatten(), layers.Dense(5)),
    "activations apart": lambda: chain(
        (12,), layers.Dense(16, "tanh"), layers.Dense(8), layers.Activation("sigmoid"), layers.Dense(5, "softmax")
    ),
    "softmax layer": lambda: chain((12,), layers.Dense(5), layers.Softmax()),
    "convolution, norm, relu": lambda: chain(
        IMAGE, conv(8), norm(), layers.ReLU(), layers.MaxPooling2D(), conv(8), norm(), layers.Flatten(), layers.Dense(5)
    ),
    "convolution kinds": lambda: chain(
        IMAGE,
        layers.Conv2D(8, 3, activation="relu"),
        layers.Conv2D(8, 3, groups=2, strides=2, padding="same"),
        layers.Conv2D(8, 3, dilation_rate=2, padding="same"),
        layers.ReLU(6.0),
        layers.Flatten(),
        layers.Dense(5),
    ),
    "depthwise": lambda: chain(
        IMAGE,
        layers.DepthwiseConv2D(3, padding="same", use_bias=False),
        norm(),
        layers.ReLU(6),
        layers.Conv2D(8, 1, activation="relu"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(5),
    ),
    "one dimension": lambda: chain(
        (16, 4),
        layers.ZeroPadding1D(1),
        layers.Conv1D(8, 3, use_bias=False),
        norm(),
        layers.ReLU(),
        layers.MaxPooling1D(),
        layers.Conv1D(8, 3, padding="causal"),
        layers.Cropping1D(1),
        layers.AveragePooling1D(2),
        layers.Flatten(),
        layers.Dense(5),
    ),
    "no range of their own": lambda: chain(
        IMAGE,
        layers.GaussianNoise(0.1),
        layers.Conv2D(6, 3, activation="relu"),
        layers.Dropout(0.2),
        layers.SpatialDropout2D(0.1),
        layers.ZeroPadding2D(1),
        layers.Cropping2D(1),
        layers.Permute((2, 1, 3)),
        layers.UpSampling2D(),
        layers.AveragePooling2D(2),
        layers.Reshape((-1,)),
        layers.Dense(5),
    ),
    "residual": residual,
    "branches": branches,
}


def trained(build, rows=64):
    """A model with settled weights and statistics, and rows for it, as after training."""
    model = build()
    rng = np.random.default_rng(0)
    for weight in model.weights:
        value = keras.ops.convert_to_numpy(weight)
        if "variance" in weight.path or "gamma" in weight.path:
            value = rng.uniform(0.5, 1.5, size=value.shape)
        elif "kernel" not in weight.path:
            value = rng.normal(scale=0.1, size=value.shape)
        weight.assign(value)
    return model, rng.normal(size=(rows, *model.input_shape[1:])).astype("float32")


def observed(model, rows):
    """`quantize_aware`, with ranges from `rows` and everything else as it was."""
    aware = compress.quantize_aware(model)
    frozen = [layer for layer in aware.layers if isinstance(layer, layers.BatchNormalization)]
    for layer in frozen:
        layer.trainable = False
    aware(rows, training=True)
    for layer in frozen:
        layer.trainable = True
    return aware


def signal_to_noise(signal, other):
    """In decibels."""
    noise = max(np.sum(np.square(signal - other)), 1e-12)
    return 10 * np.log10(np.sum(np.square(signal)) / noise)


@pytest.mark.parametrize("name", [both_backends(name) if name == "dense" else name for name in MODELS])
def test_eight_bits_stay_close_to_the_model_they_came_from(name):
    model, rows = trained(MODELS[name])
    before = model.get_weights()
    aware = observed(model, rows)
    assert signal_to_noise(model.predict(rows, verbose=0), aware.predict(rows, verbose=0)) > 20
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.skipif(not TF, reason="LiteRT's converter is TensorFlow's")
@pytest.mark.parametrize("name", MODELS)
def test_litert_computes_what_keras_does_in_integers_throughout(name, tmp_path):
    model, rows = trained(MODELS[name])
    aware = observed(model, rows)
    exported = compress.export(aware, tmp_path / "m.tflite", int8=True)
    assert exported.float_tensors == 0 and exported.int8_tensors > 0
    expected = aware.predict(rows, verbose=0)
    level = (expected.max() - min(expected.min(), 0)) / 255
    # Rounding inside (biases, BatchNormalization folded into 8-bit weights) may move an answer a few of its levels.
    answers = litert.run(tmp_path / "m.tflite", rows)
    assert np.abs(answers - expected).max() <= 4 * level
    assert signal_to_noise(expected, answers) > 35


@pytest.mark.both_backends
def test_weights_and_names_carry_over_and_files_load_again(tmp_path):
    model, rows = trained(residual)
    aware = observed(model, rows)
    for layer in model.layers[1:]:
        for old, new in zip(layer.get_weights(), aware.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
    aware.save(tmp_path / "aware.keras")
    loaded = keras.models.load_model(tmp_path / "aware.keras")
    np.testing.assert_array_equal(aware.predict(rows, verbose=0), loaded.predict(rows, verbose=0))
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in aware.layers]


@pytest.mark.both_backends
def test_nothing_is_rounded_inside_one_operation():
    rounded = {layer.name for layer in compress.quantize_aware(residual()).layers if "_range" in layer.name}
    # input, first ReLU, second BatchNormalization, ReLU after Add, pooling, Dense: none after a convolution or Add.
    assert len(rounded) == 6
    assert not any(name.startswith(("conv2d", "add")) for name in rounded)


@pytest.mark.parametrize("jit_compile", [both_backends(True), False])
def test_training_moves_weights_as_the_straight_through_estimator_says(jit_compile):
    model = chain((3,), layers.Dense(1, kernel_initializer="ones", use_bias=False))
    aware = compress.quantize_aware(model)
    aware.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
    aware.fit(np.array([[1.27, -1.28, 0.504]], "float32"), np.array([[2.0]]), verbose=0)
    # The first batch sets the input's range, so that the levels are the hundredths.
    q = np.array([[1.27, -1.28, 0.5]])
    expected = 1.0 - 0.1 * 2 * (q.sum() - 2.0) * q
    got = np.asarray(aware.trainable_weights[0]).T
    np.testing.assert_allclose(got, expected, atol=1e-4)


class Own(keras.layers.Layer):
    def call(self, inputs):
        return inputs


class OwnModel(keras.Model):
    def call(self, inputs):
        return inputs


def with_policy(policy):
    return chain((4,), layers.Dense(3, dtype=policy, name="low"))


def with_operation():
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(2)(inputs) + 1.0)


REFUSED = {
    "not a model": (lambda: "model.keras", "a keras.Model"),
    "subclassed": (OwnModel, "Sequential or functional"),
    "unbuilt": (lambda: keras.Sequential([layers.Dense(2)]), "Sequential or functional"),
    "twice": (lambda: compress.quantize_aware(chain((4,), layers.Dense(2))), "not quantized yet"),
    "unknown layer": (lambda: chain((4,), Own(name="mine")), "Own: `mine`"),
    "two unknown layers": (lambda: chain((4,), Own(name="m1"), Own(name="m2")), "Own: `m1`, `m2`"),
    "embedding": (lambda: chain((4,), layers.Embedding(9, 3, name="words")), "Embedding: `words`"),
    "nested": (lambda: chain((4,), chain((4,), layers.Dense(2))), "a model inside the model"),
    "operation": (with_operation, "operation Add, which is no layer: `add"),
    "bfloat16": (lambda: with_policy("mixed_bfloat16"), "Dense that computes in bfloat16: `low`"),
    "activation": (lambda: chain((4,), layers.Dense(3, "gelu", name="g")), "Dense with activation gelu: `g`"),
    "relu with a ceiling": (lambda: chain((4,), layers.ReLU(1.0, name="r")), "ReLU with activation relu1: `r`"),
    "leaking relu": (lambda: chain((4,), layers.ReLU(negative_slope=0.1)), "negative slope"),
    "norm after dense": (
        lambda: chain((4,), layers.Dense(3), layers.BatchNormalization(name="b")),
        "convolution without activation: `b`",
    ),
    "norm after relu": (lambda: chain(IMAGE, conv(4, activation="relu"), layers.BatchNormalization(name="b")), "`b`"),
    "softmax over rows": (lambda: chain((4,), layers.Softmax(axis=0)), "over axis 0"),
    "channels first": (lambda: chain((3, 8, 8), layers.Conv2D(2, 3, data_format="channels_first")), "channels_first"),
}


@pytest.mark.both_backends
@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_layers_name_and_type(name):
    build, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        compress.quantize_aware(build())
    assert str(caught.value).startswith("`quantize_aware(model=...)` must be ")
