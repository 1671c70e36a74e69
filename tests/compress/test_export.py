"""LiteRT files: what they answer, what is refused, and that nothing half-written stays behind."""

import gzip
import os
import re
import subprocess
import sys

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


def two_ends(kind=dict):
    """Two inputs, one of whole numbers, and two outputs, the second without classes."""
    a, b = keras.Input((4,), name="zeta"), keras.Input((5,), name="alpha", dtype="int32")
    embedded = layers.GlobalAveragePooling1D()(layers.Embedding(7, 4)(b))
    x = layers.Dense(8, "relu")(layers.Add()([a, embedded]))
    inputs = {"zeta": a, "alpha": b} if kind is dict else [a, b]
    return keras.Model(inputs, {"score": layers.Dense(1)(x), "classes": layers.Dense(6)(x)})


@pytest.mark.parametrize("kind", [dict, list])
def test_several_inputs_and_outputs(kind, tmp_path):
    model = two_ends(kind)
    rng = np.random.default_rng(0)
    rows = {"zeta": rng.normal(size=(40, 4)).astype("float32"), "alpha": rng.integers(7, size=(40, 5))}
    given = rows if kind is dict else list(rows.values())
    exported = compress.export(model, tmp_path / "m.tflite", int8=True, representative=given, check=given)
    assert exported.float_tensors == 0
    expected = model.predict(given, verbose=0)
    answers = dict(zip(("classes", "score"), litert.run(exported.path, rows), strict=True))
    for name, values in expected.items():
        assert np.abs(answers[name] - values).max() < 0.05 * np.abs(values).max()
    assert exported.agreement == (answers["classes"].argmax(-1) == expected["classes"].argmax(-1)).mean()
    with pytest.raises(ValueError, match=r"`export\(check=...\)` must be an array for each of the inputs"):
        compress.export(model, tmp_path / "m.tflite", check=rows["zeta"])


def test_outputs_keep_their_order_past_the_tenth(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [layers.Dense(3)(inputs) for _ in range(12)])
    rows = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")
    exported = compress.export(model, tmp_path / "m.tflite", check=rows)
    for answers, expected in zip(litert.run(exported.path, rows), model.predict(rows, verbose=0), strict=True):
        np.testing.assert_allclose(answers, expected, atol=1e-6)
    assert exported.agreement == 1.0


def test_integer_ends_answer_what_float_ends_do(model, tmp_path):
    files = [tmp_path / "float.tflite", tmp_path / "int8.tflite"]
    for file, ends in zip(files, (False, True), strict=True):
        exported = compress.export(model, file, quantize="int8", representative=ROWS, check=ROWS, int8_ends=ends)
    kinds = [detail["dtype"] for detail in litert.interpreter(files[1]).get_input_details()]
    kinds += [detail["dtype"] for detail in litert.interpreter(files[1]).get_output_details()]
    assert kinds == [np.int8, np.int8] and exported.agreement > 0.9
    np.testing.assert_array_equal(*(litert.run(file, ROWS) for file in files))


def test_a_recurrent_layer_is_unrolled_and_stays_as_it_was(tmp_path):
    model = keras.Sequential([keras.Input((3, 4)), layers.LSTM(6), layers.Dense(5)])
    rows = np.random.default_rng(0).normal(size=(20, 3, 4)).astype("float32")
    exported = compress.export(model, tmp_path / "m.tflite")
    np.testing.assert_allclose(litert.run(exported.path, rows), model.predict(rows, verbose=0), atol=1e-5)
    assert model.layers[0].unroll is False


@pytest.fixture(scope="module")
def wide():
    """Wide enough for its kernels to be stored in 8 bits: the converter leaves those below 1024 weights."""
    return keras.Sequential([keras.Input((64,)), layers.Dense(96, "relu"), layers.Dense(10, name="logits")])


