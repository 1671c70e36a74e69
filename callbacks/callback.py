"""What our callbacks have in common: a configuration, the order they need, and an end in any case."""

import inspect
import os
import sys
import weakref

import keras
from keras.src.trainers.epoch_iterator import EpochIterator

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

    What a callback has put on the model is taken off by what it has given to `at_end`; it calls `end_run` in
    `on_train_begin`, for a run before that broke off, and in `on_train_end`.

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
    _ending = None

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

    def at_end(self, function, *args, atexit=False):
        """Has `end_run` call `function(*args)`, once; it must not hold the callback.

        Keras does not tell callbacks of a run that breaks off: then the next `fit` or `train_on_batch` of the model
        calls it, or letting the callback go; with `atexit`, the end of Python, too.
        """
        if in_caller("epoch_iterator", EpochIterator) is None:  # a loop of one's own, with `train_on_batch` in it
            self._ending = weakref.finalize(self, function, *args)
        else:
            self._ending = _Endings.of(self.model).add(self, function, args)
        self._ending.atexit = atexit

    def end_run(self):
        """Calls what `at_end` was given, unless that has been done."""
        if self._ending is not None:
            self._ending()


class _Endings:
    """What is to be called when a model's run ends, at the latest when its next one begins."""

    @classmethod
    def of(cls, model):
        return vars(model).get("_endings") or cls(model)

    def __init__(self, model):
        self.model, self.pending = model, []
        self.found, self.make = vars(model).get("make_train_function"), model.make_train_function
        model._endings, model.make_train_function = self, self.make_train_function

    def add(self, callback, function, args):
        ending = weakref.finalize(callback, self._call, function, args)
        self.pending.append(ending)
        return ending

    def _call(self, function, args):
        try:
            function(*args)
        finally:
            self.pending = [ending for ending in self.pending if ending.alive]
            if not self.pending and vars(self.model).get("_endings") is self:
                del self.model._endings, self.model.make_train_function
                if self.found is not None:
                    self.model.make_train_function = self.found

    def make_train_function(self, force=False):
        if not force and not callbacks_in_use():  # so `fit` and `train_on_batch` begin, but for those within a run
            for ending in list(self.pending):
                ending()
        return self.make(force=force)


def callbacks_in_use():
    """All callbacks of the `fit` that is calling one of them. Keras does not tell, but its list is on the stack."""
    calling = in_caller("self", keras.callbacks.CallbackList)
    return [] if calling is None else calling.callbacks


def in_caller(name, kind):
    """The variable `name` of the nearest caller in Keras in which it is a `kind`, or `None`."""
    frame = sys._getframe(1)
    while frame is not None:
        # Python keeps a copy of the variables it is asked for: those of the user's functions must stay theirs.
        if frame.f_globals.get("__name__", "").startswith("keras.") and isinstance(frame.f_locals.get(name), kind):
            return frame.f_locals[name]
        frame = frame.f_back
    return None


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
