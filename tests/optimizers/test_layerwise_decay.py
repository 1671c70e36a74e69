"""Learning rates that fall towards the input: the multipliers in closed form, and that training follows them."""

import keras
import numpy as np
import pytest
from fitting import JIT, X, Y
from keras import layers

from keras_dlopt import optimizers
from keras_dlopt.optimizers import layerwise_decay
from keras_dlopt.optimizers.executor.groups import assign_groups, parse_groups

pytestmark = pytest.mark.both_backends


def rates(model, *args, **kwargs):
    """The multiplier of each layer with weights, or of each weight that is the model's own, by name."""
    groups = parse_groups("SGD", layerwise_decay(model, *args, **kwargs))
    assigned = assign_groups("SGD", groups, model.trainable_variables)
    pairs = zip(model.trainable_variables, assigned, strict=True)
    return {v.path.split("/")[-2 if "/" in v.path else -1]: group.learning_rate for v, group in pairs}


def dense(name):
    return layers.Dense(4, name=name)


def sequential(*names):
    return keras.Sequential([layers.Input((10,)), *(dense(name) for name in names)])


def test_sequential():
    assert rates(sequential("a", "b", "head"), 0.5) == {"a": 0.25, "b": 0.5, "head": 1.0}


def test_layers_without_weights_do_not_count_and_frozen_ones_do():
    model = keras.Sequential(
        [layers.Input((10,)), dense("a"), layers.Dropout(0.1), layers.ReLU(), dense("b"), dense("head")]
    )
    model.get_layer("b").trainable = False
    assert rates(model, 0.5) == {"a": 0.25, "head": 1.0}


def test_branches_side_by_side_are_equally_deep_and_shared_layers_as_their_earliest_use():
    inputs = layers.Input((4,))
    shared, left = dense("shared"), dense("left")
    x = shared(inputs)
    x = layers.add([left(x), dense("right")(x), x])
    x = shared(dense("middle")(x))
    model = keras.Model(inputs, dense("head")(x))
    expected = {"head": 1.0, "middle": 0.5**2, "left": 0.5**3, "right": 0.5**3, "shared": 0.5**4}
    assert rates(model, 0.5) == expected


def test_nested_models_are_taken_apart():
    backbone = sequential("stem", "body")
    inputs = layers.Input((10,))
    inner = keras.Model(inputs, dense("last")(backbone(inputs)))
    model = keras.Sequential([layers.Input((10,)), inner, dense("head")])
    assert rates(model, 0.5) == {"stem": 0.125, "body": 0.25, "last": 0.5, "head": 1.0}


def test_a_subclassed_model_goes_by_the_order_of_its_layers():
    inner = keras.Sequential([layers.Input((4,)), dense("x"), dense("y")])

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.token = self.add_weight(shape=(4,), name="token")
            self.first, self.inner, self.last = dense("first"), inner, dense("head")

        def call(self, inputs):
            return self.last(self.inner(self.first(inputs) + self.token))

    model = Subclassed()
    model(X)
    expected = {"first": 0.125, "x": 0.25, "y": 0.5, "head": 1.0}
    found = rates(model, 0.5)
    assert {name: found[name] for name in expected} == expected
    assert found[next(name for name in found if name not in expected)] == 0.125  # the model's own weight


def transformer():
    names = ["tokens", "positions", "block_0_attention", "block_0_norm", "block_1_attention", "final_norm", "head"]
    return sequential(*names)


def test_a_pattern_gives_the_rates_of_beit():
    """Its code: embeddings 0, block i at i + 1, the rest at the number of blocks + 1; decay ** (top - depth)."""
    found = rates(transformer(), 0.5, depth_of=r"block_(\d+)")
    assert found == {
        "tokens": 0.125,
        "positions": 0.125,
        "block_0_attention": 0.25,
        "block_0_norm": 0.25,
        "block_1_attention": 0.5,
        "final_norm": 1.0,
        "head": 1.0,
    }


def test_a_function_gives_the_depth():
    found = rates(sequential("a", "b", "head"), 0.5, depth_of=lambda v: 0 if "head" not in v.path else 3)
    assert found == {"a": 0.125, "b": 0.125, "head": 1.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decay": 0.0}, r"decay=...\)` must be a finite number in \(0, 1\]"),
        ({"decay": 1.5}, "decay"),
        ({"depth_of": r"layer_\d+"}, "one group"),
        ({"depth_of": r"nowhere_(\d+)"}, "found in some variable"),
        ({"depth_of": "("}, "one group"),
        ({"depth_of": 3}, "a function, a pattern or None"),
        ({"depth_of": lambda v: -1}, "whole number >= 0"),
        ({"model": keras.Sequential([layers.Dense(1)])}, "built"),
        ({"model": "resnet"}, "a Keras model"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        layerwise_decay(**{"model": sequential("a", "head"), **change})


def test_layers_that_cannot_be_told_apart_are_refused():
    inputs = layers.Input((4,))
    towers = [keras.Model(inputs, dense("same")(inputs)) for _ in range(2)]
    model = keras.Model(inputs, dense("head")(towers[1](towers[0](inputs))))
    if len({v.path for v in model.trainable_variables}) == 6:
        pytest.skip("Keras gives them different paths")
    with pytest.raises(ValueError, match="different names"):
        layerwise_decay(model)


def steps_of(groups):
    """How far one step of SGD moves each variable of a network."""
    keras.utils.set_random_seed(2)
    model = sequential("a", "b", "head")
    before = [w.copy() for w in model.get_weights()]
    model.compile(optimizers.SGD(0.5, groups=groups and groups(model)), "mse", jit_compile=JIT)
    model.train_on_batch(X, keras.utils.to_categorical(Y, 4))
    return [after - b for after, b in zip(model.get_weights(), before, strict=True)]


def test_training_moves_each_layer_by_its_multiple():
    plain, decayed = steps_of(None), steps_of(lambda model: layerwise_decay(model, 0.5))
    for step, full, multiple in zip(decayed, plain, np.repeat([0.25, 0.5, 1.0], 2), strict=True):
        assert np.abs(full).max() > 1e-3
        np.testing.assert_allclose(step, multiple * full, atol=1e-7)


def test_after_groups_of_ones_own_and_in_a_file(tmp_path):
    def groups(model):
        return [{"match": "head/bias", "frozen": True}, *layerwise_decay(model, 0.5)]

    plain, decayed = steps_of(None), steps_of(groups)
    np.testing.assert_allclose(decayed[0], 0.25 * plain[0], atol=1e-7)
    assert not decayed[5].any() and decayed[4].any()
    model = sequential("a", "b", "head")
    model.compile(optimizers.AdamW(groups=groups(model)), "mse")
    model.train_on_batch(X, keras.utils.to_categorical(Y, 4))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
