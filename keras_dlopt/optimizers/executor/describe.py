"""Which rule updates which variable, at which rate and decay, with how much state: as a table."""

import dataclasses
import math

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class VariableRow:
    """How one variable is updated.

    Attributes:
        path: the variable's path.
        shape: its shape.
        rule: name of the optimizer whose rule updates it; "frozen" if none does.
        learning_rate: what multiplies the optimizer's learning rate.
        weight_decay: its weight decay, 0 for none.
        state_bytes: the bytes of its slots.
    """

    path: str
    shape: tuple
    rule: str
    learning_rate: float
    weight_decay: float
    state_bytes: int


class Description:
    """The rows, one a variable; printed as a table.

    Attributes:
        rows: a list of `VariableRow`, in the order the optimizer was built with.
    """

    def __init__(self, rows):
        self.rows = rows

    def __repr__(self):
        cells = [("variable", "shape", "rule", "rate x", "decay", "state bytes")]
        for row in self.rows:
            shape = " x ".join(map(str, row.shape)) or "scalar"
            rate, decay = f"{row.learning_rate:g}", f"{row.weight_decay:g}"
            cells.append((row.path, shape, row.rule, rate, decay, f"{row.state_bytes:,}"))
        parameters = sum(math.prod(row.shape) for row in self.rows)
        state = sum(row.state_bytes for row in self.rows)
        cells.append(("total", f"{parameters:,}", "", "", "", f"{state:,}"))
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for line in cells:
            left = [cell.ljust(width) for cell, width in zip(line[:3], widths[:3], strict=True)]
            right = [cell.rjust(width) for cell, width in zip(line[3:], widths[3:], strict=True)]
            lines.append("  ".join(left + right).rstrip())
        return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def describe(optimizer):
    """The `Description` of a built optimizer."""
    rows = {}
    for bucket in optimizer._plan.buckets:
        state = sum(_bytes(v) for v in keras.tree.flatten(bucket.slots))
        sizes = [math.prod(shape) for shape in bucket.shapes]
        for index, shape, size in zip(bucket.indices, bucket.shapes, sizes, strict=True):
            rate = bucket.group.learning_rate * optimizer._plan.rate_of(bucket.owner)
            share = round(state * size / sum(sizes))
            name = type(bucket.owner).__name__
            rows[index] = VariableRow("", shape, name, rate, bucket.decay or 0.0, share)
    found = []
    for index, variable in enumerate(optimizer._trainable_variables):
        frozen = VariableRow("", tuple(variable.shape), "frozen", 0.0, 0.0, 0)
        found.append(dataclasses.replace(rows.get(index, frozen), path=variable.path))
    return Description(found)


def _bytes(variable):
    dtype = keras.backend.standardize_dtype(variable.dtype)
    return math.prod(variable.shape) * (2 if dtype == "bfloat16" else np.dtype(dtype).itemsize)
