"""What the executor gives every optimizer: Keras's arguments, mixed precision, sparse and missing gradients."""

import keras
import numpy as np
import pytest
from cases import CASES, ONE_EACH
from fitting import JIT, fit, net
from keras import layers, ops
from trajectories import NOISE, SHAPES, START, provide, variables

from keras_dlopt import optimizers

TENSORFLOW = keras.backend.backend() == "tensorflow"
DROP_IN = [case for case in CASES if optimizers.TABLE[case.name].family == "drop-in" and not case.label]

rng = np.random.default_rng(3)


def keras_twin(case, **kwargs):
    return getattr(keras.optimizers, case.name)(learning_rate=0.01, **case.arguments, **kwargs)


def ours(case, **kwargs):
    return optimizers.get(case.name, learning_rate=0.01, **case.arguments, **kwargs)


@pytest.mark.both_backends
def test_loss_scale_optimizer_under_mixed_precision():
    expected, _ = fit(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)), model=net("mixed_float16"))
    model, _ = fit(keras.optimizers.LossScaleOptimizer(optimizers.Adam(0.01)), model=net("mixed_float16"))
    for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)  # one float32 rounding can tip one of float16 in the next batch


def test_bfloat16_variables_get_float32_state():
    weight = keras.Variable(np.full(4, 1.0), dtype="bfloat16")
    optimizer = optimizers.Adam(0.125)
    optimizer.apply([ops.ones(4, dtype="bfloat16")], [weight])
    assert {keras.backend.standardize_dtype(v.dtype) for v in optimizer.variables[2:]} == {"float32"}
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.cast(weight, "float32")), np.full(4, 0.875, "float32"))


# Gradients that are not there, or only in places


@pytest.mark.parametrize("flat_below", [0, 2**15])
@pytest.mark.parametrize("case", ONE_EACH, ids=lambda c: c.id)
def test_a_variable_without_gradient_keeps_weight_and_state(case, flat_below):
    optimizer, weights = case.make(0.1, weight_decay=0.1), variables()
    optimizer.flat_below = flat_below
    optimizer.build(weights)
    store = {}
    provide(optimizer, START, NOISE[0])
    optimizer.apply([ops.ones(w.shape) for w in weights], weights)
    optimizer.save_own_variables(store)
    before = ops.convert_to_numpy(weights[1])
    provide(optimizer, START, NOISE[1])
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([None if i == 1 else ops.ones(shape) for i, shape in enumerate(SHAPES)], weights)
    after = {}
    optimizer.save_own_variables(after)
    np.testing.assert_array_equal(ops.convert_to_numpy(weights[1]), before)
    for key in store:
        if key.endswith(".1"):
            np.testing.assert_array_equal(store[key], after[key])
    moved = not np.array_equal(ops.convert_to_numpy(weights[2]), START[2])
    assert moved or any(not np.array_equal(store[key], after[key]) for key in store if key.endswith(".2"))


def with_dense_gradients(optimizer):
    """Keras's optimizer with the parts of repeated embedding rows summed first, which its rules leave out."""
    apply = optimizer.apply
    optimizer.apply = lambda grads, variables=None: apply([dense(g) for g in grads], variables)
    return optimizer


def dense(gradient):
    if TENSORFLOW:
        import tensorflow as tf

        return tf.convert_to_tensor(gradient)
    return gradient


@pytest.mark.both_backends
@pytest.mark.parametrize("case", DROP_IN, ids=lambda c: c.id)
def test_embeddings_with_repeated_rows(case):
    """IndexedSlices on TensorFlow, dense gradients on JAX: the same numbers."""
    ids = rng.integers(0, 20, (32, 6))
    labels = ids.sum(axis=1) % 4

    def train(optimizer):
        keras.utils.set_random_seed(2)
        model = keras.Sequential(
            [layers.Input((6,), dtype="int32"), layers.Embedding(50, 8), layers.Flatten(), layers.Dense(4)]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, jit_compile=JIT)
        model.fit(ids, labels, batch_size=8, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    for a, b in zip(train(ours(case)), train(with_dense_gradients(keras_twin(case))), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


@pytest.mark.skipif(not TENSORFLOW, reason="IndexedSlices are TensorFlow's")
@pytest.mark.parametrize("name", ["GradientDescent", "SGD"])
def test_without_state_an_embedding_is_updated_in_its_rows_only(name):
    import tensorflow as tf

    table, optimizer = keras.Variable(np.ones((4096, 16), "float32")), optimizers.get(name, learning_rate=0.5)

    @tf.function
    def step():
        rows = tf.IndexedSlices(tf.ones((3, 16)), tf.constant([7, 9, 7]), tf.constant([4096, 16]))
        optimizer.apply([rows], [table])

    step()
    kinds = {op.type for op in step.get_concrete_function().graph.get_operations()}
    assert "ResourceScatterSub" in kinds and "AssignSubVariableOp" not in kinds
    assert table.numpy()[[6, 7, 9], 0].tolist() == [1.0, 0.0, 0.5]
