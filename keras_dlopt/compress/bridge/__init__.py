"""The bridge between Keras 3 and tf_keras, for what still speaks tf_keras alone: real tfmot above all.

`to_tf_keras` rebuilds a Keras 3 model layer by layer in tf_keras and copies its weights; `to_keras` takes the weights
of the trained tf_keras model back into a copy of the Keras 3 model. `compress.prune`, `quantize_aware` and `cluster`
with `engine="tfmot"` cross it by themselves.
"""

from keras_dlopt.compress.bridge.model import to_keras, to_tf_keras

__all__ = ["to_keras", "to_tf_keras"]
