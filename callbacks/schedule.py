"""Any schedule as a callback that takes the number of steps from the run."""

import dataclasses
import inspect
import sys
import warnings
import weakref

import keras

from keras_dlopt import step
from keras_dlopt.arguments import invalid
from keras_dlopt.callbacks.run_length import run_length

# Optimizer -> what ends the schedule on it, to end one whose run broke off before the next begins.
_following = weakref.WeakKeyDictionary()


class ScheduleCallback(keras.callbacks.Callback):
    """Base: `class OneCycle(ScheduleCallback, schedule=schedules.OneCycle)` is the callback of that schedule.

    It takes the schedule's arguments without `steps`, which it finds out when the run begins: epochs times
    batches an epoch. Before every update, inside the compiled step, it writes the schedule's value at that
    step into the optimizer's learning rate, which stays the variable it is: files saved in the middle of a
    run look as ever and load as ever, and `optimizer.learning_rate` is always the rate last used. It appears
    in the epoch's logs as `learning_rate`. At the end of the run the rate it replaced is put back.

    A resumed run goes on where it stopped, whether the optimizer's state was restored or only `initial_epoch`
    given; a second `fit` begins a new schedule. With `gradient_accumulation_steps` a step is a batch, as
    Keras counts.

    When a run breaks off, Keras tells no callback. The rate is then put back once the callback is let go, or
    when a schedule callback is next used on this optimizer.
    """

    schedule = None

    def __init_subclass__(cls, schedule=None, **kwargs):
        super().__init_subclass__(**kwargs)
        if schedule is not None:
            cls.schedule = schedule
            fields = [p for p in inspect.signature(schedule).parameters.values() if p.name != "steps"]
            steps = inspect.Parameter("steps", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=int)
            cls.__signature__ = inspect.Signature([*fields, steps])

    def __init__(self, *args, steps=None, **kwargs):
        super().__init__()
        self.steps = steps
        given = type(self).__signature__.bind(*args, **kwargs)
        # Checks all that can be known before the run.
        longest = sys.maxsize if steps is None else steps
        checked = dataclasses.asdict(self.schedule(steps=longest, **given.arguments))
        self.arguments = {name: value for name, value in checked.items() if name != "steps"}
        self._end = None

    def on_train_begin(self, logs=None):
        optimizer = self.model.optimizer
        for end in (self._end, _following.get(optimizer)):
            if end is not None:
                end()
        rate = optimizer.learning_rate
        if not isinstance(rate, keras.Variable):
            accepted = "a number: this callback is the schedule"
            raise invalid(type(optimizer).__name__, "learning_rate", optimizer._learning_rate, accepted)
        self._observer = _Follow(self.schedule(steps=run_length(self, self.steps), **self.arguments), rate)
        step.attach(optimizer, self._observer, self.model)
        before = float(keras.ops.convert_to_numpy(rate))
        self._end = _following[optimizer] = weakref.finalize(self, _put_back, self._observer, rate, before)
        self._end.atexit = False
        self._first_epoch = True

    def on_epoch_begin(self, epoch, logs=None):
        # Only now is it known at which epoch a resumed run starts; the step is traced after this.
        if self._first_epoch:
            self._first_epoch = False
            done = self._observer.count()
            per_epoch = self.params.get("steps")
            self._observer.start = done - epoch * per_epoch if per_epoch else (0 if epoch else done)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = float(keras.ops.convert_to_numpy(self._observer.learning_rate))
        announced = (epoch + 1) * (self.params.get("steps") or sys.maxsize)
        made = self._observer.count() - self._observer.start
        if made > announced and self.steps is None:
            warnings.warn(
                f"`{type(self).__name__}`: {made} steps were made where Keras announced {announced}. Data without "
                "end runs in whole executions: choose `steps_per_epoch` as a multiple of `steps_per_execution`.",
                stacklevel=2,
            )

    def on_train_end(self, logs=None):
        self._end()


class _Follow(step.Observer):
    def __init__(self, schedule, learning_rate):
        self.schedule, self.learning_rate, self.start = schedule, learning_rate, 0

    def count(self):
        return int(keras.ops.convert_to_numpy(self.optimizer._iterations))

    def before_apply(self, gradients, variables):
        self.assign(self.learning_rate, self.schedule(self.optimizer._iterations - self.start))
        return gradients


def _put_back(observer, learning_rate, before):
    if observer.optimizer is not None:
        step.detach(observer.optimizer, observer)
    learning_rate.assign(before)
