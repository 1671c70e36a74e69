"""From one device to many machines: the strategy that fits the hardware, and what goes with it."""

import importlib

# Loaded when they are first used: the launcher of workers needs no Keras.
_WHERE = {
    "strategy": "choose",
    "describe": "plan",
    "is_chief": "plan",
    "scale": "scaling",
    "dataset": "data",
    "steps_per_execution": "executions",
    "preflight": "aot.preflight",
    "Compiler": "aot.compiler",
}

__all__ = list(_WHERE)


def __getattr__(name):
    if name in _WHERE:
        return getattr(importlib.import_module(f"keras_dlopt.distribute.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'keras_dlopt.distribute' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_WHERE])