def test_float16_halves_and_dynamic_quarters_the_weights(wide, tmp_path, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(40, 64)).astype("float32")
    kernels = 64 * 96
    plain = compress.export(wide, tmp_path / "float.tflite")
    half = compress.export(wide, tmp_path / "half.tflite", quantize="float16", check=rows)
    expected = wide.predict(rows, verbose=0)
    assert plain.bytes - half.bytes > 1.9 * kernels and half.agreement == 1.0
    np.testing.assert_allclose(litert.run(half.path, rows), expected, atol=5e-3)

    # Which of two files is faster is the machine's affair: the ratio is given, so that both answers are tested.
    def measured(median):
        return lambda files, rounds: litert.LatencyRatio(median, median - 0.1, median + 0.1, 1.0, 1.0 / median)

    monkeypatch.setattr(litert, "timed_in_turns", measured(0.57))
    with pytest.warns(UserWarning, match=r"runs 0.57 times as fast as float32 \(80% of the rounds: 0.47 to 0.67\)"):
        dynamic = compress.export(wide, tmp_path / "dynamic.tflite", quantize="dynamic", check=rows)
    assert plain.bytes - dynamic.bytes > 2.8 * kernels
    answers = litert.run(dynamic.path, rows)
    assert np.square(answers - expected).sum() < 1e-3 * np.square(expected).sum()
    monkeypatch.setattr(litert, "timed_in_turns", measured(1.2))
    compress.export(wide, tmp_path / "dynamic.tflite", quantize="dynamic")


def test_the_ratio_of_the_warning_is_measured(wide, tmp_path, recwarn):
    dynamic = compress.export(wide, tmp_path / "dynamic.tflite", quantize="dynamic")
    said = [str(found.message) for found in recwarn if "times as fast" in str(found.message)]
    assert all(0 < float(re.search(r"runs ([\d.]+) times", text)[1]) <= 1 for text in said)
    again = compress.latency_ratio(compress.export(wide, tmp_path / "float.tflite").path, dynamic.path, rounds=20)
    assert again.median > 0


SCRIPT = """
import resource, sys
import keras
from keras_dlopt import compress
export = sys.modules["keras_dlopt.compress.export"]
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(256)])

def allow(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def attempt(stage):
    try:
        compress.export(model, sys.argv[1])
    except OSError as error:
        print(stage, error)
    allow(resource.RLIM_INFINITY)

allow(20_000)
attempt("converting:")
convert = export._convert
def convert_then_run_out(*arguments):
    content = convert(*arguments)
    allow(20_000)
    return content
export._convert = convert_then_run_out
attempt("writing:")
"""


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path):
    """A real refusal by the system: no file of the process may exceed 20 kB, of which the weights alone have 64."""
    (tmp_path / "temporary").mkdir()
    path = tmp_path / "m.tflite"
    path.write_bytes(b"before")
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TMPDIR": str(tmp_path / "temporary")}
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(path)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for stage in ("converting:", "writing:"):
        line = next(line for line in done.stdout.splitlines() if line.startswith(stage))
        assert "`export` could not write" in line and "File too large" in line and str(path) in line
    assert path.read_bytes() == b"before"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["m.tflite", "temporary"]
    assert not list((tmp_path / "temporary").iterdir())


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
    "path": (dense, {"path": "m.lite"}, r"`export\(path=...\)` must be a path that ends in .tflite or .keras"),
    "subclassed": (keras.Model, {}, r"`export\(model=...\)` must be a built Sequential or functional model"),
    "both spellings": (dense, {"int8": True, "quantize": "dynamic"}, "left out, next to quantize='dynamic'"),
    "unknown way": (dense, {"quantize": "int4"}, r"`export\(quantize=...\)` must be one of None, 'dynamic'"),
    "integer ends of float": (dense, {"int8_ends": True}, r"`export\(int8_ends=...\)` must be False unless"),
    "data that is not finite": (
        dense,
        {"int8": True, "representative": np.full((2, 4), np.nan)},
        r"`export\(representative=...\)` must be made of finite numbers",
    ),
    "data of words": (dense, {"int8": True, "representative": np.full((2, 4), "a")}, "made of finite numbers"),
    "half of the inputs": (two_inputs, {"check": np.ones((2, 4))}, "an array for each of the inputs"),
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
