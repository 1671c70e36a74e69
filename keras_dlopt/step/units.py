"""A model's layers with weights, from the input to the output."""

import keras


def units(model):
    """The layers of `model` that have weights to train, from the input on; a composite layer is one of them.

    Models inside the model are walked through. A model of one's own has them in the order of its attributes.

    Example:

    >>> layers = [keras.layers.Dense(2, name="a"), keras.layers.ReLU(), keras.layers.Dense(2, name="b")]
    >>> [unit.name for unit in units(keras.Sequential([keras.Input((2,)), *layers]))]
    ['a', 'b']
    """
    found = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found |= {id(unit): unit for unit in units(layer)}
        elif layer.trainable_variables:
            found[id(layer)] = layer
    return list(found.values())
