"""The event files of `keras.callbacks.TensorBoard`, which another process must not write a second time."""

import os

# What `tf.summary` names its files; those of others in the folder are not touched.
_ENDS = ".v2"


def lengths(callback):
    """File -> bytes, of all that the callback has written so far, here or in a process before."""
    for writer in callback._writers.values():
        writer.flush()
    return {os.path.relpath(path, callback.log_dir): os.path.getsize(path) for path in _files(callback)}


def cut(callback, lengths):
    """Takes away what was written after `lengths` were read; a new file follows."""
    for writer in callback._writers.values():
        writer.flush()  # never writes again
    callback._writers = {}
    for path in list(_files(callback)):
        length = lengths.get(os.path.relpath(path, callback.log_dir))
        if length is None:
            os.remove(path)
        else:
            os.truncate(path, length)


def _files(callback):
    """None where the folder is no local one, whose files cannot be cut."""
    for folder in (callback._train_dir, callback._val_dir):
        if os.path.isdir(folder):
            for name in sorted(os.listdir(folder)):
                if "tfevents" in name and name.endswith(_ENDS):
                    yield os.path.join(folder, name)
