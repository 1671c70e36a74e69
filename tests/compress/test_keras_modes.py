"""Keras's own quantization through `export`."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dlopt import compress

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(50, 16)).astype("float32")


@pytest.fixture(scope="module")
def model():
    return keras.Sequential(
        [keras.Input((16,)), layers.Dense(32, "relu", name="wide"), layers.Dense(10, name="logits")]
    )


@pytest.mark.both_backends
@pytest.mark.parametrize("quantize", ["int8", "int4", keras.quantizers.Int4QuantizationConfig(block_size=None)])
def test_the_file_holds_whole_numbers_and_the_model_stays(model, quantize, tmp_path):
    before = model.get_weights()
    exported = compress.export(model, tmp_path / "m.keras", quantize=quantize, check=ROWS)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    loaded = keras.models.load_model(exported.path)
    kinds = {layer.name: layer.quantization_mode for layer in loaded.layers}
    assert kinds == dict.fromkeys(("wide", "logits"), quantize if isinstance(quantize, str) else "int4")
    assert exported.int8_tensors >= 2 and exported.float_layers == () and exported.bytes > 0
    answers = loaded.predict(ROWS, verbose=0)
    expected = model.predict(ROWS, verbose=0)
    assert exported.agreement == (answers.argmax(-1) == expected.argmax(-1)).mean()
    assert np.square(answers - expected).sum() < 0.1 * np.square(expected).sum()


GPTQ = keras.quantizers.GPTQConfig(dataset=["a"], tokenizer=str.split)
REFUSED = {
    "no mode": ({}, r"`export\(quantize=...\)` must be one of 'int8', 'int4', 'float8'"),
    "a mode of LiteRT": ({"quantize": "dynamic"}, "must be one of 'int8', 'int4', 'float8'"),
    "what Keras cannot load again": ({"quantize": GPTQ}, "or a config of one, for a file that ends in .keras"),
    "data": (
        {"int8": True, "representative": ROWS},
        r"`export\(representative=...\)` must be left out for a .keras file",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(model, name, tmp_path):
    arguments, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        compress.export(model, tmp_path / "m.keras", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_convolution_is_named(tmp_path):
    model = keras.Sequential([keras.Input((8, 4)), layers.Conv1D(3, 3, name="edges"), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"left in float32: `edges` \(Conv1D\)"):
        compress.export(model, tmp_path / "m.keras", int8=True)
    exported = compress.export(model, tmp_path / "m.keras", int8=True, allow_float=True)
    assert exported.float_layers == ("`edges` (Conv1D)",)
