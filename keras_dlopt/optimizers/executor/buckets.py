"""Which variables one call of a rule updates: many small ones as one flat vector, a large one alone, or a stack of
equal matrices."""

import itertools
import math

import keras
from keras import ops

from keras_dlopt.optimizers.executor.codecs import Bfloat16, Blockwise8Bit
from keras_dlopt.optimizers.executor.each import Each
from keras_dlopt.optimizers.executor.variable_names import is_embedding

_DECODED_TOGETHER = 2**22  # elements of stacked matrices with low-precision state


class Bucket:
    """Variables that share a rule call, and their slots; the base of the three forms.

    Attributes:
        owner: the optimizer whose rule and hyperparameters serve these variables.
        group: the parameter group that all of them belong to.
        decays: whether weight decay applies to them.
        dtype: what the rule computes in, and slots without a codec are stored in.
        state_dtype: what the slots that have an element for each of the variables' are stored in.
        indices: positions of the variables in the list that the optimizer was built with.
        shapes: their shapes.
        slots: name -> keras.Variable, or the variables of a codec by name; made by the optimizer.
        codecs: name -> codec, of the slots that have one.
        each: per-variable reductions over what `pack` gives.
    """

    stacked = False

    def __init__(self, owner, group, decays, dtype, state_dtype, indices, shapes):
        self.owner, self.group, self.decays, self.dtype = owner, group, decays, dtype
        self.indices, self.shapes = indices, shapes
        self.slots = {}
        self.codecs = self._make_codecs(state_dtype)
        self.each = self.make_each()

    def _make_codecs(self, state_dtype):
        if state_dtype == "float32":
            return {}
        owner = self.owner
        # Large and different sizes: a slot of this shape has an element for each of the variable's, whatever its shape.
        shape = tuple(range(10**9, 10**9 + (2 if self.stacked else len(self.shapes[0]))))
        # Slots that are weights are compared with weights, and need their precision.
        names = [s for s in owner.slots if s not in owner.from_weights and owner.slot_shape(s, shape) == shape]
        if state_dtype == "bfloat16":
            return {name: Bfloat16() for name in names}
        return {name: Blockwise8Bit(name not in owner.nonnegative, self.stacked) for name in names}

    @property
    def decay(self):
        """The weight decay of these variables, or `None`."""
        decay = self.owner.weight_decay if self.group.weight_decay is None else self.group.weight_decay
        return (decay or None) if self.decays else None

    def make_each(self):
        raise NotImplementedError

    def pack(self, tensors):
        """One tensor for the rule from one tensor a variable."""
        raise NotImplementedError

    def unpack(self, tensor):
        """One tensor a variable from one for the rule: undoes `pack`."""
        raise NotImplementedError

    def slot_shape(self, slot):
        """The shape of a slot's variable."""
        raise NotImplementedError

    def pack_slot(self, slot, values):
        """The slot from one value a variable."""
        raise NotImplementedError

    def unpack_slot(self, slot, tensor):
        """One value a variable from the slot: undoes `pack_slot`."""
        raise NotImplementedError


class Alone(Bucket):
    """One variable, in its own shape."""

    def make_each(self):
        return Each(self.dtype, [(None, math.prod(self.shapes[0]))])

    def pack(self, tensors):
        return ops.cast(tensors[0], self.dtype)

    def unpack(self, tensor):
        return [tensor]

    def slot_shape(self, slot):
        return self.owner.slot_shape(slot, self.shapes[0])

    def pack_slot(self, slot, values):
        return values[0]

    def unpack_slot(self, slot, tensor):
        return [tensor]


class Flat(Bucket):
    """Small variables as one vector."""

    def __init__(self, owner, group, decays, dtype, state_dtype, indices, shapes):
        order = list(range(len(indices)))
        if "each" in owner.rule_asks + owner.measure_asks:
            # By size, for those of equal size are the rows of a matrix to `each`. In the given order otherwise: XLA
            # compiles 500 variables in two thirds of the time when neighbours differ.
            order.sort(key=lambda i: math.prod(shapes[i]))
        indices, shapes = ([values[i] for i in order] for values in (indices, shapes))
        super().__init__(owner, group, decays, dtype, state_dtype, indices, shapes)

    @property
    def sizes(self):
        return [math.prod(shape) for shape in self.shapes]

    def make_each(self):
        return Each(self.dtype, [(len(list(run)), size) for size, run in itertools.groupby(self.sizes)])

    def pack(self, tensors):
        parts = [ops.reshape(t, (-1,)) for t in tensors]
        return ops.cast(ops.concatenate(parts) if len(parts) > 1 else parts[0], self.dtype)

    def unpack(self, tensor):
        ends = list(itertools.accumulate(self.sizes))[:-1]
        parts = ops.split(tensor, ends) if ends else [tensor]
        return [ops.reshape(t, s) for t, s in zip(parts, self.shapes, strict=True)]

    def _is_scalar(self, slot):
        return any(shape and self.owner.slot_shape(slot, shape) == () for shape in self.shapes)

    def slot_shape(self, slot):
        return (len(self.indices),) if self._is_scalar(slot) else (sum(self.sizes),)

    def pack_slot(self, slot, values):
        return ops.stack(values) if self._is_scalar(slot) else self.pack(values)

    def unpack_slot(self, slot, tensor):
        return ops.unstack(tensor, len(self.indices)) if self._is_scalar(slot) else self.unpack(tensor)


