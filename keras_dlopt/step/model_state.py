"""The values of everything a run changes, on the host, to put back."""

import numpy as np
from keras import ops

from keras_dlopt.arguments import invalid


class ModelState:
    """A copy of a model's weights, optimizer, metrics and seed generators.

    Args:
        model: compiled and built; its optimizer is built here if it is not.

    Raises:
        ValueError: if the model has layers that are not built.

    Example:

    >>> import keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile("sgd", "mse")
    >>> state = ModelState(model)
    >>> before = model.get_weights()
    >>> _ = model.fit(np.ones((4, 1)), np.zeros((4, 1)), verbose=0)
    >>> state.put_back(), model.get_weights() == before
    (None, True)
    """

    def __init__(self, model):
        if not all(layer.built for layer in model._flatten_layers()):
            raise invalid("ModelState", "model", model, "built: give it an Input, or call `build`")
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        variables = {id(v): v for v in variables}.values()  # a model may count its metrics among its own
        self._saved = [(v, np.array(ops.convert_to_numpy(v))) for v in variables]

    def put_back(self):
        """Gives every variable the value that was copied, bit for bit."""
        for variable, value in self._saved:
            variable.assign(value)
