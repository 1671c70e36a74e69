"""keras_dlopt: the optimisation suite for Keras 3.

Importing this package registers its optimizers and schedules with Keras, so that saved models find them, and loads
nothing heavier than Keras itself; the other rooms load when they are first used.
"""

import importlib

from keras_dlopt import optimizers, schedules

__version__ = "0.1.0"

_LAZY = ("callbacks", "compress", "data", "demo", "step", "tpu_configs")

__all__ = ["optimizers", "schedules", *_LAZY]


def __getattr__(name):
    if name in _LAZY:
        return importlib.import_module(f"keras_dlopt.{name}")
    raise AttributeError(f"module 'keras_dlopt' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_LAZY])
