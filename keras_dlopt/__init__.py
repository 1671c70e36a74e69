"""keras_dlopt: the optimisation suite for Keras 3.

Importing this package registers its optimizers and schedules with Keras, so that saved models find them, and loads
nothing heavier than Keras itself; the other rooms load when they are first used.
"""

import importlib
import os
import sys

__version__ = "0.1.0"

_ROOMS = (
    *("callbacks", "compress", "data", "demo", "distribute", "optimizers", "schedules", "step", "tensorboard"),
    *("tpu_configs", "tune"),
)

__all__ = list(_ROOMS)


def __getattr__(name):
    if name in _ROOMS:
        return importlib.import_module(f"keras_dlopt.{name}")
    raise AttributeError(f"module 'keras_dlopt' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_ROOMS])


def _program_loads_its_rooms():
    """Whether this is a program that must start without Keras, and imports what it needs by itself.

    `keras-dlopt` answers `--help`, and silences TensorFlow's start-up lines, before it loads Keras. ("-m" stands there
    while `python -m keras_dlopt.cli` is being found.) `tensorboard` loads our plugin, and serves it without TensorFlow.
    """
    if os.path.basename(sys.argv[0] if sys.argv else "").startswith(("keras-dlopt", "-m")):
        return True
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    return "tensorboard.main" in sys.modules or getattr(main, "name", None) == "tensorboard.main"


if not _program_loads_its_rooms():
    from keras_dlopt import optimizers, schedules  # noqa: F401
