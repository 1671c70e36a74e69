"""The folder of checkpoints: local, or wherever TensorFlow's file layer reaches (`gs://`, ...)."""

import os
import re
import warnings

from keras_dlopt.atomic import replacing
from keras_dlopt.callbacks.resume.checkpoint_file import Corrupted, decode, encode

_NAME = re.compile(r"([0-9]{12})\.ckpt")


class Store:
    """The newest `keep` checkpoints of one run, each a file that is whole or not there.

    Args:
        path: the folder; made when the first checkpoint is written.
        keep: how many files stay.

    Example:

    >>> import tempfile
    >>> store = Store(tempfile.mkdtemp(), keep=2)
    >>> for step in (10, 20, 30):
    ...     store.write(step, {"step": step})
    >>> store.steps(), store.newest()
    ([20, 30], {'step': 30})
    """

    def __init__(self, path, keep):
        self.path, self.keep = os.fspath(path), keep
        self._files = _Remote() if "://" in self.path else _Local()

    def steps(self):
        """The steps there are files of, ascending."""
        found = (_NAME.fullmatch(name) for name in self._files.names(self.path))
        return sorted(int(match[1]) for match in found if match)

    def write(self, step, state):
        """Writes a checkpoint, then removes the oldest."""
        self._files.write(self._file(step), encode(state))
        for old in self.steps()[: -self.keep]:
            self._files.remove(self._file(old))

    def read(self, step):
        """The state in the file of that step."""
        return decode(self._files.read(self._file(step)))

    def newest(self):
        """The state in the newest file that is whole, or `None`. Files that are torn are removed, with a warning."""
        for step in reversed(self.steps()):
            try:
                return self.read(step)
            except Corrupted as error:
                warnings.warn(f"ResumeExactly: {self._file(step)} is left out: {error}.", stacklevel=3)
                self._files.remove(self._file(step))
        return None

    def _file(self, step):
        return f"{self.path.rstrip('/')}/{step:012d}.ckpt"


class _Local:
    def names(self, folder):
        return os.listdir(folder) if os.path.isdir(folder) else []

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def write(self, path, chunks):
        with replacing(path) as temporary:
            with open(temporary, "wb") as file:
                file.writelines(chunks)

    def remove(self, path):
        os.remove(path)


class _Remote:
    def __init__(self):
        import tensorflow as tf

        self._gfile = tf.io.gfile

    def names(self, folder):
        return [name.rstrip("/") for name in self._gfile.listdir(folder)] if self._gfile.isdir(folder) else []

    def read(self, path):
        with self._gfile.GFile(path, "rb") as file:
            return file.read()

    def write(self, path, chunks):
        self._gfile.makedirs(path.rpartition("/")[0])
        with self._gfile.GFile(path + ".partial", "wb") as file:
            for chunk in chunks:
                file.write(bytes(chunk))
        self._gfile.rename(path + ".partial", path, overwrite=True)

    def remove(self, path):
        self._gfile.remove(path)
