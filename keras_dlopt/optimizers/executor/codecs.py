"""How a slot is stored: in bfloat16, or in 8 bits with one scale for every block of 256 elements.

Rules always compute in float32: the executor decodes what a rule reads and encodes what it returns. Everything is
plain arithmetic, without a table or a search, so that XLA fuses it into the rule.

Both codecs round *by dither*: a value between two codes goes up with a probability equal to its place between them,
so that the stored value is right on average. Rounding to the nearest code would not do. An average `v` with
`beta_2 = 0.999` moves by less than 0.1 % of itself when its gradient vanishes, the codes are 0.4 % (bfloat16) or
1.6 % (8 bits) apart at best, and `v` would never come down again. The threshold of an element is a low-discrepancy
sequence over elements and steps (Roberts's R2), not a random number: it needs no state, is equal on all replicas,
and is repeated exactly when training goes on from a file.
"""

import math

from keras import ops

STATE_DTYPES = ("float32", "bfloat16", "int8")
BLOCK = 256

# 2**32 divided by the plastic number and by its square: the steps of the R2 sequence along elements and along steps.
_ALONG_ELEMENTS, _ALONG_STEPS = 3242174889, 2447445414
_SMALLEST_NORMAL = 1.1754944e-38


def _thresholds(shape, step):
    """Evenly spread 32-bit whole numbers, one an element; another pattern at each step."""
    size = math.prod(shape)
    # Two short ranges: one over all elements would be a constant of their size in the compiled program.
    starts, places = (ops.cast(ops.arange(n, dtype="int32"), "uint32") for n in (-(-size // BLOCK), BLOCK))
    element = ops.reshape(BLOCK * ops.expand_dims(starts, 1) + places, (-1,))
    element = ops.reshape(element if element.shape[0] == size else element[:size], shape)
    along_steps = ops.cast(step, "uint32") * ops.cast(_ALONG_STEPS, "uint32")
    return element * ops.cast(_ALONG_ELEMENTS, "uint32") + along_steps


class Bfloat16:
    """The upper 16 bits of float32: 2 bytes an element, relative error below 2**-7, infinities and NaN kept."""

    def variables(self, shape):
        """What to store for a slot of `shape`: name -> (shape, dtype)."""
        return {"codes": (shape, "bfloat16")}

    def constants(self, value):
        """What every element of what is stored is, for a slot that is `value` throughout."""
        return {"codes": value}

    def decode(self, stored):
        """The slot in float32."""
        return ops.cast(stored["codes"], "float32")

    def encode(self, value, step):
        """What to store for `value` at `step`, a whole number; a value that bfloat16 can hold is kept exactly."""
        bits = ops.view(value, "int32") + ops.cast(ops.right_shift(_thresholds(value.shape, step), 16), "int32")
        rounded = ops.view(ops.bitwise_and(bits, -(2**16)), "float32")
        return {"codes": ops.cast(ops.where(ops.isfinite(value), rounded, value), "bfloat16")}


class Blockwise8Bit:
    r"""One byte an element and a float32 scale for 256 of them: 1.016 bytes an element.

    A block of consecutive elements is divided by its largest magnitude $s$, and the codes are spaced by a power:

    $$\text{signed: } x = s\, (c / 127)^3, \quad -127 \le c \le 127, \qquad
      \text{unsigned: } x = s\, (c / 255)^4, \quad 0 \le c \le 255$$

    Why 3 and 4: they reach as low as the dynamic-tree map of the 8-bit optimizers (arXiv 2110.02861), with smallest
    values $5 \cdot 10^{-7} s$ and $2 \cdot 10^{-10} s$, and rounded to nearest they err less than the map on normal
    and chi-square data (mean relative error 1.15 % and 1.18 % beside 1.54 % and 1.71 %); with the dither they err as
    much (1.53 %, 1.56 %), but not to one side. Squares in place of both flush a quarter of a log-normal slot to zero.
    Error: at most 2.4 % of $s$ signed and 1.6 % unsigned; zero and $\pm s$ are exact, signs are kept.
    A value above zero never gets the unsigned code 0, for it would be divided by. A block whose largest magnitude is
    below float32's normal range (1.2e-38) is zero; one that holds an infinity or NaN comes back as NaN.

    Args:
        signed: whether values can be negative.
        stacked: whether the first axis counts variables: no block then holds elements of two.
    """

    def __init__(self, signed, stacked=False):
        self.signed, self.stacked = signed, stacked
        self.top, self.power = (127, 3) if signed else (255, 4)

    def variables(self, shape):
        """What to store for a slot of `shape`: name -> (shape, dtype)."""
        parts = shape[0] if self.stacked else 1
        blocks = parts * -(-math.prod(shape) // (parts * BLOCK))
        return {"codes": (shape, "int8" if self.signed else "uint8"), "scales": ((blocks,), "float32")}

    def constants(self, value):
        """What every element of what is stored is, for a slot that is `value` throughout."""
        return {"codes": self.top if value else 0, "scales": value}

    def decode(self, stored):
        """The slot in float32."""
        codes = self._blocks(ops.cast(stored["codes"], "float32"))
        return self._elements(self._magnitude(codes) * ops.expand_dims(stored["scales"], 1), stored["codes"].shape)

    def encode(self, value, step):
        """What to store for `value` at `step`, a whole number; what `decode` returned is kept exactly."""
        shape = value.shape
        x = self._blocks(value if self.signed else ops.maximum(value, 0))
        largest = ops.max(ops.abs(x), axis=1)
        empty = largest < _SMALLEST_NORMAL
        r = ops.abs(x) / ops.expand_dims(ops.where(empty, math.inf, largest), 1)
        below = ops.minimum(ops.floor(self.top * self._root(r)), self.top - 1)
        low, high = self._magnitude(below), self._magnitude(below + 1)
        # Thresholds keep off 0 and 1 by 2**-12, more than what rounding in float32 moves an exact code by.
        threshold = ops.cast(ops.right_shift(_thresholds(x.shape, step), 8), "float32") * (2**-24 * (1 - 2**-11))
        code = ops.where(r - low > (threshold + 2**-12) * (high - low), below + 1, below)
        if self.signed:
            code = ops.where(x < 0, -code, code)
        else:
            code = ops.maximum(code, ops.cast(x > 0, "float32"))
        scales = ops.where(empty, 0.0, ops.where(ops.isfinite(largest), largest, math.nan))
        return {"codes": ops.cast(self._elements(code, shape), "int8" if self.signed else "uint8"), "scales": scales}

    def _magnitude(self, code):
        r = code * (1 / self.top)
        return r * r * r if self.power == 3 else ops.square(ops.square(r))

    def _root(self, r):
        # exp and log are vectorized everywhere, a power is not: six times as fast.
        return ops.exp(ops.log(r) * (1 / 3)) if self.power == 3 else ops.sqrt(ops.sqrt(r))

    def _blocks(self, value):
        """One row a block; the last one of the slot, or of each variable, is filled up with zeros."""
        parts = ops.reshape(value, (value.shape[0] if self.stacked else 1, -1))
        missing = -parts.shape[1] % BLOCK
        return ops.reshape(ops.pad(parts, ((0, 0), (0, missing))) if missing else parts, (-1, BLOCK))

    def _elements(self, blocks, shape):
        """Undoes `_blocks`."""
        parts = shape[0] if self.stacked else 1
        return ops.reshape(ops.reshape(blocks, (parts, -1))[:, : math.prod(shape) // parts], shape)
