"""LiteRT files: what they answer, what is refused, and that nothing half-written stays behind."""

import gzip

import keras
import numpy as np
import pytest
from keras import layers

from keras_dlopt import compress
from keras_dlopt.compress import litert

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="LiteRT's converter is TensorFlow's; the refusal is tested below"
)
ROWS = np.random.default_rng(0).normal(size=(80, 8, 8, 1)).astype("float32")


def network(*last):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, name="logits"),
            *last,
        ]
    )


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    return compress.export(model, tmp_path_factory.mktemp("float") / "float.tflite", check=ROWS)


def test_a_float_file_answers_as_keras_does(model, written):
    np.testing.assert_allclose(litert.run(written.path, ROWS), model.predict(ROWS, verbose=0), atol=1e-5)
    assert written.agreement == 1.0
    assert (written.int8_tensors, written.float_layers) == (0, ())
    with open(written.path, "rb") as file:
        content = file.read()
    assert written.bytes == len(content)
    assert len(gzip.decompress(gzip.compress(content))) == written.bytes > written.gzip_bytes > 0


def test_representative_rows_make_any_model_integer(model, tmp_path):
    exported = compress.export(model, tmp_path / "m.tflite", int8=True, representative=ROWS, check=ROWS)
    assert exported.float_tensors == 0 and exported.int8_tensors > 0
    expected = model.predict(ROWS, verbose=0)
    answers = litert.run(exported.path, ROWS)
    assert np.square(answers - expected).sum() < 1e-2 * np.square(expected).sum()  # 20 dB
    assert exported.agreement == (answers.argmax(-1) == expected.argmax(-1)).mean()


def test_zeroed_weights_are_zeros_in_the_integer_file(tmp_path):
    model = keras.Sequential(
        [keras.Input((64,)), layers.Dense(64, "relu", use_bias=False), layers.Dense(8, use_bias=False)]
    )
    kernel = np.random.default_rng(0).normal(size=(64, 64)).astype("float32")
    kernel[np.random.default_rng(1).uniform(size=(64, 64)) < 0.8] = 0
    model.layers[0].set_weights([kernel])
    aware = compress.quantize_aware(model)
    aware(np.random.default_rng(2).normal(size=(32, 64)), training=True)
    exported = compress.export(aware, tmp_path / "m.tflite", int8=True)
    zeros = compress.report(model).parameters - compress.report(model).nonzeros
    found = compress.report(exported.path)
    assert found.parameters == 64 * 64 + 64 * 8
    # Quantization adds the weights below half a level.
    assert zeros <= found.parameters - found.nonzeros <= zeros + 0.02 * found.parameters


def test_a_layer_without_an_integer_form_is_named_and_the_old_file_stays(tmp_path):
    model = network(layers.Activation("elu", name="wavy"), layers.Dense(10))
    path = tmp_path / "m.tflite"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match=r"left in float32: .*`wavy` \(Activation\)"):
        compress.export(model, path, int8=True, representative=ROWS)
    assert path.read_bytes() == b"before" and [p.name for p in tmp_path.iterdir()] == ["m.tflite"]

    exported = compress.export(model, path, int8=True, representative=ROWS, allow_float=True)
    assert "`wavy` (Activation)" in exported.float_layers and exported.float_tensors > 0
    assert path.stat().st_size == exported.bytes

    with pytest.raises(ValueError, match="left in float32: operation ELU"):
        compress.export(network(layers.Activation("elu")), path, int8=True, representative=ROWS)


def test_tokens_stay_whole_numbers(tmp_path):
    model = keras.Sequential([keras.Input((6,), dtype="int32"), layers.Embedding(9, 4), layers.Dense(3)])
    tokens = np.random.default_rng(0).integers(9, size=(20, 6))
    exported = compress.export(model, tmp_path / "m.tflite", check=tokens)
    assert exported.agreement == 1.0
    np.testing.assert_allclose(litert.run(exported.path, tokens), model.predict(tokens, verbose=0), atol=1e-6)


def test_turns_of_one_file_with_itself(written):
    ratio = compress.latency_ratio(written.path, written.path, rounds=20)
    assert 0 < ratio.low <= ratio.median <= ratio.high
    assert ratio.seconds > 0 and ratio.baseline_seconds > 0


def bfloat16():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype="mixed_bfloat16", name="half")])


def two_inputs():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    return keras.Model(inputs, layers.Add()(inputs))


def dense():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3)])


def unseen():
    return compress.quantize_aware(dense())


def aware():
    made = unseen()
    made(np.ones((2, 4)), training=True)
    return made


REFUSED = {
    "path": (dense, {"path": "m.lite"}, r"`export\(path=...\)` must be a path that ends in .tflite"),
    "subclassed": (keras.Model, {}, r"`export\(model=...\)` must be a built Sequential or functional model"),
    "two inputs": (two_inputs, {}, "with one input and one output"),
    "open shape": (lambda: keras.Sequential([keras.Input((None, 4)), layers.Dense(3)]), {}, "a fixed input shape"),
    "bfloat16": (bfloat16, {}, "layer `half` computes in bfloat16"),
    "integers without data": (dense, {"int8": True}, r"`export\(representative=...\)` must be given for int8=True"),
    "float with data": (dense, {"representative": np.ones((2, 4))}, "None unless int8=True"),
    "data for learned ranges": (aware, {"int8": True, "representative": np.ones((2, 4))}, "None unless int8=True"),
    "data of another shape": (
        dense,
        {"int8": True, "representative": np.ones((2, 5))},
        r"`export\(representative=...\)` must be an array of shape \(n, 4\).* representative.shape=\(2, 5\)",
    ),
    "no data": (dense, {"int8": True, "representative": np.ones((0, 4))}, "with n >= 1"),
    "check of another shape": (
        dense,
        {"check": np.ones(4)},
        r"`export\(check=...\)` must be an array of shape \(n, 4\)",
    ),
    "check without classes": (
        lambda: keras.Sequential([keras.Input((4,)), layers.Dense(1)]),
        {"check": np.ones((2, 4))},
        "no classes",
    ),
    "float of quantized": (aware, {}, r"`export\(int8=...\)` must be True for a quantize_aware model"),
    "untrained quantized": (unseen, {"int8": True}, "after training; `input_range` has seen no batch"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    build, arguments, message = REFUSED[name]
    arguments = {"path": "m.tflite", **arguments}
    with pytest.raises(ValueError, match=message):
        compress.export(build(), tmp_path / arguments.pop("path"), **arguments)
    assert not list(tmp_path.iterdir())


def test_latency_of_nothing_is_refused(written):
    with pytest.raises(ValueError, match=r"`latency_ratio\(candidate=...\)` must be the path of a `.tflite` file"):
        compress.latency_ratio(written.path, "nowhere.tflite")
    with pytest.raises(ValueError, match=r"`latency_ratio\(rounds=...\)`"):
        compress.latency_ratio(written.path, written.path, rounds=0)
