"""Counts and sizes against what is known of the model."""

import gzip
import json

import keras
import numpy as np
import pytest

from keras_dlopt import compress
from keras_dlopt.compress import litert


@pytest.fixture
def model():
    built = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")])
    built.layers[0].set_weights([np.arange(12, dtype="float32").reshape(4, 3), np.array([0, 1, 0], "float32")])
    return built


@pytest.mark.both_backends
def test_a_model_in_memory_is_its_weights(model):
    found = compress.report(model)
    content = np.append(np.arange(12), [0, 1, 0]).astype("float32").tobytes()
    size = len(gzip.compress(content, mtime=0))
    assert (found.parameters, found.nonzeros, found.bytes, found.gzip_bytes) == (15, 12, 60, size)
    assert found.sparsity == 0.2
    (layer,) = found.layers
    assert (layer.name.split("/")[-1], layer.kind, layer.parameters, layer.nonzeros, layer.bytes) == (
        "d",
        "Dense",
        15,
        12,
        60,
    )


@pytest.mark.both_backends
def test_a_keras_file_is_what_lies_on_disk(model, tmp_path):
    path = tmp_path / "m.keras"
    model.save(path)
    found = compress.report(path)
    assert (found.parameters, found.nonzeros, found.bytes) == (15, 12, path.stat().st_size)
    assert found == compress.report(str(path))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="LiteRT's converter is TensorFlow's")
def test_a_litert_file_is_its_constants(model, tmp_path):
    exported = compress.export(model, tmp_path / "m.tflite")
    found = compress.report(exported.path)
    assert (found.parameters, found.nonzeros) == (15, 12)
    assert (found.bytes, found.gzip_bytes) == (exported.bytes, exported.gzip_bytes)


@pytest.fixture(scope="module")
def every_weight_counts():
    """Half of the kernels zero, no two constants alike, which the converter joins, and kernels that it quantizes."""
    model = keras.Sequential([keras.Input((32,))])
    for name in ("one", "two"):
        model.add(keras.layers.Dense(64, name=name))
        signs = np.sign(np.random.default_rng(0).normal(size=model.layers[-1].kernel.shape))
        model.layers[-1].set_weights([signs * (np.arange(64) % 2), np.full(64, len(model.layers))])
    return model


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="LiteRT's converter is TensorFlow's")
@pytest.mark.filterwarnings("ignore:export. on this machine the dynamic")
@pytest.mark.parametrize("mode, width", [(None, 4), ("float16", 2), ("dynamic", 1), ("int8", 1)])
def test_every_mode_has_all_weights(every_weight_counts, tmp_path, mode, width):
    rows = np.random.default_rng(0).normal(size=(8, 32)).astype("float32") if mode == "int8" else None
    file = compress.export(every_weight_counts, tmp_path / "m.tflite", quantize=mode, representative=rows).path
    found = compress.report(file)
    assert (found.parameters, found.nonzeros) == (32 * 64 + 64 + 64 * 64 + 64, 32 * 32 + 64 + 64 * 32 + 64)
    kernels = {layer.name.split("_")[0]: layer.bytes for layer in found.layers if layer.parameters > 64}
    assert kernels == {"one": 2048 * width, "two": 4096 * width}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="LiteRT's converter is TensorFlow's")
def test_two_int4_weights_are_a_byte(every_weight_counts, tmp_path):
    """What the schema says of INT4: the first of two in the lower half of a byte, as a two's complement."""
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder

    file = compress.export(every_weight_counts, tmp_path / "m.tflite").path
    with open(file, "rb") as content:
        model = schema.ModelT.InitFromPackedBuf(content.read(), 0)
    tensor = next(t for t in model.subgraphs[0].tensors if tuple(t.shape) == (64, 32))
    tensor.type, tensor.shape = schema.TensorType.INT4, [3]
    model.buffers[tensor.buffer].data = [0x7F, 0x08]
    builder = Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    found = {array.dtype.name: array for array in litert.contents(bytes(builder.Output())).constants}
    assert found["int4"].tolist() == [-1, 7, -8]


@pytest.mark.parametrize("nothing", ["nowhere.keras", "m.h5", None, 3])
def test_anything_else_is_refused(nothing):
    with pytest.raises(ValueError, match=r"`report\(model=...\)` must be a keras.Model or the path"):
        compress.report(nothing)


@pytest.mark.both_backends
def test_scores():
    """Of a model that gives back its inputs."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, kernel_initializer="identity")])
    x = np.eye(3, dtype="float32")[[0, 1, 2, 0]]
    assert compress.report(model, x, np.array([0, 1, 2, 1])).score == 0.75
    assert compress.report(model, x, np.eye(3)[[0, 1, 0, 1]]).score == 0.5
    found = compress.report(model, x, x + [[0.0, 0.5, 0.0]])
    assert (found.score_name, found.score) == ("mse", pytest.approx(0.25 / 3))
    with pytest.raises(ValueError, match=r"report\(y=...\)` must be given together"):
        compress.report(model, x)
    with pytest.raises(ValueError, match=r"report\(y=...\)` must be targets of the model's outputs, of shape \(4, 3\)"):
        compress.report(model, x, np.zeros((4, 2)))


@pytest.mark.both_backends
@pytest.mark.parametrize("activation", [None, "sigmoid"])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_output_is_a_class_above_a_half_or_as_a_logit_above_zero(activation, shape):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation, kernel_initializer="ones")])
    x = np.array([[-2.0], [-1.0], [0.25], [2.0]])
    for dtype in ("int64", "bool", "float32"):
        found = compress.report(model, x, np.array([0, 1, 1, 1], dtype).reshape(shape))
        assert (found.score_name, found.score) == ("accuracy", 0.75)
    found = compress.report(model, x, np.array([0, 1, 1, 3]).reshape(shape))
    expected = np.square(model.predict(x, verbose=0)[:, 0] - [0, 1, 1, 3]).mean()
    assert (found.score_name, found.score) == ("mse", pytest.approx(expected))


@pytest.mark.both_backends
def test_labels_in_a_column_are_classes():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, kernel_initializer="identity")])
    assert compress.report(model, np.eye(3), np.array([[0], [1], [1]])).score == pytest.approx(2 / 3)


@pytest.mark.both_backends
def test_several_outputs_are_not_scored():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, [keras.layers.Dense(2)(inputs), keras.layers.Dense(2)(inputs)])
    with pytest.raises(ValueError, match=r"`report\(model=...\)` must be a model with one output"):
        compress.report(model, np.ones((3, 2)), np.zeros(3, int))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="LiteRT's converter is TensorFlow's")
def test_before_and_after(model, tmp_path):
    rows = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    targets = np.asarray(model(rows)).argmax(-1)
    before = compress.export(model, tmp_path / "before.tflite")
    after = compress.export(model, tmp_path / "after.tflite", int8=True, representative=rows)
    found = compress.report(after.path, rows, targets, baseline=before.path)
    assert found.baseline.score == 1.0 and 0.9 < found.score <= 1.0
    assert found.operators["float32"] == {} and found.operators["int8"]["FULLY_CONNECTED"] == 1
    assert found.baseline.operators["float32"] == {"FULLY_CONNECTED": 1}
    assert found.latency.seconds > 0
    shown = str(found)
    assert "accuracy: " in shown and "(before: 1)" in shown and "times as fast on this machine" in shown
    again = json.loads(json.dumps(found.as_dict()))
    assert again["baseline"]["score"] == 1.0 and again["layers"][0]["parameters"] > 0
    found.plot(tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["after.tflite", "before.tflite", "report.png"]