class Stacked(Bucket):
    """Matrices of equal shape as one tensor (count, rows, columns); a variable may give several."""

    stacked = True

    def __init__(self, owner, group, decays, dtype, state_dtype, indices, shapes, views):
        self.views = views
        self.counts = [view[0] for view in views]
        super().__init__(owner, group, decays, dtype, state_dtype, indices, shapes)

    @property
    def matrix(self):
        return self.views[0][1:3]

    def make_each(self):
        return Each(self.dtype, [(sum(self.counts), math.prod(self.matrix))], matrices=True)

    def pack(self, tensors):
        parts = [self.owner.to_matrices(t, view) for t, view in zip(tensors, self.views, strict=True)]
        return ops.cast(ops.concatenate(parts) if len(parts) > 1 else parts[0], self.dtype)

    def unpack(self, tensor):
        return [
            self.owner.from_matrices(part, shape, view)
            for part, shape, view in zip(self._split(tensor), self.shapes, self.views, strict=True)
        ]

    def _split(self, tensor):
        # A matrix has one place on the first axis, or several in a row: the scales of its blocks.
        places = tensor.shape[0] // sum(self.counts)
        ends = [places * end for end in itertools.accumulate(self.counts)][:-1]
        return ops.split(tensor, ends) if ends else [tensor]

    def slot_shape(self, slot):
        return (sum(self.counts), *self.owner.slot_shape(slot, self.matrix))

    def pack_slot(self, slot, values):
        return ops.concatenate(values) if len(values) > 1 else values[0]

    def unpack_slot(self, slot, tensor):
        return self._split(tensor)


class Plan:
    """Which rule serves which variables of an optimizer, in which buckets.

    Variables of fewer than `flat_below` elements that share rule, group, decay and dtype become one flat bucket:
    concatenating them costs less than a rule call each. Large ones are never copied together, nor are those whose state
    is in low precision, so that each has blocks of its own. Frozen ones are in none.

    Attributes:
        buckets: all `Bucket`s.
        owners: the optimizers whose rules serve them.
        shared: for each owner its scalars over all variables, name -> keras.Variable, made by the optimizer.
    """

    def __init__(self, optimizer, variables, groups, decays):
        self._companions = {}
        members = {}
        for index, (variable, group, decay) in enumerate(zip(variables, groups, decays, strict=True)):
            if group.frozen:
                continue
            owner = self._serves(group.optimizer or optimizer, variable)
            shape = tuple(variable.shape)
            dtype = "float64" if keras.backend.standardize_dtype(variable.dtype) == "float64" else "float32"
            state_dtype = _state_dtype(optimizer, group, variable)
            form, view, apart = owner.form, None, None
            if form == "flat" and (math.prod(shape) >= optimizer.flat_below or state_dtype != "float32"):
                form = "alone"
            if form == "alone":
                apart = index
            if form == "stacked":
                view = tuple(owner.matrices(variable))
                apart = view[1:3]
            key = (form, owner, group, decay, dtype, state_dtype, apart)
            members.setdefault(key, []).append((index, shape, view))
        self.buckets = [_make_bucket(key, part) for key, own in members.items() for part in _parts(key, own)]
        self.owners = list(dict.fromkeys(bucket.owner for bucket in self.buckets))
        self.shared = []

    def _serves(self, owner, variable):
        """`owner`, or the companion it sends `variable` to."""
        while not owner.takes(variable):
            if owner not in self._companions:
                self._companions[owner] = owner.companion()
            owner = self._companions[owner]
        return owner

    def rate_of(self, owner):
        """What multiplies the learning rate where `owner` serves, besides the group's multiplier."""
        return next((o.companion_learning_rate for o, c in self._companions.items() if c is owner), 1.0)


def _state_dtype(optimizer, group, variable):
    """What the state of `variable` is stored in: small ones, embeddings and float64 are only compressed on request."""
    if keras.backend.standardize_dtype(variable.dtype) == "float64":
        return "float32"  # as they are
    if group.state_dtype is not None:
        return group.state_dtype
    spared = math.prod(variable.shape) < optimizer.flat_below or is_embedding(variable)
    return "float32" if spared else optimizer.state_dtype or "float32"


def _parts(key, members):
    """All `members`; where their state is to be decoded only a few at a time, so that it never is all at once."""
    form, state_dtype = key[0], key[-2]
    if form != "stacked" or state_dtype == "float32":
        return [members]
    together = max(1, _DECODED_TOGETHER // math.prod(members[0][1]))
    return [members[i : i + together] for i in range(0, len(members), together)]


def _make_bucket(key, members):
    form, *shared, _ = key
    indices, shapes, views = (list(column) for column in zip(*members, strict=True))
    if form == "stacked":
        return Stacked(*shared, indices, shapes, views)
    return {"flat": Flat, "alone": Alone}[form](*shared, indices, shapes)
