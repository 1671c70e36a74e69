"""keras_dlopt: the optimisation suite for Keras 3.

Importing this package registers its optimizers and schedules with Keras, so that saved models find them, and loads
nothing heavier than Keras itself; the other rooms load when they are first used.
"""

import importlib
import os
import sys

__version__ = "0.1.0"

_ROOMS = ("callbacks", "compress", "data", "demo", "distribute", "optimizers", "schedules", "step", "tpu_configs")

__all__ = list(_ROOMS)


def __getattr__(name):
    if name in _ROOMS:
        return importlib.import_module(f"keras_dlopt.{name}")
    raise AttributeError(f"module 'keras_dlopt' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_ROOMS])


# The command line comes through here before it can answer `--help` or silence TensorFlow's start-up lines: it loads
# its rooms itself. ("-m" stands there while `python -m keras_dlopt.cli` is being found.)
if not os.path.basename(sys.argv[0] if sys.argv else "").startswith(("keras-dlopt", "-m")):
    from keras_dlopt import optimizers, schedules  # noqa: F401
