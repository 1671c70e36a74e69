"""Random numbers that are a function of the step: equal on all replicas, compiled or not, and again after loading."""

import math

from keras import ops


def normal(shape, step, *seeds):
    """Independent standard normal numbers in float32, the same ones at every call with the same arguments.

    Element, step and seeds are hashed to bits, in whole numbers: TensorFlow's generators give other numbers under XLA.

    Args:
        shape: shape of the result.
        step: a whole number >= 0, as a scalar tensor of any type.
        seeds: more whole numbers that tell one use from another.
    """
    start = _hash(ops.cast(step, "uint32"))
    for seed in seeds:
        start = _hash(start + ops.cast(seed, "uint32"))
    counter = ops.cast(ops.reshape(ops.arange(2 * math.prod(shape), dtype="int32"), (2, *shape)), "uint32")
    uniform = ops.cast(ops.right_shift(_hash(counter + start), 8), "float32") * 2**-24  # in [0, 1)
    return ops.sqrt(-2 * ops.log(1 - uniform[0])) * ops.cos(2 * math.pi * uniform[1])  # Box and Muller


def _hash(x):
    """A mixing of 32 bits that flips each one in half of the cases where another is flipped: the constants of
    https://github.com/skeeto/hash-prospector."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ops.bitwise_xor(x, ops.right_shift(x, shift)) * ops.cast(factor, "uint32")
    return ops.bitwise_xor(x, ops.right_shift(x, 16))
