"""Weights across the bridge: which variable of one layer is which of its twin."""

import numpy as np


def pairs(layer, twin):
    """The variables of a Keras 3 layer beside those of its tf_keras twin.

    Those inside of an inner layer go by their names, where tfmot may have changed the order. Else Keras 3 lists a
    wrapper's own weights before those inside, tf_keras all trainable ones before the others; within each layer both
    have the same order.

    Raises:
        ValueError: if their number, or the shape of one, differs.
    """
    ours = _ordered(_parts(layer), lambda part: (part._trainable_variables, part._non_trainable_variables))
    theirs = _ordered(twin._flatten_layers(), lambda part: (part._trainable_weights, part._non_trainable_weights))
    named = {_inner_name(variable.name): variable for variable in theirs}
    names = [_inner_name(variable.path) for variable in ours]
    if len(named) == len(theirs) and set(named) == set(names):
        theirs = [named[name] for name in names]
    shapes = [[tuple(variable.shape) for variable in variables] for variables in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"The weights of {type(layer).__name__} `{layer.name}` and of its twin in tf_keras differ: "
            f"{[variable.path for variable in ours]} have shapes {shapes[0]}, "
            f"{[variable.name for variable in theirs]} have shapes {shapes[1]}."
        )
    return list(zip(ours, theirs, strict=True))


def to_tf_keras(layer, twin):
    """Copies a Keras 3 layer's weights to its twin."""
    for ours, theirs in pairs(layer, twin):
        theirs.assign(np.asarray(ours))
    _finalize(twin)


def to_keras(twin, layer):
    """Copies a tf_keras layer's weights back to the Keras 3 layer."""
    for ours, theirs in pairs(layer, twin):
        ours.assign(theirs.numpy())
    _finalize(layer)


def _finalize(layer):
    # Normalization computes with constants that it makes from its weights.
    if layer.weights and hasattr(layer, "finalize_state"):
        layer.finalize_state()


def _inner_name(path):
    return "/".join(path.partition(":")[0].split("/")[-2:])


def _parts(layer):
    """The layer and those inside it, from first to last; Keras's `_flatten_layers` goes backwards."""
    yield layer
    for part in layer._layers:
        yield from _parts(part)


def _ordered(parts, lists):
    seen, trainable, other = set(), [], []
    for part in parts:
        for found, variables in zip((trainable, other), lists(part), strict=True):
            for variable in variables:
                if id(variable) not in seen:
                    seen.add(id(variable))
                    found.append(variable)
    return trainable + other
