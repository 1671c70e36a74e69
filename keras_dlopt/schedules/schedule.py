"""How a schedule is declared."""

import dataclasses
import typing
from typing import Annotated

import keras
from keras import ops

from keras_dlopt.arguments import check_length, check_number, in_steps, invalid


def _rate(where, name, value):
    return float(check_number(where, name, value, 0, ends="()"))


def _floor(where, name, value):
    return float(check_number(where, name, value, 0))


def _factor(where, name, value):
    return float(check_number(where, name, value, 1))


def _steps(where, name, value):
    return int(check_number(where, name, value, 1, integer=True))


Rate = Annotated[float, _rate]  # a learning rate, > 0
Floor = Annotated[float, _floor]  # a learning rate, >= 0
Factor = Annotated[float, _factor]  # by how much a rate is divided, >= 1
Steps = Annotated[int, _steps]  # the length of the run
Length = Annotated[float | int, check_length]  # a part of it: a share, or a number of steps


@typing.dataclass_transform(frozen_default=True)
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Base of all schedules: a subclass declares its arguments, `steps` among them, and `rate(t)`.

    The annotations (`Rate`, `Floor`, `Factor`, `Steps`, `Length`) make the constructor, its checks and
    `get_config`; schedules with equal arguments are equal. `rate` is pure and elementwise: `t` is a float32
    tensor of any shape, so that `schedule(np.arange(1000))` is the whole curve. A step is one call of the
    optimizer, counted from 0: with `gradient_accumulation_steps` that is a batch, as Keras counts.

    Example: the rate of "Attention Is All You Need" without its warm-up.

    >>> from keras import ops
    >>> class InverseSquareRoot(Schedule):
    ...     peak: Rate
    ...     steps: Steps
    ...     def rate(self, t):
    ...         return self.peak * ops.rsqrt(1.0 + t)
    >>> schedule = InverseSquareRoot(0.1, steps=100)
    >>> round(float(schedule(3)), 4)
    0.05
    >>> schedule.get_config()
    {'peak': 0.1, 'steps': 100}
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True)(cls)

    def __post_init__(self):
        where = type(self).__name__
        hints = typing.get_type_hints(type(self), include_extras=True)
        checks = {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}
        for name, check in checks.items():
            object.__setattr__(self, name, check(where, name, getattr(self, name)))
        for name, check in checks.items():
            value = getattr(self, name)
            if check is check_length and 1 <= value >= self.steps:
                raise invalid(where, name, value, f"less than the {self.steps} steps of the run")

    def check_below(self, name, limit):
        """Raises `ValueError` unless argument `name` is at most argument `limit`."""
        if getattr(self, name) > getattr(self, limit):
            accepted = f"at most {limit}={getattr(self, limit)!r}"
            raise invalid(type(self).__name__, name, getattr(self, name), accepted)

    def rate(self, t):
        """The learning rate at step `t`; see the class."""
        raise NotImplementedError(f"{type(self).__name__} declares no `rate`.")

    def in_steps(self, length):
        """A length in steps; a share is at least one step, and leaves one, where the run has room for it."""
        return min(max(in_steps(length, self.steps), 1), self.steps - 1)

    def __call__(self, step):
        return self.rate(ops.cast(step, "float32"))

    def get_config(self):
        """The constructor's arguments."""
        return dataclasses.asdict(self)
