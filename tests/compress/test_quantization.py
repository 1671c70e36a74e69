"""Quantization-aware models: what they compute, what LiteRT makes of them, what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dlopt import compress
from keras_dlopt.compress import litert
from keras_dlopt.compress.fake_quant import FakeQuant

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


def mobile_net_v3():
    """Rescaling, hard swish, and squeeze-and-excite with a hard sigmoid made of operations."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Rescaling(0.5, offset=-0.1)(inputs)
    x = layers.Activation("hard_swish")(norm()(conv(8)(x)))
    y = norm()(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x))
    y = keras.activations.silu(y)
    gate = layers.Conv2D(4, 1, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(y))
    gate = layers.ReLU(6.0)(layers.Conv2D(8, 1)(gate) + 3.0) * (1.0 / 6.0)
    x = layers.Add()([x, norm()(layers.Conv2D(8, 1, use_bias=False)(layers.Multiply()([y, gate])))])
    return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))


def efficient_net():
    """Normalization by statistics and by channel, swish inside a convolution, gates of sigmoid and hard sigmoid."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 1.0, 2.0])(inputs)
    x = layers.Conv2D(8, 3, activation="swish")(layers.Rescaling([1.0, 0.5, 2.0])(x))
    gate = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(8, 1, activation="sigmoid")(layers.Conv2D(4, 1, activation="hard_sigmoid")(gate))
    x = layers.Dropout(0.2, noise_shape=(None, 1, 1, 1))(layers.multiply([x, gate]))
    return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))


def transformer():
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(30, 8)(tokens) + layers.Embedding(6, 8)(keras.ops.arange(6))
    x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 4, dropout=0.1)(x, x)]))
    y = layers.EinsumDense("abc,cd->abd", (6, 8), bias_axes="d")(layers.Dense(16, "gelu")(x))
    x = layers.LayerNormalization(scale=False, center=False)(x + y)
    return keras.Model(tokens, layers.Dense(5)(layers.GlobalAveragePooling1D()(x)))


def attention_and_lstm():
    tokens = keras.Input((4,), dtype="int32")
    x = layers.Embedding(6, 4)(tokens)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x))
    x = layers.Dense(4, "swish")(layers.LSTM(3, dropout=0.2)(x))
    return keras.Model(tokens, layers.Dense(5)(norm()(x)))


def nested():
    """Two models inside, one of them used twice, with names that clash."""
    inner = chain((8, 8, 3), layers.Conv2D(3, 3, padding="same", use_bias=False, name="c"), norm())
    inputs = keras.Input((8, 8, 3))
    x = layers.ReLU()(inner(inner(inputs)))
    top = keras.Input((8, 8, 3))
    x = keras.Model(top, layers.Conv2D(4, 3, name="c")(top))(x)
    return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(layers.Conv2D(4, 3, name="c")(x))))


IMAGE = (8, 8, 3)
MODELS = {
    "mobile net v3": mobile_net_v3,
    "efficient net": efficient_net,
    "transformer": transformer,
    "lstm": lambda: chain(
        (3, 4), layers.LSTM(8, return_sequences=True), layers.LSTM(6, go_backwards=True), layers.Dense(5)
    ),
    "nested": nested,
    "norm apart": lambda: chain(
        (6, 12),
        layers.Dense(16, "relu"),
        norm(),
        layers.Dense(8),
        norm(),
        layers.ReLU(),
        layers.Flatten(),
        norm(),
        layers.Dense(5),
    ),
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
    shape = (rows, *model.input_shape[1:])
    if model.inputs[0].dtype == "int32":
        return model, rng.integers(6, size=shape).astype("int32")
    return model, rng.normal(size=shape).astype("float32")


def observed(model, rows, **arguments):
    """`quantize_aware`, with ranges from `rows` and everything else as it was."""
    aware = compress.quantize_aware(model, **arguments)
    compress.calibrate(aware, rows, batch_size=len(rows))
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
    # Rounding inside (biases, BatchNormalization folded into 8-bit weights) may move an answer a few of its levels, and
    # what an LSTM remembers a level at each step.
    answers = litert.run(tmp_path / "m.tflite", rows)
    assert np.abs(answers - expected).max() <= (8 if name == "lstm" else 4) * level
    assert signal_to_noise(expected, answers) > (25 if name == "lstm" else 35)


@pytest.mark.both_backends
def test_weights_and_names_carry_over():
    model, rows = trained(residual)
    aware = observed(model, rows)
    for layer in model.layers[1:]:
        for old, new in zip(layer.get_weights(), aware.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def test_layers_of_models_inside_move_out_and_are_numbered_where_names_clash():
    model, _ = trained(nested)
    aware = compress.quantize_aware(model)
    names = [layer.name for layer in aware.layers if isinstance(layer, layers.Conv2D)]
    assert sorted(names) == ["c", "c_2", "c_3"]
    assert {id(layer) for layer in aware._flatten_layers()}.isdisjoint(id(layer) for layer in model._flatten_layers())


def tokens_in_float():
    """Keras's default type of an input; the ids go through operations that only move them, on one of two ways."""
    inputs = keras.Input((6,))
    tables = [layers.Embedding(5000, 8) for _ in range(2)]
    x = layers.Add()([tables[0](inputs), tables[1](layers.Reshape((6,))(inputs[:, :6]))])
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))


