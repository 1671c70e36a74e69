"""The state of an optimizer in files: one array for each slot of each variable."""

from keras import ops


def _arrays(optimizer):
    """The id of each slot's variable -> (bucket, name of the slot, end of its name in files, the variable).

    A slot in 8 bits is two variables, codes and scales.
    """
    found = {}
    for bucket in optimizer._plan.buckets if optimizer.built else ():
        for slot, stored in bucket.slots.items():
            parts = stored if isinstance(stored, dict) else {"codes": stored}
            for part, variable in parts.items():
                found[id(variable)] = (bucket, slot, "" if part == "codes" else f".{part}", variable)
    return found


def save_state(optimizer, store):
    """Writes the arrays of `optimizer` to `store`: `m.3` is slot m of the fourth variable, `0` another variable."""
    arrays = _arrays(optimizer)
    for bucket, slot, end, variable in arrays.values():
        values = bucket.unpack_slot(slot, ops.convert_to_tensor(variable))
        for index, value in zip(bucket.indices, values, strict=True):
            store[f"{slot}.{index}{end}"] = ops.convert_to_numpy(value)
    for i, variable in enumerate(v for v in optimizer.variables if id(v) not in arrays):
        store[str(i)] = ops.convert_to_numpy(variable)


def load_state(optimizer, store):
    """Reads what `save_state` wrote; arrays of another optimizer or model are an error."""
    arrays = _arrays(optimizer)
    others = [v for v in optimizer.variables if id(v) not in arrays]
    expected = {f"{slot}.{i}{end}" for bucket, slot, end, _ in arrays.values() for i in bucket.indices}
    expected |= {str(i) for i in range(len(others))}
    if set(store.keys()) != expected:
        odd = sorted(set(store.keys()) ^ expected)
        raise ValueError(
            f"The saved state is not that of this `{type(optimizer).__name__}`: it has {len(store.keys())} arrays, "
            f"{len(expected)} are expected; not in both: {', '.join(odd[:6])}{', ...' if len(odd) > 6 else ''}."
        )
    for bucket, slot, end, variable in arrays.values():
        values = [ops.convert_to_tensor(store[f"{slot}.{i}{end}"][()]) for i in bucket.indices]
        variable.assign(bucket.pack_slot(slot, values))
    for i, variable in enumerate(others):
        variable.assign(store[str(i)])
