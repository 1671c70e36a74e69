"""Which additions are residual, and that a graph run branch by branch gives what the model gives."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt.step.residual import branches, run, taken_or_zero


def dense_block(x, name):
    hidden = layers.Dense(4, activation="tanh", name=f"{name}_a")(x)
    return layers.Dense(4, name=f"{name}_b")(layers.BatchNormalization(name=f"{name}_n")(hidden))


def test_finds_identity_and_projection_shortcuts_and_nothing_else():
    inputs = keras.Input((4,))
    x = layers.Add(name="identity")([inputs, dense_block(inputs, "one")])
    x = x + dense_block(x, "two")  # an operation of `keras.ops`
    x = layers.Add(name="projection")([dense_block(x, "three"), layers.Dense(4, name="short")(x)])
    towers = layers.Add(name="towers")([layers.Dense(4)(x), layers.Dense(4)(x)])
    seen = dense_block(towers, "four")
    outer = layers.Add(name="seen")([towers, seen])
    model = keras.Model(inputs, [layers.Dense(1)(outer), layers.Dense(1)(seen)])
    found = branches(model)
    names = [[node.operation.name for node in branch.nodes] for branch in found]
    assert names == [[f"{name}_{part}" for part in "anb"] for name in ("one", "two", "three")]
    assert found[2].shortcut is model.get_layer("short").output


def test_finds_all_of_a_resnet():
    assert len(branches(keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3)))) == 16


@pytest.mark.both_backends
def test_runs_as_the_model_and_without_a_branch():
    inputs = keras.Input((4,))
    x = layers.Add()([inputs, dense_block(inputs, "one")])
    y = x + dense_block(x, "two")
    model = keras.Model(inputs, {"y": y, "x": x})
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    found, expected = branches(model), model(x)
    same = run(model, found, x, False, lambda i, shortcut, branch: branch())
    none = run(model, found, x, False, lambda i, shortcut, branch: ops.zeros_like(shortcut))
    for name in ("x", "y"):
        np.testing.assert_array_equal(ops.convert_to_numpy(same[name]), ops.convert_to_numpy(expected[name]))
        np.testing.assert_array_equal(ops.convert_to_numpy(none[name]), x)


@pytest.mark.both_backends
def test_what_a_branch_writes_is_written_if_it_is_taken():
    layer, x = layers.BatchNormalization(momentum=0.5), np.full((2, 3), 4.0, "float32")
    layer.build((None, 3))
    for taken, mean in ((False, 0.0), (True, 2.0)):
        value = taken_or_zero(ops.convert_to_tensor(taken), lambda: layer(x, training=True) + 1, x, layer.variables)
        np.testing.assert_allclose(ops.convert_to_numpy(value), np.full((2, 3), float(taken)), atol=1e-5)
        np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_mean), mean)
