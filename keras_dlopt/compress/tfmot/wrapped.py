"""A tf_keras model that Keras 3 trains."""

import re

import keras
import numpy as np
import tf_keras

from keras_dlopt.arguments import invalid
from keras_dlopt.compress import bridge
from keras_dlopt.compress.bridge.model import Flat, flatten

# What tfmot puts before the names of the layers that it wraps.
PREFIXES = r"^(prune_low_magnitude_|cluster_|quant_)"


class Wrapped(keras.Model):
    """What tfmot made of a model: a tf_keras model inside a `keras.Model`, trained like any.

    Compile and fit it with Keras 3's optimizers (ours, too), losses, metrics and callbacks; `evaluate` and `predict`
    are there, weights can be saved and loaded, a run can be resumed. Its variables are those of the tf_keras model, not
    copies. XLA is off: tfmot's wrappers are not made for it.

    Attributes:
        tf_keras_model: the model inside, with tfmot's wrappers.
    """

    def __init__(self, origin, flat, twin):
        super().__init__(name=origin.name)
        # A function, not an attribute: Keras would track the model inside and its lists.
        self._inside = lambda: (origin, flat, twin)
        trainable = {id(variable) for variable in twin.trainable_weights}
        self._shared = [SharedVariable(variable, id(variable) in trainable) for variable in twin.weights]
        self.supports_jit = False
        self.built = True

    @property
    def tf_keras_model(self):
        return self._inside()[2]

    def call(self, inputs, training=None):
        outputs = self.tf_keras_model(inputs, training=bool(training))
        for loss in self.tf_keras_model.losses:
            self.add_loss(loss)
        return outputs

    def compile(self, optimizer="rmsprop", loss=None, jit_compile=False, **kwargs):
        """Keras's `compile`, without XLA."""
        if jit_compile not in (False, "auto"):
            raise invalid("compile", "jit_compile", jit_compile, "False: tfmot's wrappers are not made for XLA")
        super().compile(optimizer=optimizer, loss=loss, jit_compile=False, **kwargs)

    def fit(self, x=None, y=None, *args, callbacks=None, **kwargs):
        """Keras's `fit`; tfmot's own callbacks are added."""
        added = self._callbacks()
        if isinstance(callbacks, keras.callbacks.CallbackList):
            for callback in added:
                callbacks.append(callback)
        else:
            given = keras.tree.flatten(callbacks) if callbacks is not None else []
            callbacks = [*added, *given]  # first: the others see what tfmot leaves after an epoch
        return super().fit(x, y, *args, callbacks=callbacks, **kwargs)

    def strip(self):
        """The trained model without tfmot's wrappers.

        Returns:
            A `keras.Model` like the one this was made from; a `tf_keras.Model` if it was made from one. Not compiled.
        """
        origin, flat, _ = self._inside()
        stripped = self._stripped()
        if isinstance(origin, tf_keras.Model):
            return stripped
        values = {}
        for name, layer in flat.layers.items():
            twin = stripped.get_layer(name)
            values.update((id(ours), theirs.numpy()) for ours, theirs in bridge.weights.pairs(layer, twin))
        copy = keras.models.clone_model(origin)
        copy.set_weights([values.get(id(variable), np.asarray(variable)) for variable in origin.weights])
        return copy

    def save(self, filepath, overwrite=True, **kwargs):
        """Saves the model without wrappers; `save_weights` keeps their state, too."""
        self.strip().save(filepath, overwrite=overwrite, **kwargs)

    def _callbacks(self):
        return []

    def _stripped(self):
        raise NotImplementedError


class SharedVariable(keras.Variable):
    """A `keras.Variable` whose value is a TensorFlow variable that exists already."""

    def __init__(self, variable, trainable):
        self._given = getattr(variable, "_variable", variable)  # mixed precision wraps them
        super().__init__(
            self._given,
            dtype=self._given.dtype.name,
            trainable=trainable,
            autocast=False,
            name=self._given.name.rpartition("/")[2].partition(":")[0],
        )
        # The path that the Keras 3 model's variable has, for parameter groups.
        self._path = re.sub(PREFIXES, "", self._given.name).partition(":")[0].replace("_/", "/")

    def _convert_to_tensor(self, value, dtype=None):
        return value if value is self._given else super()._convert_to_tensor(value, dtype)


def enter(model, where):
    """A flat tf_keras model to work on, for a Keras 3 model or one of tf_keras, which stays as it is."""
    if not isinstance(model, tf_keras.Model):
        return flatten(model, where)
    if not (model.built and (isinstance(model, tf_keras.Sequential) or model._is_graph_network)):
        raise invalid(where, "model", model, "a built Sequential or functional tf_keras.Model")
    copy = tf_keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return Flat(copy, {})
