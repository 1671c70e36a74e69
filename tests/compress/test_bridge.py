"""Keras 3 models across the bridge to tf_keras and back: the same outputs, weights and names, layer by layer."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf_keras runs on TensorFlow", allow_module_level=True)

import tf_keras

from keras_dlopt.compress import bridge

RNG = np.random.default_rng(0)
VECTOR, SEQUENCE, IMAGE, VOLUME = (6,), (5, 4), (6, 6, 4), (4, 4, 4, 2)
WORDS, NUMBERS = np.array([["ant", "bee"], ["cow", "ant"]]), np.array([[3, 1], [0, 2]])


def adapted(layer, data):
    layer.adapt(data)
    return layer


# What each layer is called on: random numbers of a shape, unless an array is given.
ON = {
    VECTOR: {
        "Dense": lambda: L.Dense(3, activation="gelu", kernel_regularizer="l2", bias_constraint="non_neg"),
        "Dense max_norm": lambda: L.Dense(3, kernel_constraint=keras.constraints.MaxNorm(1.5, axis=0)),
        "Dense L1L2": lambda: L.Dense(3, kernel_regularizer=keras.regularizers.L1L2(0.1, 0.2), trainable=False),
        "ActivityRegularization": lambda: L.ActivityRegularization(l1=0.1),
        "AlphaDropout": lambda: L.AlphaDropout(0.5),
        "BatchNormalization": lambda: L.BatchNormalization(momentum=0.9, epsilon=0.01),
        "BatchNormalization renorm": lambda: L.BatchNormalization(renorm=True),
        "BatchNormalization bare": lambda: L.BatchNormalization(center=False, scale=False),
        "Discretization": lambda: L.Discretization([-0.5, 0.0, 0.5]),
        "Dropout": lambda: L.Dropout(0.5, seed=3),
        "EinsumDense": lambda: L.EinsumDense("ab,bc->ac", 4, bias_axes="c", activation="relu"),
        "ELU": lambda: L.ELU(0.5),
        "Flatten": L.Flatten,
        "GaussianDropout": lambda: L.GaussianDropout(0.5),
        "GaussianNoise": lambda: L.GaussianNoise(0.5),
        "Identity": L.Identity,
        "LayerNormalization": lambda: L.LayerNormalization(epsilon=0.1),
        "LeakyReLU": lambda: L.LeakyReLU(0.1),
        "Normalization": lambda: adapted(L.Normalization(), RNG.normal(2, 3, (50, 6))),
        "Normalization given": lambda: L.Normalization(mean=1.0, variance=4.0),
        "Normalization invert": lambda: L.Normalization(mean=1.0, variance=4.0, invert=True),
        "PReLU": lambda: L.PReLU(alpha_initializer="uniform"),
        "ReLU": lambda: L.ReLU(1.0, negative_slope=0.2, threshold=0.1),
        "RepeatVector": lambda: L.RepeatVector(3),
        "Rescaling": lambda: L.Rescaling(0.5, offset=1.0),
        "Reshape": lambda: L.Reshape((2, 3)),
        "Softmax": L.Softmax,
        "SpectralNormalization": lambda: L.SpectralNormalization(L.Dense(3), power_iterations=2),
        "UnitNormalization": L.UnitNormalization,
    }
    | {
        f"Activation {name}": lambda name=name: L.Activation(name)
        for name in (
            "celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid "
            "log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus "
            "sparse_sigmoid sparsemax squareplus tanh tanh_shrink"
        ).split()
    },
    SEQUENCE: {
        "AveragePooling1D": lambda: L.AveragePooling1D(2, padding="same"),
        "Bidirectional": lambda: L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode="sum"),
        "Bidirectional two": lambda: L.Bidirectional(L.LSTM(3), backward_layer=L.GRU(3, go_backwards=True)),
        "Conv1D": lambda: L.Conv1D(4, 3, padding="causal", dilation_rate=2),
        "Conv1DTranspose": lambda: L.Conv1DTranspose(3, 2, strides=2),
        "Cropping1D": L.Cropping1D,
        "DepthwiseConv1D": lambda: L.DepthwiseConv1D(2, depth_multiplier=2),
        "GlobalAveragePooling1D": lambda: L.GlobalAveragePooling1D(keepdims=True),
        "GlobalMaxPooling1D": L.GlobalMaxPooling1D,
        "GRU": lambda: L.GRU(3, reset_after=False, return_sequences=True),
        "GRU default": lambda: L.GRU(3, recurrent_activation="hard_sigmoid"),
        "LSTM": lambda: L.LSTM(3, go_backwards=True, unit_forget_bias=False, recurrent_activation="hard_sigmoid"),
        "MaxPooling1D": L.MaxPooling1D,
        "Permute": lambda: L.Permute((2, 1)),
        "RNN": lambda: L.RNN([L.LSTMCell(3), L.GRUCell(2), L.SimpleRNNCell(4)], return_sequences=True),
        "RNN of StackedRNNCells": lambda: L.RNN(L.StackedRNNCells([L.GRUCell(3), L.LSTMCell(2)])),
        "SeparableConv1D": lambda: L.SeparableConv1D(3, 2, depth_multiplier=2),
        "SimpleRNN": lambda: L.SimpleRNN(3),
        "SpatialDropout1D": lambda: L.SpatialDropout1D(0.5),
        "TimeDistributed": lambda: L.TimeDistributed(L.BatchNormalization()),
        "TimeDistributed model": lambda: L.TimeDistributed(keras.Sequential([keras.Input((4,)), L.Dense(2)])),
        "UpSampling1D": L.UpSampling1D,
        "ZeroPadding1D": L.ZeroPadding1D,
    },
    IMAGE: {
        "AveragePooling2D": lambda: L.AveragePooling2D(3, strides=2, padding="same"),
        "CenterCrop": lambda: L.CenterCrop(3, 4),
        "Conv2D": lambda: L.Conv2D(4, 3, strides=2, padding="same", groups=2, activation="swish"),
        "Conv2DTranspose": lambda: L.Conv2DTranspose(3, 3, strides=2, padding="same"),
        "ConvLSTM1D": lambda: L.ConvLSTM1D(2, 2, recurrent_activation="hard_sigmoid"),
        "Cropping2D": lambda: L.Cropping2D(((1, 0), (0, 2))),
        "DepthwiseConv2D": lambda: L.DepthwiseConv2D(3, depth_multiplier=2),
        "GlobalAveragePooling2D": L.GlobalAveragePooling2D,
        "GlobalMaxPooling2D": lambda: L.GlobalMaxPooling2D(keepdims=True),
        "GroupNormalization": lambda: L.GroupNormalization(2),
        "LayerNormalization axes": lambda: L.LayerNormalization(axis=(1, 2)),
        "MaxPooling2D": L.MaxPooling2D,
        "PReLU shared": lambda: L.PReLU("uniform", shared_axes=(1, 2)),
        "Resizing": lambda: L.Resizing(4, 9),
        "Resizing nearest": lambda: L.Resizing(4, 9, interpolation="nearest"),
        "SeparableConv2D": lambda: L.SeparableConv2D(3, 2, activation="relu6"),
        "SpatialDropout2D": lambda: L.SpatialDropout2D(0.5),
        "SpectralNormalization of Conv2D": lambda: L.SpectralNormalization(L.Conv2D(3, 2)),
        "UpSampling2D": lambda: L.UpSampling2D((2, 3), interpolation="bilinear"),
        "ZeroPadding2D": lambda: L.ZeroPadding2D(((1, 0), (0, 2))),
    },
    VOLUME: {
        "AveragePooling3D": lambda: L.AveragePooling3D(2),
        "Conv3D": lambda: L.Conv3D(2, 2),
        "Conv3DTranspose": lambda: L.Conv3DTranspose(2, 2),
        "ConvLSTM2D": lambda: L.ConvLSTM2D(2, 2, return_sequences=True),
        "Cropping3D": L.Cropping3D,
        "GlobalAveragePooling3D": L.GlobalAveragePooling3D,
        "GlobalMaxPooling3D": L.GlobalMaxPooling3D,
        "MaxPooling3D": L.MaxPooling3D,
        "SpatialDropout3D": lambda: L.SpatialDropout3D(0.5),
        "UpSampling3D": L.UpSampling3D,
        "ZeroPadding3D": L.ZeroPadding3D,
    },
    (3, 4, 4, 4, 2): {"ConvLSTM3D": lambda: L.ConvLSTM3D(2, 2)},
    "two vectors": {
        name: getattr(L, name)
        for name in ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract")
    }
    | {"Dot": lambda: L.Dot(axes=1, normalize=True)},
    "two sequences": {
        "AdditiveAttention": L.AdditiveAttention,
        "Attention": lambda: L.Attention(use_scale=True, score_mode="concat"),
        "MultiHeadAttention": lambda: Apart(L.MultiHeadAttention(2, 3, value_dim=2, output_shape=5)),
    },
    "numbers": {
        "CategoryEncoding": lambda: L.CategoryEncoding(4, output_mode="count"),
        "Embedding": lambda: L.Embedding(4, 3),
        "Embedding masked": lambda: keras.Sequential([L.Embedding(4, 3, mask_zero=True), L.LSTM(2)]),
        "Masking": lambda: keras.Sequential([L.Reshape((2, 1)), L.Rescaling(1.0), L.Masking(0.0), L.GRU(2)]),
        "Hashing": lambda: L.Hashing(5),
        "IntegerLookup": lambda: L.IntegerLookup(vocabulary=[1, 3, 5], output_mode="multi_hot"),
    },
    "words": {
        "StringLookup": lambda: L.StringLookup(vocabulary=["ant", "cow"], output_mode="count"),
        "StringLookup adapted": lambda: adapted(L.StringLookup(), WORDS),
        "Hashing words": lambda: L.Hashing(5, salt=7),
        "TextVectorization": lambda: Column(adapted(L.TextVectorization(output_sequence_length=3), WORDS[:, 0])),
    },
    "two columns": {"HashedCrossing": lambda: L.HashedCrossing(9)},
}
# Layers that only live inside others.
WITHIN = {"LSTMCell", "GRUCell", "SimpleRNNCell", "StackedRNNCells"}
# Not layers to use: bases, the input, what is refused (see below).
NOT_TESTED = {"Layer", "Wrapper", "InputLayer", "Lambda"}


class Apart:
    """Calls a layer with two arguments, not with a list."""

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, pair):
        return self.layer(*pair)


class Column(Apart):
    def __call__(self, words):
        return self.layer(words[:, :1])


def inputs_and_data(on):
    """Symbolic inputs with the data they stand for, and what the layers are called with."""
    if on == "numbers":
        made, data = [keras.Input((2,), dtype="int64")], [NUMBERS]
    elif on == "words":
        made, data = [keras.Input((2,), dtype="string")], [WORDS]
    elif on == "two columns":
        made, data = [keras.Input((1,), dtype="int64") for _ in range(2)], [NUMBERS[:, :1], NUMBERS[:, 1:]]
    else:
        shape = {"two vectors": VECTOR, "two sequences": SEQUENCE}.get(on, on)
        made = [keras.Input(shape) for _ in range(1 + str(on).startswith("two"))]
        data = [RNG.normal(size=(2, *shape)).astype("float32") for _ in made]
    return made, data, made if len(made) > 1 else made[0]


def random_weights(model):
    """Ones and zeros would hide a mistaken order."""
    for variable in model.weights:
        if "float" in variable.dtype:
            variable.assign(RNG.uniform(0.1, 1.0, variable.shape))
    for layer in model._flatten_layers():
        if isinstance(layer, L.Normalization) and layer.weights:
            layer.finalize_state()


def trained_a_little(model):
    """Statistics and biases that differ: those of an untrained network hide a mistaken order, and its signal dies."""
    for variable in model.weights:
        if variable.name in ("bias", "beta", "moving_mean"):
            variable.assign(RNG.uniform(-0.1, 0.1, variable.shape))
        elif variable.name in ("gamma", "moving_variance"):
            variable.assign(RNG.uniform(0.5, 1.5, variable.shape))


def assert_same(model, data):
    twin = bridge.to_tf_keras(model)
    ours, theirs = (keras.tree.flatten(made([keras.ops.convert_to_tensor(x) for x in data])) for made in (model, twin))
    for name, one, other in zip(model.output_names, ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5, err_msg=name)
    return twin


@pytest.mark.parametrize("on", ON, ids=str)
def test_layers_agree(on):
    made, data, given = inputs_and_data(on)
    outputs = {name: make()(given) for name, make in ON[on].items()}
    model = keras.Model(made, list(outputs.values()))
    random_weights(model)
    twin = assert_same(model, data)
    back = bridge.to_keras(twin, like=model)
    for name, one, other in zip((v.path for v in model.weights), model.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)


def test_every_layer_with_a_twin_is_among_them():
    classes = {
        kind
        for name, kind in vars(L).items()
        if isinstance(kind, type) and issubclass(kind, L.Layer) and hasattr(tf_keras.layers, name)
    }
    tested = {name.split()[0] for makers in ON.values() for name in makers} | WITHIN | NOT_TESTED
    assert {kind.__name__ for kind in classes if not kind.__name__.startswith("Random")} - tested == set()


def small(name="small"):
    return keras.Sequential([keras.Input((4,)), L.Dense(3, "relu"), L.BatchNormalization(), L.Dense(4)], name=name)


def graph_of_everything():
    """Two named inputs, a model inside used twice, a shared layer, residual sums, operations with and without twins."""
    one, two = keras.Input((4,), name="one"), keras.Input((4,), name="two")
    inner, shared = small("inner"), L.Dense(4, name="shared")
    x = inner(one) + inner(two) * 0.5
    x = 1.0 - ops.sigmoid(shared(x)) / (2.0 + ops.square(shared(one)))
    parts = ops.split(ops.concatenate([x, ops.maximum(one, two)], axis=-1), 2, axis=1)
    left = ops.mean(ops.reshape(parts[0], (-1, 2, 2)), axis=-1, keepdims=True)[:, :, 0]
    right = ops.matmul(parts[1], ops.transpose(parts[0]))
    gated = ops.expand_dims(ops.gelu(left, approximate=True), 1) + ops.max(right, axis=1, keepdims=True)[:, None]
    return keras.Model({"one": one, "two": two}, {"a": gated, "b": L.Dropout(0.3)(parts[0]), "c": one})


def test_graphs_agree():
    model = graph_of_everything()
    random_weights(model)
    data = {"one": RNG.normal(size=(2, 4)).astype("float32"), "two": RNG.normal(size=(2, 4)).astype("float32")}
    nested, flat = bridge.to_tf_keras(model), bridge.model.flatten(model, "test")
    expected = model(data)
    for twin in (nested, flat.model):
        found = twin(data)
        assert set(found) == {"a", "b", "c"}
        for name in found:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
    assert nested.get_layer("inner").get_layer("dense").name == "dense"
    assert not any(isinstance(layer, tf_keras.Model) for layer in flat.model.layers)
    assert flat.layers["inner_dense_"] is model.get_layer("inner").layers[0]
    nested.get_layer("inner").get_layer("dense").kernel.assign_add(np.ones((4, 3)))
    back = bridge.to_keras(nested, like=model)
    kernels = [made.get_layer("inner").layers[0].kernel.numpy() for made in (back, model)]
    np.testing.assert_allclose(kernels[0], kernels[1] + 1)


def test_frozen_layers_stay_frozen():
    model = keras.Sequential([keras.Input((4,)), small("inner"), L.Dense(3), L.Dense(2)])
    model.layers[0].trainable = model.layers[1].trainable = False
    twin = bridge.to_tf_keras(model)
    assert isinstance(twin, tf_keras.Sequential)
    assert [len(layer.trainable_weights) for layer in twin.layers] == [0, 0, 2]
    x = RNG.normal(size=(2, 4)).astype("float32")
    np.testing.assert_allclose(twin(x), model(x), atol=1e-5)


@keras.saving.register_keras_serializable("test")
class Own(L.Layer):
    def call(self, x):
        return x * 2


class Subclassed(keras.Model):
    def call(self, x):
        return x


def ends_in(*layers_):
    return keras.Sequential([keras.Input((6, 6, 3)), *layers_])


REFUSED = {
    "subclassed": (Subclassed, 'Subclassed `subclassed` has no graph.*engine="native"'),
    "subclassed inside": (lambda: ends_in(Subclassed(name="deep")), r"Subclassed `deep` \(a subclassed model"),
    "Lambda": (lambda: ends_in(L.Lambda(lambda x: x, name="fun")), r"Lambda `fun` \(its function.*engine=\"native\""),
    "own": (lambda: ends_in(Own(name="own")), r"Own `own` \(no built-in layer of Keras\).*native"),
    "no twin": (
        lambda: ends_in(L.RMSNormalization(name="rms")),
        "RMSNormalization `rms`.*has no such layer",
    ),
    "no argument": (
        lambda: ends_in(L.LayerNormalization(rms_scaling=True, name="n")),
        r"LayerNormalization `n` \(tf_keras knows nothing like rms_scaling=True",
    ),
    "random": (lambda: ends_in(L.RandomFlip(name="flip")), r"RandomFlip `flip` \(random"),
    "several": (
        lambda: keras.Sequential([keras.Input((6, 6, 3)), ends_in(Own(name="deep"), L.AdaptiveMaxPooling2D(2))]),
        "Own `deep`.*; AdaptiveMaxPooling2D",
    ),
    "no model": (lambda: "model.keras", r"`to_tf_keras\(model=...\)` must be a keras.Model or a tf_keras.Model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        bridge.to_tf_keras(make())


def test_a_model_of_tf_keras_is_across_already():
    model = tf_keras.Sequential([tf_keras.layers.Dense(2)])
    assert bridge.to_tf_keras(model) is model


@pytest.mark.parametrize("name", ["MobileNetV3Small", "MobileNetV2", "EfficientNetB0"])
def test_applications_agree(name):
    how = {"weights": None, "input_shape": (32, 32, 3), "classes": 7, "classifier_activation": None}
    model = getattr(keras.applications, name)(**how)
    trained_a_little(model)
    twin = bridge.to_tf_keras(model)
    x = RNG.uniform(0, 1, (2, 32, 32, 3)).astype("float32")
    ours, theirs = (made(x).numpy() for made in (model, twin))
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5 * np.abs(ours).max())
    assert ours.std() > 1e-3  # there is something to agree on
