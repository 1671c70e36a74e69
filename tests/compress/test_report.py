"""Counts and sizes against what is known of the model."""

import gzip

import keras
import numpy as np
import pytest

from keras_dlopt import compress


@pytest.fixture
def model():
    built = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")])
    built.layers[0].set_weights([np.arange(12, dtype="float32").reshape(4, 3), np.array([0, 1, 0], "float32")])
    return built


@pytest.mark.both_backends
def test_a_model_in_memory_is_its_weights(model):
    found = compress.report(model)
    content = np.append(np.arange(12), [0, 1, 0]).astype("float32").tobytes()
    assert found == compress.Report(15, 12, 60, len(gzip.compress(content, mtime=0)))
    assert found.sparsity == 0.2


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


@pytest.mark.parametrize("nothing", ["nowhere.keras", "m.h5", None, 3])
def test_anything_else_is_refused(nothing):
    with pytest.raises(ValueError, match=r"`report\(model=...\)` must be a keras.Model or the path"):
        compress.report(nothing)
