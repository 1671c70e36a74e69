"""A checkpoint as bytes: the state of a run, and a checksum over all of it.

| bytes | content |
| --- | --- |
| 8 | `DLOPTRUN` |
| 8 | length of the header, little-endian |
| ... | the header, JSON: `state`, in which an array is `{"array": i}`; `arrays`, a list of [dtype, shape] |
| ... | the arrays, one after the other |
| 32 | SHA-256 of all the bytes before |
"""

import hashlib
import json
import math

import numpy as np

MAGIC = b"DLOPTRUN"
_DIGEST = hashlib.sha256().digest_size


class Corrupted(ValueError):
    """These bytes are not a whole checkpoint."""


def encode(state):
    """The chunks of bytes of a state: a dictionary, nested, of what JSON has, bytes and NumPy arrays or scalars.

    Raises:
        TypeError: if something else is in it.

    Example:

    >>> decode(b"".join(encode({"step": 3, "weights": [np.array([1.5])]})))
    {'step': 3, 'weights': [array([1.5])]}
    """
    arrays = []
    header = json.dumps({"state": _without_arrays(state, arrays), "arrays": [_described(a) for a in arrays]}).encode()
    chunks = [MAGIC, len(header).to_bytes(8, "little"), header]
    chunks += [np.ascontiguousarray(a).reshape(-1).view("uint8").data for a in arrays if a.size]
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return [*chunks, digest.digest()]


def decode(data):
    """The state that `encode` was given; tuples are lists now.

    Raises:
        Corrupted: if a byte is missing, added or changed.
    """
    data = memoryview(data)
    if len(data) < 16 + _DIGEST or hashlib.sha256(data[:-_DIGEST]).digest() != data[-_DIGEST:]:
        raise Corrupted("the checksum is not that of the content")
    if data[:8] != MAGIC:
        raise Corrupted("not a checkpoint of ResumeExactly")
    at = 16 + int.from_bytes(data[8:16], "little")
    header = json.loads(bytes(data[16:at]))
    arrays = []
    for dtype, shape in header["arrays"]:
        dtype = np.dtype(dtype)
        end = at + math.prod(shape) * dtype.itemsize
        arrays.append(np.frombuffer(data[at:end], dtype).reshape(shape).copy())
        at = end
    return _with_arrays(header["state"], arrays)


def _described(array):
    # Of bfloat16 and its like only the name says what they are.
    return [array.dtype.name if array.dtype.kind == "V" else array.dtype.str, list(array.shape)]


def _without_arrays(value, arrays):
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"A state's keys must be strings. Received: {list(value)}")
        return {"dict": {key: _without_arrays(item, arrays) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        return [_without_arrays(item, arrays) for item in value]
    if isinstance(value, bytes):
        arrays.append(np.frombuffer(value, "uint8"))
        return {"bytes": len(arrays) - 1}
    if isinstance(value, np.generic):
        arrays.append(np.asarray(value))
        return {"scalar": len(arrays) - 1}
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("A state cannot hold arrays of Python objects.")
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"A state holds what JSON has, bytes and NumPy arrays. Received: {value!r}")


def _with_arrays(value, arrays):
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "dict":
        return {key: _with_arrays(item, arrays) for key, item in content.items()}
    array = arrays[content]
    return {"array": array, "scalar": array[()] if array.ndim == 0 else array, "bytes": array.tobytes()}[kind]
