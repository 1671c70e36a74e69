"""Exporting on a backend that cannot."""

import keras
import pytest

from keras_dlopt import compress


@pytest.mark.both_backends
@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="the backend that can")
def test_another_backend_is_told_what_to_do(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(RuntimeError, match="KERAS_BACKEND=tensorflow"):
        compress.export(model, tmp_path / "m.tflite")
