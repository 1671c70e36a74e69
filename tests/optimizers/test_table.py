"""The table of optimizers, and how Keras finds them by name."""

import keras
import pytest

from keras_dlopt import optimizers

OURS_ALONE = [name for name in optimizers.names() if not hasattr(keras.optimizers, name)]


def test_names_by_family():
    assert optimizers.names() == list(optimizers.TABLE)
    assert "Lion" in optimizers.names("drop-in") and "Adan" not in optimizers.names("drop-in")
    with pytest.raises(ValueError, match="`names.family=....` must be one of .*'drop-in'.*Received: family='fast'"):
        optimizers.names("fast")


def test_get_takes_any_case_and_the_arguments():
    optimizer = optimizers.get("adaBELIEF", learning_rate=0.5)
    assert type(optimizer) is optimizers.AdaBelief and float(optimizer.learning_rate) == 0.5
    with pytest.raises(ValueError, match="`get.identifier=....` must be one of SGD, .*Received: identifier='nope'"):
        optimizers.get("nope")


@pytest.mark.parametrize("name", OURS_ALONE)
def test_keras_finds_ours_by_bare_name(name):
    cls = optimizers.TABLE[name].optimizer
    for spelled in (name, name.lower(), name.upper()):
        assert type(keras.optimizers.get(spelled)) is cls
    config = {"class_name": name, "config": {"learning_rate": 0.25}}
    assert type(keras.optimizers.deserialize(dict(config))) is cls
    assert float(keras.optimizers.get(dict(config)).learning_rate) == 0.25


@pytest.mark.parametrize("name", ["sgd", "adam", "Adam", "ADAMW", "nadam", "muon", "lion"])
def test_keras_names_stay_keras_own(name):
    found = keras.optimizers.get(name)
    assert type(found) is getattr(keras.optimizers, type(found).__name__)
    assert type(keras.optimizers.deserialize(keras.optimizers.serialize(found))) is type(found)


@pytest.mark.both_backends
def test_compile_takes_the_bare_name():
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("adan", "mse")
    assert type(model.optimizer) is optimizers.Adan
