"""Files that are either whole or not there."""

import contextlib
import os
import tempfile


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary path beside `path`; on success it is renamed to `path`, on any error it is removed.

    Example:

    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "report.json"
    >>> with replacing(target) as temporary:
    ...     _ = pathlib.Path(temporary).write_text("{}")
    >>> target.read_text()
    '{}'
    """
    path = os.fspath(path)
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(path)}.")
    os.close(handle)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise


def save_model(model, path):
    """Saves a Keras model as a `.keras` file that is either whole or not there."""
    path = os.fspath(path)
    with replacing(path) as temporary, tempfile.TemporaryDirectory(dir=os.path.dirname(path) or ".") as folder:
        written = os.path.join(folder, "model.keras")  # Keras writes only to names that end so
        model.save(written)
        os.replace(written, temporary)
