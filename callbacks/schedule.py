"""Any schedule as a callback that takes the number of steps from the run."""

import inspect
import sys
import types
import typing
import warnings

import numpy as np

from keras_dlopt import schedules, step
from keras_dlopt.arguments import invalid
from keras_dlopt.callbacks.callback import Callback, callbacks_in_use
from keras_dlopt.callbacks.run_length import run_length, steps_until


class ScheduleCallback(Callback):
    """Base of the callbacks of all schedules: `callbacks.OneCycle` is that of `schedules.OneCycle`, and so forth.

    It takes the schedule's arguments, `steps` by keyword and only if the length of the run is not to be taken: that
    is found out when the run begins, epochs times batches an epoch.

    Before every update, inside the compiled step, the schedule's value at that step is written into the optimizer's
    learning rate, which stays the variable it is: files saved in the middle of a run look as ever and load as ever,
    and `optimizer.learning_rate` is always the rate last used. With `of="momentum"`, `"beta_1"`, `"weight_decay"` or
    another of the optimizer's arguments, that one follows the schedule instead, see `step.Follow`; several callbacks
    can serve several of them at once. The value last used appears in the epoch's logs under the argument's name. At
    the end of the run what was replaced is put back.

    A resumed run goes on where it stopped, whether the optimizer's state was restored or only `initial_epoch`
    given; a second `fit` begins a new schedule. With `gradient_accumulation_steps` a step is a batch, as
    Keras counts.

    When a run breaks off, Keras tells no callback. What was replaced is then put back once the callback is let go, or
    when a schedule callback is next used on this optimizer.

    Attributes:
        schedule: the schedule, without `steps` unless they were given.
        of: the name of the hyperparameter that follows it.
        observer: during a run, the `step.Follow` that does it.

    Example: the learning rate and, the other way round, momentum.

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    >>> x, y = np.ones((100, 2)), np.ones((100, 1))
    >>> cycle = [callbacks.OneCycle(0.1), callbacks.OneCycleMomentum(0.95, low=0.85)]
    >>> history = model.fit(x, y, batch_size=10, epochs=4, callbacks=cycle, verbose=0).history
    >>> [round(rate, 4) for rate in history["learning_rate"]]
    [0.0924, 0.0812, 0.0283, 0.0]
    >>> [round(momentum, 4) for momentum in history["momentum"]]
    [0.8579, 0.8688, 0.9217, 0.95]
    >>> round(float(model.optimizer.learning_rate), 4), model.optimizer.momentum  # the optimizer's own, put back
    (0.01, 0.9)
    """

    kind = None

    def __init_subclass__(cls, schedule=None, of="learning_rate", **kwargs):
        super().__init_subclass__(**kwargs)
        if schedule is not None:
            cls.kind = schedule
            hints = typing.get_type_hints(schedule)
            fields = [
                parameter.replace(annotation=hints[name])
                for name, parameter in inspect.signature(schedule).parameters.items()
                if name != "steps"
            ]
            for name, default, hint in (("steps", None, int | None), ("of", of, str)):
                fields.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint))
            cls.__signature__ = inspect.Signature(fields)

    def __init__(self, *args, **kwargs):
        super().__init__()
        given = type(self).__signature__.bind(*args, **kwargs)
        given.apply_defaults()
        self.of = given.arguments.pop("of")
        self.schedule = self.kind(**given.arguments)  # checks all that can be known before the run

    def get_config(self):
        """The constructor's arguments."""
        return {**self.schedule.get_config(), "of": self.of}

    def on_train_begin(self, logs=None):
        optimizer = self.model.optimizer
        self.end_run()
        others = [c for c in callbacks_in_use() if isinstance(c, ScheduleCallback) and c is not self]
        if any(other.of == self.of for other in others):
            raise invalid(type(self).__name__, "of", self.of, "what no other schedule of the run follows")
        schedule = self._over_the_run()
        self.observer = step.Follow(optimizer, self.of, schedule)
        if schedule.steps is not None:
            self.observer.check_range(np.linspace(0, schedule.steps - 1, 1001).astype("int32"))
        step.attach(optimizer, self.observer, self.model)
        self.at_end(self.observer.put_back)
        self._first_epoch = True

    def _over_the_run(self):
        try:
            steps = run_length(self, self.schedule.steps)
        except ValueError:
            try:
                self.schedule(0)
            except ValueError:
                pass
            else:
                return self.schedule  # one that needs no length
            raise
        return self.schedule.over(steps)

    def on_epoch_begin(self, epoch, logs=None):
        # Only now is it known at which epoch a resumed run starts; the step is traced after this.
        if self._first_epoch:
            self._first_epoch = False
            done = self.observer.count()
            known = self.params.get("steps")
            self.observer.start = done - steps_until(self.params, epoch) if known else (0 if epoch else done)

    def get_state(self):
        """At which count of the optimizer the schedule begins, which a run that goes on in an epoch cannot tell."""
        return {"start": self.observer.start}

    def set_state(self, state):
        """What `get_state` returned."""
        self.observer.start = state["start"]

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs[self.of] = self.observer.latest()
        announced = steps_until(self.params, epoch + 1) or sys.maxsize
        made = self.observer.count() - self.observer.start
        if made > announced and self.schedule.steps is None:
            warnings.warn(
                f"`{type(self).__name__}`: {made} steps were made where Keras announced {announced}. Data without "
                "end runs in whole executions: choose `steps_per_epoch` as a multiple of `steps_per_execution`.",
                stacklevel=2,
            )

    def on_train_end(self, logs=None):
        self.end_run()


_STEPS_AND_OF = """\
    steps: length of the schedule in steps; by default that of the run. Data of unknown length need it, where the
        schedule does.
    of: the optimizer's argument that follows the schedule. Defaults to "{of}".

Raises:
    ValueError: if an argument is out of its range; when the run begins, if a part of it is longer than the run, its
        length is unknown, or the optimizer has no such argument that can follow a schedule.
"""


def _docstring(row):
    """The schedule's docstring, with the callback's arguments."""
    text = inspect.getdoc(row.schedule)
    about, _, rest = text.partition("\nArgs:\n")
    arguments, _, rest = rest.partition("\n\n")
    entries = ("\n" + arguments).split("\n    ")[1:]
    kept, steps = [], False
    for entry in entries:  # continued lines belong to the entry before
        steps = entry.startswith("steps:") or (steps and entry.startswith(" "))
        kept += [] if steps else ["    " + entry]
    source = rest.partition("Example")[0].strip()
    how = f"The schedule `schedules.{row.name}` over a run of `model.fit`: `ScheduleCallback` says how that behaves."
    own = [*kept, _STEPS_AND_OF.format(of=row.of)]
    return "\n".join([about, how, "", "Args:", *own, source]).rstrip() + "\n"


def _callback(row):
    body = {"__doc__": _docstring(row), "__module__": "keras_dlopt.callbacks", "__qualname__": row.name}
    return types.new_class(
        row.name, (ScheduleCallback,), {"schedule": row.schedule, "of": row.of}, lambda names: names.update(body)
    )


SCHEDULE_CALLBACKS = {name: _callback(row) for name, row in schedules.TABLE.items()}
