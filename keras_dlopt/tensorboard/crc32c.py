"""CRC-32C, the checksum of event files, with NumPy: 0.2 ms for 32 KB, where a loop in Python takes 4 ms.

Without its complements a CRC is linear: that of two pieces one after the other is the first one's, moved on by the
length of the second, xor the second one's; zeros in front change nothing. So the checksums of all pairs of bytes are
looked up at once, and neighbours are joined, again all at once, until one is left.
"""

import functools

import numpy as np

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed (RFC 3720)
_ONES = 0xFFFFFFFF


def _through_bits(crc, bits):
    for _ in range(bits):
        crc = np.where(crc & 1, (crc >> 1) ^ np.uint32(_POLYNOMIAL), crc >> 1)
    return crc


@functools.cache
def _of_pairs():
    """The checksum of each pair of bytes, by their little-endian number."""
    return _through_bits(np.arange(2**16, dtype=np.uint32), 16)


@functools.cache
def _moved_on(level):
    """Tables for the lower and the upper half of a checksum, which move it on by 2**(level + 1) bytes of zero."""
    halves = (np.arange(2**16, dtype=np.uint32), np.arange(2**16, dtype=np.uint32) << np.uint32(16))
    if level == 0:
        return tuple(_through_bits(half, 16) for half in halves)
    return tuple(_move(_move(half, level - 1), level - 1) for half in halves)


def _move(crc, level):
    low, high = _moved_on(level)
    return low[crc & 0xFFFF] ^ high[crc >> 16]


def crc32c(data):
    """The CRC-32C of some bytes.

    Example:

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    data = np.frombuffer(data, np.uint8)
    if len(data) < 4:
        crc = np.uint32(_ONES)
        for byte in data:
            crc = _through_bits(crc ^ byte, 8)
        return int(crc) ^ _ONES
    padded = np.concatenate([np.zeros(len(data) % 2, np.uint8), data])
    padded[len(data) % 2 :][:4] ^= 0xFF  # the checksum starts with all bits set
    crc = _of_pairs()[padded.view("<u2")]
    level = 0
    while len(crc) > 1:
        if len(crc) % 2:
            crc = np.concatenate([np.zeros(1, np.uint32), crc])
        crc = _move(crc[0::2], level) ^ crc[1::2]
        level += 1
    return int(crc[0]) ^ _ONES


def masked_crc32c(data):
    """The checksum as TensorFlow's record files store it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & _ONES