@pytest.mark.both_backends
def test_token_ids_are_not_rounded_in_an_input_of_the_default_type(tmp_path):
    model = tokens_in_float()
    rows = np.random.default_rng(0).integers(5000, size=(64, 6)).astype("float32")
    aware = observed(model, rows)
    expected = model.predict(rows, verbose=0)
    assert aware.inputs[0].dtype == "int32" and "input_range" not in [layer.name for layer in aware.layers]
    assert signal_to_noise(expected, aware.predict(rows, verbose=0)) > 30
    if TF:
        exported = compress.export(aware, tmp_path / "m.tflite", int8=True)
        assert signal_to_noise(expected, litert.run(exported.path, rows)) > 30
        with pytest.raises(ValueError, match=r'`export\(model=...\)` must be .*dtype="int32".* as `embedding'):
            compress.export(model, tmp_path / "m.tflite", int8=True, representative=rows)


@pytest.mark.parametrize("build", [both_backends(attention_and_lstm), efficient_net])
def test_trains_compiled_and_loads_again(build, tmp_path):
    model, rows = trained(build)
    aware = compress.quantize_aware(model, weight_bits=4)
    before = [np.asarray(weight) for weight in aware.trainable_weights]
    aware.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=True)
    aware.fit(rows, np.arange(len(rows)) % 5, batch_size=32, verbose=0)
    for old, new in zip(before, aware.trainable_weights, strict=True):
        # A softmax does not see what is added to all keys alike: no gradient for that bias.
        assert not np.array_equal(old, np.asarray(new)) or "key/bias" in new.path
    assert all(layer.observed for layer in aware._flatten_layers() if isinstance(layer, FakeQuant))
    aware.save(tmp_path / "aware.keras")
    loaded = keras.models.load_model(tmp_path / "aware.keras")
    np.testing.assert_array_equal(aware.predict(rows, verbose=0), loaded.predict(rows, verbose=0))
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in aware.layers]


@pytest.mark.both_backends
def test_the_loop_of_an_lstm_sees_the_extremes_of_all_steps():
    """Gates are rounded sums of what the layer is given and what it remembers: with one unit, they can be computed."""
    model = chain((5, 1), layers.LSTM(1, kernel_initializer="ones", recurrent_initializer="zeros", use_bias=False))
    aware = compress.quantize_aware(model)
    rows = np.array([[1, 2, 3, 4, 5], [0, -1, -7, 1, 1]], "float32")[..., None]
    compress.calibrate(aware, rows)
    lstm = next(layer for layer in aware.layers if isinstance(layer, layers.LSTM))
    recurrent, gates, carry = ((float(layer.low), float(layer.high)) for layer in lstm.ranges)
    # The stored range was [-6, 6] while the first batch ran; the projection itself had just seen its own extremes.
    assert recurrent == (0.0, 0.0)
    np.testing.assert_allclose(gates, (-7, 5), atol=12 / 255)
    exact, low, high = np.zeros((2, 1)), 0.0, 0.0
    for t in range(5):
        gate = 1 / (1 + np.exp(-rows[:, t]))
        exact = gate * exact + gate * np.tanh(rows[:, t])
        low, high = min(low, exact.min()), max(high, exact.max())
    np.testing.assert_allclose(carry, (low, high), atol=0.1)


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


def read_twice():
    inputs = keras.Input((4,))
    embedded = layers.Flatten()(layers.Embedding(9, 2, name="words")(inputs))
    return keras.Model(inputs, layers.Concatenate()([embedded, layers.Dense(3, name="head")(inputs[:, :2])]))


class Own(keras.layers.Layer):
    def call(self, inputs):
        return inputs


class OwnModel(keras.Model):
    def call(self, inputs):
        return inputs


def with_policy(policy):
    return chain((4,), layers.Dense(3, dtype=policy, name="low"))


def with_operation(operation):
    inputs = keras.Input((4,))
    return keras.Model(inputs, operation(layers.Dense(2)(inputs)))


def with_attention(**arguments):
    inputs = keras.Input((4, 6))
    outputs = layers.MultiHeadAttention(2, 3, name="heads")(inputs, inputs, **arguments)
    return keras.Model(inputs, outputs)


