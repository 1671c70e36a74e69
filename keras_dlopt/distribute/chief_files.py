"""Of several workers only the chief leaves files: replacements in Keras, put in by `strategy`.

All workers read the weights, which may need all of them, but only the chief's file is kept. It is written beside and
then renamed, because workers are killed when one of them dies.
"""

import os
import tempfile
import uuid

import keras

from keras_dlopt.distribute.plan import is_chief, last
from keras_dlopt.distribute.replaced import replace


def only_from_chief():
    """Makes `model.save`, `save_weights` and BackupAndRestore leave the chief's files only; once."""
    for name in ("save", "save_weights"):
        replace(keras.Model, name, _saving)
    replace(keras.callbacks.BackupAndRestore, "_save_model", _backup)
    replace(keras.callbacks.BackupAndRestore, "on_train_end", _chief_only)


def _saving(upstream):
    def save(self, filepath, *args, **kwargs):
        path = os.fspath(filepath) if isinstance(filepath, str | os.PathLike) else None
        if path is None or last().workers == 1:
            return upstream(self, filepath, *args, **kwargs)
        if not is_chief():
            with tempfile.TemporaryDirectory() as folder:
                upstream(self, os.path.join(folder, os.path.basename(path)), *args, **kwargs)
        elif "://" in path or os.path.exists(path) and not kwargs.get("overwrite", True):
            upstream(self, filepath, *args, **kwargs)
        else:
            # Keras tells the format by the name's end.
            beside = os.path.join(os.path.dirname(path), f".{uuid.uuid4().hex}.{os.path.basename(path)}")
            try:
                upstream(self, beside, *args, **kwargs)
                os.replace(beside, path)
            finally:
                if os.path.exists(beside):
                    os.remove(beside)

    return save


def _backup(upstream):
    def save(self):
        if is_chief():
            upstream(self)
        else:
            self.model.save_weights(self._weights_path)

    return save


def _chief_only(upstream):
    def on_train_end(self, logs=None):
        if is_chief():
            upstream(self, logs)

    return on_train_end
