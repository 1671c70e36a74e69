"""Batches of smaller images and of shorter sequences, with static shapes."""

import math

import keras
from keras import ops

from keras_dlopt.arguments import invalid


def smaller_images(where, size, multiple, targets, x, y, sample_weight):
    """The batch with its images, the inputs of rank 4, resized bilinearly without antialiasing.

    Args:
        where: name of what the user called, for messages.
        size: the shorter side in pixels, or a share of it in (0, 1).
        multiple: height and width are rounded to the nearest multiple of this, and never exceed what they were.
        targets: whether targets and weights of the images' size are resized, too, to the nearest pixel's value.
        x, y, sample_weight: the batch.

    Raises:
        ValueError: if there are no images, or they have no one size.
    """
    across = (1, 2) if keras.config.image_data_format() == "channels_last" else (2, 3)
    images = [t for t in keras.tree.flatten(x) if t is not None and len(t.shape) == 4]
    full = {tuple(t.shape[axis] for axis in across) for t in images}
    if len(full) != 1 or None in next(iter(full)):
        raise invalid(where, "x", sorted(map(str, full)), "a batch of images, of rank 4, that have one size")
    (full,) = full
    scale = size / min(full) if size >= 1 else size
    new = tuple(_rounded(scale * side, multiple, side) for side in full)

    def image(t):
        return t if t is None or len(t.shape) != 4 else _resized(t, new, "bilinear")

    def map_of(t):
        if t is None or len(t.shape) not in (3, 4):
            return t
        if len(t.shape) == 4:
            return _resized(t, new, "nearest") if tuple(t.shape[axis] for axis in across) == full else t
        channel = -1 if across == (1, 2) else 1
        if tuple(t.shape[1:]) != full:
            return t
        return ops.squeeze(_resized(ops.expand_dims(t, channel), new, "nearest"), channel)

    if targets:
        y, sample_weight = _each(map_of, y), _each(map_of, sample_weight)
    return _each(image, x), y, sample_weight


def shorter_sequences(where, length, multiple, mode, x, y, sample_weight):
    """The batch with its sequences, whatever has the length of the first input along axis 1, shortened.

    Args:
        where: name of what the user called, for messages.
        length: number of tokens, or a share of the full length in (0, 1).
        multiple: it is rounded to the nearest multiple of this, and never exceeds the full length.
        mode: "truncate" keeps the beginning; "reshape" makes of every row as many whole ones as it has.
        x, y, sample_weight: the batch.

    Raises:
        ValueError: if the inputs are no sequences of one length, or, to reshape, anything in the batch is none.
    """
    lengths = [t.shape[1] if len(t.shape) > 1 else None for t in keras.tree.flatten(x) if t is not None]
    if not lengths or lengths[0] is None:
        raise invalid(where, "x", lengths, "a batch of sequences, (rows, length, ...), that have one length")
    full = lengths[0]
    short = _rounded(length if length >= 1 else length * full, multiple, full)

    def cut(t):
        if t is None or len(t.shape) < 2 or t.shape[1] != full:
            if mode == "reshape" and t is not None:
                accepted = f'"truncate" where a part of the batch, here of shape {tuple(t.shape)}, has no such length'
                raise invalid(where, "mode", mode, accepted)
            return t
        if mode == "truncate":
            return t[:, :short]
        return ops.reshape(t[:, : full // short * short], (-1, short, *t.shape[2:]))

    return _each(cut, x), _each(cut, y), _each(cut, sample_weight)


def _rounded(value, multiple, most):
    return min(most, max(multiple, math.floor(value / multiple + 0.5) * multiple))


def _resized(t, size, interpolation):
    whole = keras.backend.is_int_dtype(t.dtype)
    found = ops.image.resize(ops.cast(t, "float32"), size, interpolation=interpolation, antialias=False)
    return ops.cast(ops.round(found) if whole else found, t.dtype)


def _each(function, tensors):
    return keras.tree.map_structure(function, tensors)