def with_lstm(**arguments):
    inputs = keras.Input(batch_shape=(1, 4, 6))
    return keras.Model(inputs, layers.LSTM(3, name="memory", **arguments)(inputs))


REFUSED = {
    "not a model": (lambda: "model.keras", "a keras.Model"),
    "subclassed": (OwnModel, "Sequential or functional"),
    "unbuilt": (lambda: keras.Sequential([layers.Dense(2)]), "Sequential or functional"),
    "twice": (lambda: compress.quantize_aware(chain((4,), layers.Dense(2))), "not quantized yet"),
    "unknown layer": (lambda: chain((4,), Own(name="mine")), "Own: `mine`"),
    "two unknown layers": (lambda: chain((4,), Own(name="m1"), Own(name="m2")), "Own: `m1`, `m2`"),
    "unknown layer in a model inside": (lambda: chain((4,), chain((4,), Own(name="mine"))), "Own: `mine`"),
    "the name of another layer": (
        lambda: chain((4,), chain((4,), layers.Dense(3, "elu", name="d")), layers.Dense(2, name="d")),
        "Dense with activation elu: `d`",
    ),
    "token ids as real numbers": (read_twice, "those of `words` are read as real numbers, too, by `head`"),
    "computed token ids": (
        lambda: chain((4,), layers.Rescaling(2.0, name="double"), layers.Embedding(9, 2, name="words")),
        "those of `words` are what `double` computes",
    ),
    "mask": (lambda: chain((4,), layers.Embedding(9, 3, mask_zero=True, name="words")), "with mask_zero: `words`"),
    "causal mask": (lambda: with_attention(use_causal_mask=True), "MultiHeadAttention with a mask: `heads`"),
    "attention scores": (lambda: with_attention(return_attention_scores=True), "that returns its scores: `heads`"),
    "stateful": (lambda: with_lstm(stateful=True), "LSTM that is stateful: `memory`"),
    "recurrent dropout": (lambda: with_lstm(recurrent_dropout=0.1), "LSTM with recurrent_dropout: `memory`"),
    "activations of an LSTM": (
        lambda: with_lstm(activation="relu"),
        r"with activations \('relu', 'sigmoid'\): `memory`",
    ),
    "subclassed inside": (lambda: with_operation(OwnModel(name="own")), "a subclassed model inside the model: `own`"),
    "operation": (lambda: with_operation(keras.ops.cos), "operation Cos, which is no layer: `cos"),
    "norm over rows": (
        lambda: chain((4, 3), layers.LayerNormalization(axis=1, name="n")),
        "over axis .*, not the last: `n`",
    ),
    "bfloat16": (lambda: with_policy("mixed_bfloat16"), "Dense that computes in bfloat16: `low`"),
    "activation": (lambda: chain((4,), layers.Dense(3, "elu", name="g")), "Dense with activation elu: `g`"),
    "relu with a ceiling": (lambda: chain((4,), layers.ReLU(1.0, name="r")), "ReLU with activation relu1: `r`"),
    "leaking relu": (lambda: chain((4,), layers.ReLU(negative_slope=0.1)), "negative slope"),
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


ARGUMENTS = {
    "bits": ({"weight_bits": 9}, r"`quantize_aware\(weight_bits=...\)` must be a whole number in \[2, 8\]"),
    "bits of nothing": (
        {"weight_bits": {"dense$": 4, "head": 4}},
        r"match the name of a layer .* \(there are: dense\)",
    ),
    "skip of nothing": ({"skip": "head"}, r"`quantize_aware\(skip=...\)` must be what some layer matches"),
    "skip of a number": ({"skip": [3]}, "patterns, types of layers and functions"),
    "keep": ({"keep": "ones"}, r"`quantize_aware\(keep=...\)` must be \"zeros\", \"centroids\" or both"),
    "zeros of none": ({"keep": "zeros"}, "left out for a model without zeros"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_that_say_nothing_are_refused(name):
    arguments, message = ARGUMENTS[name]
    with pytest.raises(ValueError, match=message):
        compress.quantize_aware(chain((4,), layers.Dense(3, name="dense")), **arguments)


def test_calibrate_refuses_what_has_no_ranges():
    with pytest.raises(ValueError, match=r"`calibrate\(model=...\)` must be what `quantize_aware` returned"):
        compress.calibrate(chain((4,), layers.Dense(3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"`calibrate\(rows=...\)` must be at least one row"):
        compress.calibrate(compress.quantize_aware(chain((4,), layers.Dense(3))), np.ones((0, 4)))


@pytest.mark.skipif(not TF, reason="LiteRT's converter is TensorFlow's")
def test_bits_by_the_name_of_a_layer(tmp_path):
    model, rows = trained(lambda: chain((32,), layers.Dense(24, "relu", name="wide"), layers.Dense(5, name="head")))
    aware = observed(model, rows, weight_bits={"wide": 4})
    exported = compress.export(aware, tmp_path / "m.tflite", int8=True)
    with open(exported.path, "rb") as file:
        kernels = {array.size: array for array in litert.contents(file.read()).constants if array.dtype == "int8"}
    # The 15 levels of 4 bits, as multiples of 18 among those of 8 bits.
    np.testing.assert_array_equal(np.unique(kernels[32 * 24]), 18 * np.arange(-7, 8))
    assert len(np.unique(kernels[24 * 5])) > 15
    kernel = model.get_layer("wide").get_weights()[0].T.ravel()
    np.testing.assert_array_equal(kernels[32 * 24], 18 * np.round(kernel * 7 / np.abs(kernel).max()))


@pytest.mark.skipif(not TF, reason="LiteRT's converter is TensorFlow's")
@pytest.mark.parametrize(
    "skip", ["wavy", [Own, "other"], lambda layer: layer.name == "wavy"], ids=["pattern", "type", "function"]
)
def test_what_is_skipped_stays_float_between_integers(skip, tmp_path):
    model, rows = trained(
        lambda: (
            chain(
                (12,),
                layers.Dense(16, "relu"),
                Own(name="other"),
                layers.Dense(16, "elu", name="wavy"),
                layers.Dense(5),
            )
            if isinstance(skip, list)
            else chain(
                (12,), layers.Dense(16, "relu"), layers.Dense(16, "elu", name="wavy"), layers.Dense(5, name="head")
            )
        )
    )
    if isinstance(skip, list):
        skip = [*skip, "wavy"]
    aware = observed(model, rows, skip=skip)
    assert type(aware.get_layer("wavy")) is layers.Dense
    with pytest.raises(ValueError, match=r"left in float32: .*`wavy` \(Dense\)"):
        compress.export(aware, tmp_path / "m.tflite", int8=True)
    exported = compress.export(aware, tmp_path / "m.tflite", int8=True, allow_float=True)
    assert exported.int8_tensors >= 5
    with open(exported.path, "rb") as file:
        kernel = next(
            array
            for array in litert.contents(file.read()).constants
            if array.size in (256, 12 * 16) and array.dtype == "float32"
        )
    np.testing.assert_array_equal(kernel, aware.get_layer("wavy").get_weights()[0].T.ravel())
    expected = aware.predict(rows, verbose=0)
    assert signal_to_noise(expected, litert.run(exported.path, rows)) > 35


def shared_values():
    """A model with zeros and three values in one kernel, and none in the other."""
    model = chain((6,), layers.Dense(4, use_bias=False, name="shared"), layers.Dense(1, use_bias=False, name="free"))
    numbers = np.random.default_rng(0).integers(4, size=(6, 4))
    model.get_layer("shared").set_weights([np.array([0.0, -0.5, 0.25, 1.0], "float32")[numbers]])
    return model, numbers


@pytest.mark.both_backends
@pytest.mark.parametrize("keep", [("zeros",), ("centroids",), ("zeros", "centroids")])
def test_zeros_stay_and_weights_that_are_equal_move_as_one(keep):
    model, numbers = shared_values()
    before = model.get_layer("shared").get_weights()[0]

    def moved(**arguments):
        aware = compress.quantize_aware(model, **arguments)
        aware.compile(keras.optimizers.SGD(0.1), "mse")
        rng = np.random.default_rng(1)
        aware.fit(rng.normal(size=(16, 6)).astype("float32"), rng.normal(size=(16, 1)), batch_size=16, verbose=0)
        return np.asarray(aware.get_layer("shared").kernel) - before, np.asarray(aware.get_layer("free").kernel)

    (step, free), (got, other) = moved(), moved(keep=keep)
    expected = step.copy()
    for group in range(4):
        if group == 0 and "zeros" in keep:
            expected[numbers == group] = 0
        elif "centroids" in keep:
            expected[numbers == group] = step[numbers == group].mean()
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_allclose(other, free, atol=1e-6)


def test_what_is_kept_survives_training_saving_and_optimizers_that_would_move_it(tmp_path):
    model, numbers = shared_values()
    aware = compress.quantize_aware(model, keep=("zeros", "centroids"))
    aware.compile(keras.optimizers.AdamW(0.01, weight_decay=0.1), "mse")
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(64, 6)).astype("float32")
    aware.fit(rows, rng.normal(size=(64, 1)), batch_size=16, epochs=3, verbose=0)
    aware.save(tmp_path / "aware.keras")
    for made in (aware, keras.models.load_model(tmp_path / "aware.keras")):
        kernel = keras.ops.convert_to_numpy(made.get_layer("shared").rounded())
        assert (kernel == 0).sum() == (numbers == 0).sum() and len(np.unique(kernel)) == 4
