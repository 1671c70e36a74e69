"""What the memory-saving rules keep, and which blocks and factors they see."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt import optimizers
from keras_dlopt.optimizers.memory.adam_mini import blocks_of

pytestmark = pytest.mark.both_backends

rng = np.random.default_rng(5)


def state_bytes(optimizer, *shapes):
    """Bytes a parameter of what `optimizer` keeps for variables of these shapes."""
    weights = [keras.Variable(np.zeros(shape, "float32"), name=f"kernel{i}") for i, shape in enumerate(shapes)]
    common = len(optimizer.variables)
    optimizer.build(weights)
    arrays = [ops.convert_to_numpy(v) for v in optimizer.variables[common:]]
    return sum(a.nbytes for a in arrays) / sum(np.prod(shape) for shape in shapes)


def first_step(optimizer, gradient, path="kernel"):
    """How far the first step moves a variable of that path, which starts at 0."""
    with keras.name_scope("/".join(path.split("/")[:-1]) or "x"):
        weight = keras.Variable(np.zeros(gradient.shape, "float32"), name=path.split("/")[-1])
    optimizer.apply([ops.convert_to_tensor(gradient)], [weight])
    return -ops.convert_to_numpy(weight)


def test_adafactor_keeps_rows_and_columns_only():
    assert state_bytes(optimizers.Adafactor(), (4096, 4096)) == pytest.approx(4 * 2 / 4096)
    assert state_bytes(optimizers.Adafactor(), (3, 3, 256, 256)) <= 0.04


def test_adafactor_leaves_the_rate_alone_without_relative_step():
    """Where Keras's takes the smaller of it and 1 / sqrt(t) all the same."""
    for relative_step, moved in [(True, 1.0), (False, 4.0)]:
        optimizer = optimizers.Adafactor(4.0, relative_step=relative_step, epsilon_2=1.0)
        step = first_step(optimizer, np.ones((4, 5), "float32"))
        np.testing.assert_allclose(step, moved, rtol=1e-6)


def test_sm3_without_momentum_keeps_its_accumulators_only():
    assert state_bytes(optimizers.SM3(momentum=0.0), (256, 512)) == pytest.approx(4 * (1 / 256 + 1 / 512))


def model():
    inputs = layers.Input((5,), dtype="int32")
    x = layers.Embedding(11, 6)(inputs)
    x = layers.MultiHeadAttention(2, 3, value_dim=4, name="attention")(x, x)
    x = layers.LayerNormalization()(x)
    x = layers.Conv1D(7, 3)(x)
    return keras.Model(inputs, layers.Dense(2)(x))


def test_blocks_of_adam_mini_in_keras_layouts():
    """Kind of block and number of second moments of every variable of a small attention model."""
    optimizer, variables = optimizers.AdamMini(), model().trainable_variables
    optimizer.build(variables)
    store = {}
    optimizer.save_own_variables(store)
    seen = {
        "/".join(v.path.split("/")[-2:]): (blocks_of(v), np.asarray(store[f"v.{i}"]).size)
        for i, v in enumerate(variables)
    }
    attention = {k: seen.pop(k) for k in list(seen) if k.split("/")[0] in ("query", "key", "value", "attention_output")}
    assert attention == {
        "query/kernel": ("head", 2),
        "key/kernel": ("head", 2),
        "value/kernel": ("value neuron", 8),
        "attention_output/kernel": ("neuron", 6),
        "query/bias": ("element", 6),
        "key/bias": ("element", 6),
        "value/bias": ("element", 8),
        "attention_output/bias": ("element", 6),
    }
    assert sorted(seen.values()) == sorted(
        [("token", 11), ("variable", 1), ("element", 6), ("neuron", 7), ("element", 7), ("neuron", 2), ("element", 2)]
    )


BLOCKS = {
    "query/kernel": ((6, 2, 4), (0, 2)),
    "value/kernel": ((6, 2, 4), (0,)),
    "attention_output/kernel": ((2, 4, 6), (0, 1)),
    "conv/kernel": ((3, 3, 4, 8), (0, 1, 2)),
    "table/embeddings": ((9, 4), (1,)),
    "norm/gamma": ((7,), (0,)),
    "norm/beta": ((7,), ()),
}


@pytest.mark.parametrize("path", BLOCKS)
def test_adam_mini_divides_by_the_root_mean_square_of_the_block(path):
    """The first debiased step is the rate times the gradient over its root mean square in the block."""
    shape, inside = BLOCKS[path]
    gradient = rng.normal(size=shape).astype("float32")
    expected = 0.1 * gradient / np.sqrt(np.mean(gradient**2, axis=inside, keepdims=True))
    np.testing.assert_allclose(first_step(optimizers.AdamMini(0.1), gradient, path), expected, rtol=1e-5)
