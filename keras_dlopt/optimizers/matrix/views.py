"""How a variable of any rank is read as matrices (inputs, outputs)."""

import math
import re
import typing

from keras import ops

# Sublayers of attention layers whose kernels are (inputs, heads, head size).
_PROJECTIONS = {"query", "key", "value", "gate"}


class View(typing.NamedTuple):
    """A variable as `count` matrices (rows, columns): rows are inputs, columns outputs.

    Attributes:
        count, rows, columns: the shape of the stack.
        order: how the axes are ordered before the variable is reshaped to it.
    """

    count: int
    rows: int
    columns: int
    order: tuple

    def read(self, tensor):
        """The matrices in `tensor`."""
        return ops.reshape(_permute(tensor, self.order), (self.count, self.rows, self.columns))

    def write(self, matrices, shape):
        """A tensor of that shape from its matrices: undoes `read`."""
        permuted = ops.reshape(matrices, tuple(shape[axis] for axis in self.order))
        return _permute(permuted, tuple(self.order.index(axis) for axis in range(len(shape))))


def _permute(tensor, order):
    return tensor if order == tuple(sorted(order)) else ops.transpose(tensor, order)


def view(path, shape, input_axes=None, per_head=False):
    """How the kernel at `path` is read; `ValueError` where that leaves no axis for the outputs.

    The first axes are inputs, the others outputs. Without more knowledge all but the last are inputs, which is
    right for dense and convolution kernels and for the output projection (heads, head size, outputs) of attention;
    the kernels (inputs, heads, head size) of layers named query, key, value or gate have one input axis.

    Args:
        path: the variable's path, such as "encoder/attention/query/kernel".
        shape: the variable's shape, of rank 2 or more.
        input_axes: pattern searched for in the path -> number of leading axes that are inputs; the first match
            wins. For kernels that the rule above misreads, such as those of an `EinsumDense` with several output axes.
        per_head: one matrix a head for three-axis kernels of attention layers and of those in `input_axes`: the heads
            are the second axis where one axis is inputs, and the first where two are.

    Returns:
        A `View`.

    Example:

    >>> view("attention/query/kernel", (64, 8, 16))[:3], view("attention/query/kernel", (64, 8, 16), per_head=True)[:3]
    ((1, 64, 128), (8, 64, 16))
    >>> view("conv/kernel", (3, 3, 16, 32))[:3]
    (1, 144, 32)
    """
    layer, axes = _layer(path), tuple(range(len(shape)))
    inputs = next((n for pattern, n in (input_axes or {}).items() if re.search(pattern, path)), None)
    has_heads = len(shape) == 3 and (inputs is not None or layer in _PROJECTIONS or layer == "attention_output")
    if inputs is None:
        inputs = 1 if layer in _PROJECTIONS and len(shape) == 3 else len(shape) - 1
    if inputs >= len(shape):
        raise ValueError(f"fewer axes than the {len(shape)} of {path}")
    if per_head and has_heads:
        return View(shape[1], shape[0], shape[2], (1, 0, 2)) if inputs == 1 else View(*shape, axes)
    return View(1, math.prod(shape[:inputs]), math.prod(shape[inputs:]), axes)


def _layer(path):
    """The name of the layer that the variable at `path` belongs to."""
    return path.split("/")[-2] if "/" in path else ""
