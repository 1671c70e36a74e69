"""The state of any Keras optimizer, variable by variable: Keras's lists of slots, and our packed ones."""

import math

import keras
import numpy as np

# What Keras's optimizers call their first and second moments; other lists keep their names.
_NAMES = {
    "_momentums": "m",
    "momentums": "m",
    "adam_momentums": "m",
    "_m": "m",
    "_velocities": "v",
    "adam_velocities": "v",
    "_velocity_hats": "v_hat",
    "_model_variables_moving_average": "ema",
    "_accumulated_gradients": "accumulated gradients",
}
_NO_SLOTS = ("_variables", "_trainable_variables")


def chain(optimizer):
    """The optimizer and those it wraps, outermost first."""
    found = [optimizer]
    while hasattr(found[-1], "inner_optimizer"):
        found.append(found[-1].inner_optimizer)
    return found


def _lists(optimizer):
    """Name -> Keras variables, one a trainable variable or `None`, of the slots that are kept in lists."""
    count, found = len(optimizer._trainable_variables), {}
    for owner in chain(optimizer):
        for name, values in vars(owner).items():
            if name in _NO_SLOTS or not isinstance(values, list) or len(values) != count:
                continue
            kinds = {type(value) for value in values if value is not None}
            if kinds and all(issubclass(kind, keras.Variable) for kind in kinds):
                found[_NAMES.get(name, name.strip("_"))] = list(values)
    return found


def _buckets(optimizer):
    innermost = chain(optimizer)[-1]
    return innermost._plan.buckets if hasattr(innermost, "_plan") else []


def slot_names(optimizer):
    """The names that `slot_values` has; while the optimizer is being built there are no values yet."""
    names = [name for name in _lists(optimizer) if name != "accumulated gradients"]
    return list(dict.fromkeys([*names, *(name for bucket in _buckets(optimizer) for name in bucket.slots)]))


def slot_values(optimizer):
    """Name -> one tensor a trainable variable, `None` where it has no such slot; decoded where it is stored packed."""
    count, found = len(optimizer._trainable_variables), {}
    for name, variables in _lists(optimizer).items():
        if name != "accumulated gradients":  # emptied by the update
            found[name] = [None if v is None else keras.ops.convert_to_tensor(v) for v in variables]
    for bucket in _buckets(optimizer):
        for name, stored in bucket.slots.items():
            stored = keras.tree.map_structure(keras.ops.convert_to_tensor, stored)
            whole = bucket.codecs[name].decode(stored) if name in bucket.codecs else stored
            values = found.setdefault(name, [None] * count)
            for index, value in zip(bucket.indices, bucket.unpack_slot(name, whole), strict=True):
                values[index] = value
    return found


def owners(optimizer):
    """For each trainable variable the optimizer whose rule updates it, and its weight decay there, or `None`."""
    innermost = chain(optimizer)[-1]
    found = [(innermost, innermost.weight_decay)] * len(optimizer._trainable_variables)
    for bucket in _buckets(optimizer):
        for index in bucket.indices:
            found[index] = (bucket.owner, bucket.decay)
    return found


def state_entries(optimizer, ignored=()):
    """The arrays of the optimizer: dictionaries of `slot`, `dtype`, `bytes` and `variable`, a position or `None`.

    Args:
        optimizer: the outermost one, built.
        ignored: variables that only observe it.
    """
    entries = []
    seen = {id(variable) for variable in ignored}
    for owner in chain(optimizer):
        seen |= {id(owner._iterations), id(owner._learning_rate)}

    def add(slot, array, variable, share=1.0):
        seen.add(id(array))
        dtype = keras.backend.standardize_dtype(array.dtype)
        size = math.prod(array.shape) * (2 if dtype == "bfloat16" else np.dtype(dtype).itemsize)
        entries.append({"slot": slot, "dtype": dtype, "bytes": round(size * share), "variable": variable})

    for name, variables in _lists(optimizer).items():
        for index, array in enumerate(variables):
            if array is not None:
                add(name, array, index)
    for bucket in _buckets(optimizer):
        sizes = [math.prod(shape) for shape in bucket.shapes]
        for name, stored in bucket.slots.items():
            for array in keras.tree.flatten(stored):
                for index, size in zip(bucket.indices, sizes, strict=True):
                    add(name, array, index, size / sum(sizes))
    for array in optimizer.variables:
        if id(array) not in seen:
            add(array.name, array, None)
    return entries
