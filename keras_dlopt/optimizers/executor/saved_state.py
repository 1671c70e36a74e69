"""The state of an optimizer in files: one array for each slot of each variable."""

from keras import ops


def _slots(optimizer):
    """The id of each slot's variable -> (bucket, name of the slot)."""
    buckets = optimizer._plan.buckets if optimizer.built else ()
    return {id(v): (bucket, slot) for bucket in buckets for slot, v in bucket.slots.items()}


def save_state(optimizer, store):
    """Writes the arrays of `optimizer` to `store`: `m.3` is slot m of the fourth variable, `0` another variable."""
    slots = _slots(optimizer)
    for bucket, slot in slots.values():
        values = bucket.unpack_slot(slot, ops.convert_to_tensor(bucket.slots[slot]))
        for index, value in zip(bucket.indices, values, strict=True):
            store[f"{slot}.{index}"] = ops.convert_to_numpy(value)
    for i, variable in enumerate(v for v in optimizer.variables if id(v) not in slots):
        store[str(i)] = ops.convert_to_numpy(variable)


def load_state(optimizer, store):
    """Reads what `save_state` wrote; arrays of another optimizer or model are an error."""
    slots = _slots(optimizer)
    others = [v for v in optimizer.variables if id(v) not in slots]
    expected = {f"{slot}.{i}" for bucket, slot in slots.values() for i in bucket.indices}
    expected |= {str(i) for i in range(len(others))}
    if set(store.keys()) != expected:
        odd = sorted(set(store.keys()) ^ expected)
        raise ValueError(
            f"The saved state is not that of this `{type(optimizer).__name__}`: it has {len(store.keys())} arrays, "
            f"{len(expected)} are expected; not in both: {', '.join(odd[:6])}{', ...' if len(odd) > 6 else ''}."
        )
    for bucket, slot in slots.values():
        values = [ops.convert_to_tensor(store[f"{slot}.{i}"][()]) for i in bucket.indices]
        bucket.slots[slot].assign(bucket.pack_slot(slot, values))
    for i, variable in enumerate(others):
        variable.assign(store[str(i)])
