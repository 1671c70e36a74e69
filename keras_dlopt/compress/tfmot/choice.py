"""Which layers tfmot gets: what it can work on, and what the user wants of that."""

import re

from keras_dlopt.arguments import invalid
from keras_dlopt.compress.prunable import as_choices


def chosen_layers(where, flat, able, only, skip):
    """Names of the layers of a flat model that are both possible and wanted.

    Args:
        where: name of what the user called, for errors.
        flat: what `enter` returned.
        able: tells of a tf_keras layer whether tfmot can work on it.
        only, skip: a pattern, searched for in the paths of a layer's variables, a layer type, a callable that is given
            the layer, or a list of such. Types and callables see the Keras 3 layer where there is one.

    Raises:
        ValueError: if a choice matches no layer, or none is left.
    """
    possible = {layer.name: flat.layers.get(layer.name, layer) for layer in flat.model.layers if able(layer)}
    wanted, unwanted = (_matched(where, name, given, possible) for name, given in (("only", only), ("skip", skip)))
    names = [name for name in possible if (name in wanted or not wanted) and name not in unwanted]
    if not names:
        raise invalid(where, "model", flat.model.name, "a model with layers that tfmot can work on and that are chosen")
    return names


def _matched(where, name, choices, possible):
    matched = set()
    for choice in as_choices(where, name, choices):
        found = {key for key, layer in possible.items() if _matches(choice, layer)}
        if not found:
            known = ", ".join(layer.name for layer in possible.values())
            raise invalid(where, name, choice, f"a choice that matches one of the layers tfmot can work on: {known}")
        matched |= found
    return matched


def _matches(choice, layer):
    if isinstance(choice, str):
        return any(re.search(choice, getattr(weight, "path", weight.name)) for weight in layer.weights)
    return isinstance(layer, choice) if isinstance(choice, type) else bool(choice(layer))
