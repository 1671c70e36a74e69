"""What our callbacks have in common: a configuration, and the order they need."""

import inspect
import os
import sys

import keras

from keras_dlopt.arguments import invalid

EVERY_OTHER = "every other callback"


class Callback(keras.callbacks.Callback):
    """Base of our callbacks: `get_config` and `from_config` come from the constructor's arguments.

    A callback that must come behind others in the list of `fit` names their classes in `after`, whichever of them are
    there, or `EVERY_OTHER`; a list in another order is an error as soon as `fit` is called.

    What `ResumeExactly` keeps of a callback, any callback, is what its `get_state()` returns, a dictionary of what JSON
    has and NumPy arrays, for `set_state(state)` in another process; it is called after `on_epoch_begin` and before the
    next batch. Without these two, it keeps the attributes that hold such values and have changed since the run began.
    `flush()`, where there is one, is called in a thread, before the checkpoint is written.

    A callback that brings something into the step after `on_train_begin` shows it to `distribute.preflight` by
    `in_step()`: a context in which the step is traced with it, and which yields its observer.

    Example:

    >>> class Log(Callback):
    ...     after = ("OneCycle",)
    ...     def __init__(self, path, every=100):
    ...         super().__init__()
    >>> Log("log.txt").get_config()
    {'path': 'log.txt', 'every': 100}
    >>> Log.from_config({"path": "log.txt", "every": 5}).get_config()
    {'path': 'log.txt', 'every': 5}
    """

    after = ()
    lengths = ()  # names of the arguments that say when in the run, or whose keys do

    def __new__(cls, *args, **kwargs):
        made = super().__new__(cls)
        made._given = args, kwargs
        return made

    def get_config(self):
        """The constructor's arguments, as JSON has them; what Keras has registered (schedules, ...) as Keras has it."""
        return {name: _plain(value) for name, value in self._arguments().items()}

    def has_shares(self):
        """Whether one of its lengths is a share of the run."""
        given = self._arguments()
        values = [given.get(name) or 0 for name in self.lengths]
        lengths = [length for value in values for length in (value if isinstance(value, dict) else [value])]
        return any(0 < float(length) < 1 for length in lengths)

    def _arguments(self):
        args, kwargs = self._given
        given = inspect.signature(type(self)).bind(*args, **kwargs)
        given.apply_defaults()
        return given.arguments

    @classmethod
    def from_config(cls, config):
        """The callback of that configuration."""
        return cls(**{name: _made(value) for name, value in config.items()})

    def set_model(self, model):
        super().set_model(model)
        callbacks = callbacks_in_use()
        if any(callback is self for callback in callbacks):  # else somebody else calls, with callbacks unknown
            _check_order(self, callbacks)


def callbacks_in_use():
    """All callbacks of the `fit` that is calling one of them. Keras does not tell, but its list is on the stack."""
    calling = in_caller("self", keras.callbacks.CallbackList)
    return [] if calling is None else calling.callbacks


def in_caller(name, kind):
    """The variable `name` of the nearest caller in which it is a `kind`, or `None`."""
    frame = sys._getframe(1)
    while frame is not None and not isinstance(frame.f_locals.get(name), kind):
        frame = frame.f_back
    return None if frame is None else frame.f_locals[name]


def _check_order(callback, callbacks):
    where = [other is callback for other in callbacks].index(True)
    for behind in callbacks[where + 1 :]:
        name = type(behind).__name__
        added_by_keras = isinstance(behind, keras.callbacks.History | keras.callbacks.ProgbarLogger)
        if name == "EarlyStopping" and callback.after != EVERY_OTHER and not behind.restore_best_weights:
            continue  # it writes nothing
        if name in callback.after or (callback.after == EVERY_OTHER and not added_by_keras):
            own = type(callback).__name__
            given = [type(other).__name__ for other in callbacks]
            raise invalid("fit", "callbacks", given, f"in another order: {own} comes after {name}, [{name}, {own}]")


def _plain(value):
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return keras.saving.serialize_keras_object(value)


def _made(value):
    if isinstance(value, dict) and "class_name" in value:
        return keras.saving.deserialize_keras_object(value)
    return value
