"""tfmot, imported without the traces it leaves in a process that runs Keras 3."""

import functools
import importlib
import os

import tensorflow as tf

from keras_dlopt import extras


@functools.cache
def load():
    """The module `tensorflow_model_optimization`, beside Keras 3.

    Importing it sets TF_USE_LEGACY_KERAS=1, which would make `tf.keras` another library, in this process if nobody has
    used it yet, and in every process started from it.
    """
    before = os.environ.get("TF_USE_LEGACY_KERAS")
    tf.keras.__name__  # noqa: B018 - decides which library it is, before tfmot can
    try:
        tfmot = extras.require("tensorflow_model_optimization")
    finally:
        if before is None:
            os.environ.pop("TF_USE_LEGACY_KERAS", None)
        else:
            os.environ["TF_USE_LEGACY_KERAS"] = before
    return tfmot


def internal(name):
    """A module of tfmot that its public ones do not show, once it is loaded."""
    return importlib.import_module(f"tensorflow_model_optimization.python.core.{name}")
