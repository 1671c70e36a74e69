"""Which variables one call of the rule updates: many small ones as one flat vector, each large one alone."""

import dataclasses
import itertools
import math

import keras
from keras import ops

from keras_dlopt.optimizers.executor.groups import Group


@dataclasses.dataclass(eq=False)
class Bucket:
    """Variables that share a rule call, and their slots.

    Attributes:
        indices: positions of the variables in the list that the optimizer was built with.
        shapes: their shapes.
        group: the parameter group that all of them belong to.
        decays: whether weight decay applies to them.
        dtype: what the rule computes in and the slots are stored in.
        flat: whether the slots are one vector for all variables (then a single variable's is a slice of it).
        slots: name -> keras.Variable, made by the optimizer.
    """

    indices: list[int]
    shapes: list[tuple]
    group: Group
    decays: bool
    dtype: str
    flat: bool
    slots: dict = dataclasses.field(default_factory=dict)

    @property
    def sizes(self):
        return [math.prod(shape) for shape in self.shapes]

    @property
    def slot_shape(self):
        return (sum(self.sizes),) if self.flat else self.shapes[0]

    def pack(self, tensors):
        """One tensor of the slots' shape from one tensor a variable."""
        if not self.flat:
            return ops.cast(tensors[0], self.dtype)
        parts = [ops.reshape(t, (-1,)) for t in tensors]
        return ops.cast(ops.concatenate(parts) if len(parts) > 1 else parts[0], self.dtype)

    def unpack(self, tensor):
        """One tensor a variable from one of the slots' shape: undoes `pack`."""
        if not self.flat:
            return [tensor]
        ends = list(itertools.accumulate(self.sizes))[:-1]
        parts = ops.split(tensor, ends) if ends else [tensor]
        return [ops.reshape(t, s) for t, s in zip(parts, self.shapes, strict=True)]


def make_buckets(variables, groups, decays, flat_below):
    """Splits `variables` into buckets; frozen ones are in none.

    Variables of fewer than `flat_below` elements that share group, decay and dtype become one flat bucket:
    concatenating them costs less than a rule call each. Large ones are never copied together.
    """
    buckets, flat = [], {}
    for index, (variable, group, decay) in enumerate(zip(variables, groups, decays, strict=True)):
        if group.frozen:
            continue
        shape = tuple(variable.shape)
        dtype = "float64" if keras.backend.standardize_dtype(variable.dtype) == "float64" else "float32"
        if math.prod(shape) >= flat_below:
            buckets.append(Bucket([index], [shape], group, decay, dtype, flat=False))
            continue
        key = (group, decay, dtype)
        if key not in flat:
            flat[key] = Bucket([], [], group, decay, dtype, flat=True)
            buckets.append(flat[key])
        flat[key].indices.append(index)
        flat[key].shapes.append(shape)
    return buckets
