"""Ends a run before a wall-clock limit, with its schedules at their end."""

import time
import warnings

import keras

from keras_dlopt import step
from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.callbacks.callback import Callback, callbacks_in_use
from keras_dlopt.callbacks.schedule import SCHEDULE_CALLBACKS, ScheduleCallback
from keras_dlopt.step.position import Position


class TimeBudget(Callback):
    r"""Ends the run, between two batches, early enough for what follows an epoch to end before the time is up.

    What follows is validation and all that other callbacks do at the end of an epoch, such as saving: the longest of
    this run's own epochs counts, or `reserve` as long as that is longer. The run ends when the time left, without it,
    is less than the longest execution took; the first one of a run, which compiles, is left out.

    Schedule callbacks of the run follow the time: at share $\tau$ of the time for training, their schedule over $T$
    steps is at step $\max(t, \tau (T - 1))$, where $t$ counts the batches. So they end at their last value, whichever
    comes first, the last batch or the end of the time. Lengths within a schedule are best given as shares: a number of
    steps is one of the announced run. Data of unknown length need `steps=` on the schedule.

    No other callback follows the time: a share of the run in AverageWeights, BatchSizeSchedule, FreezeLayers,
    GradualUnfreeze, ProgressiveResizing, Prune, SelectiveBackprop, SequenceLengthWarmup is one of the announced epochs,
    and a warning says so. With those announce no more epochs than there is time for, or give steps and epochs.

    A run that `ResumeExactly` continues has the rest of the budget.

    Args:
        seconds: the budget, > 0; either this or `minutes`.
        minutes: the budget in minutes, > 0.
        reserve: seconds to keep for the end of an epoch before one has been measured, >= 0. Defaults to 0.

    Raises:
        ValueError: if an argument is out of its range, or not exactly one of `seconds` and `minutes` is given.

    Attributes:
        clock: the function that tells the time in seconds, `time.monotonic`; for tests.

    Example: a clock on which each batch takes a second.

    >>> import itertools, keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> budget = callbacks.TimeBudget(seconds=10)
    >>> budget.clock = lambda: float(model.optimizer.iterations)
    >>> x = np.ones((100, 1))
    >>> used = [callbacks.WarmupCosine(0.1, warmup=0.1), budget]
    >>> history = model.fit(x, x, batch_size=1, callbacks=used, verbose=0).history
    >>> int(model.optimizer.iterations), round(history["learning_rate"][-1], 3)
    (10, 0.0)
    """

    after = tuple(SCHEDULE_CALLBACKS)

    def __init__(self, seconds=None, *, minutes=None, reserve=0.0):
        super().__init__()
        if (seconds is None) == (minutes is None):
            raise invalid("TimeBudget", "seconds", seconds, "given, or `minutes`, and not both")
        name, value = ("seconds", seconds) if minutes is None else ("minutes", minutes)
        check_number("TimeBudget", name, value, 0, ends="()")
        self._budget = value if minutes is None else 60 * value
        self._reserve = check_number("TimeBudget", "reserve", reserve, 0)
        self.clock = time.monotonic

    def on_train_begin(self, logs=None):
        self.end_run()
        self._start = self.clock()
        self._tail, self._longest, self._share = self._reserve, 0.0, 0.0
        self._last = self._batch_began = None
        self._executions = 0
        used = callbacks_in_use()
        followers = [c.observer for c in used if isinstance(c, ScheduleCallback)]
        self._position = None
        if followers:
            self._position = Position()
            step.attach(self.model.optimizer, self._position, self.model)
            self.at_end(_detach, self._position)
            for follower in followers:
                follower.position = self._position
        others = [type(c).__name__ for c in used if isinstance(c, Callback) and c.has_shares()]
        if others:
            warnings.warn(
                f"TimeBudget: shares that {', '.join(others)} were given are of the {self.params['epochs']} epochs "
                "announced, not of the time, which only schedules follow.",
                stacklevel=2,
            )

    def on_epoch_begin(self, epoch, logs=None):
        if self._last is not None:
            self._tail = max(self._tail, self.clock() - self._last)

    def on_train_batch_begin(self, batch, logs=None):
        self._batch_began = self.clock()
        left = self._budget - self._tail - 2 * self._longest
        used = self._batch_began - self._start
        self._share = max(self._share, min(used / left, 1.0) if left > 0 else 1.0)
        if self._position is not None:
            if keras.backend.backend() == "jax":
                self.model.jax_state_sync()  # the trainer holds the state during an epoch
            self._position.write(self._share)

    def on_train_batch_end(self, batch, logs=None):
        self._last = self.clock()
        self._executions += 1
        if self._executions > 1:
            self._longest = max(self._longest, self._last - self._batch_began)
        if self._last - self._start + self._longest > self._budget - self._tail:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.end_run()

    def get_state(self):
        """The time used, and what was measured."""
        used = self.clock() - self._start
        return {"used": used, "tail": self._tail, "longest": self._longest, "share": self._share}

    def set_state(self, state):
        """Goes on with what `get_state` left of the budget."""
        self._start = self.clock() - state["used"]
        self._tail, self._longest, self._share = state["tail"], state["longest"], state["share"]


def _detach(position):
    if position.optimizer is not None:
        step.detach(position.optimizer, position)
