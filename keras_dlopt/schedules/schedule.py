"""How a schedule is declared."""

import dataclasses
import typing
from typing import Annotated

import keras
from keras import ops

from keras_dlopt.arguments import check_choice, check_length, check_number, in_steps, invalid

_Base = keras.optimizers.schedules.LearningRateSchedule


def _number(low, ends, high=float("inf")):
    def check(where, name, value):
        return float(check_number(where, name, value, low, high, ends))

    return check


def _steps(where, name, value):
    return int(check_number(where, name, value, 1, integer=True))


def _length(where, name, value):
    return check_length(where, name, value)


def _listed(check, noun, least=1):
    def check_all(where, name, value):
        if not isinstance(value, list | tuple) or len(value) < least:
            raise invalid(where, name, value, f"a list of {noun}")
        return tuple(check(where, name, item) for item in value)

    return check_all


def _schedule(where, name, value):
    if isinstance(value, dict):  # as `get_config` has it
        value = keras.saving.deserialize_keras_object(value)
    if not isinstance(value, _Base):
        raise invalid(where, name, value, "a schedule")
    return value


def choice(*choices):
    """The check of an argument that is one of some strings: `Annotated[str, choice("linear", "cosine")]`."""
    return lambda where, name, value: check_choice(where, name, value, choices)


Rate = Annotated[float, _number(0, "()")]  # a learning rate, > 0
Positive = Annotated[float, _number(0, "()")]  # any other number > 0
Floor = Annotated[float, _number(0, "[)")]  # a learning rate, >= 0
Factor = Annotated[float, _number(1, "[)")]  # by how much something is divided, or how much longer it gets, >= 1
Share = Annotated[float, _number(0, "[]", 1)]  # in [0, 1]
Decay = Annotated[float, _number(0, "(]", 1)]  # what a rate is multiplied by to become smaller, in (0, 1]
Steps = Annotated[int, _steps]  # the length of the run
Size = Annotated[int, _steps]  # any other whole number >= 1
Length = Annotated[float | int, check_length]  # a part of it: a share, or a number of steps less than the run's
Period = Annotated[float | int, _length]  # a share of it, or any number of steps
Rates = Annotated[tuple[float, ...], _listed(_number(0, "[)"), "finite numbers >= 0")]
Lengths = Annotated[tuple[float | int, ...], _listed(check_length, "lengths", least=0)]
Part = Annotated[_Base, _schedule]  # another schedule
Parts = Annotated[tuple[_Base, ...], _listed(_schedule, "schedules")]


@typing.dataclass_transform(frozen_default=True)
class Schedule(_Base):
    """Base of all schedules: a subclass declares its arguments, `steps` among them, and `rate(t)`.

    The annotations (`Rate`, `Length`, ...) make the constructor, its checks and `get_config`; schedules with equal
    arguments are equal. A step is one call of the optimizer, counted from 0: with `gradient_accumulation_steps` that
    is a batch, as Keras counts.

    `steps` may be left out where somebody else knows the length of the run: a schedule callback, or the schedule that
    this one is a part of. A share, in (0, 1), of a part is one of the part's own steps.

    `rate` is pure and elementwise: `t` is a tensor of any shape, so that `schedule(np.arange(1000))` is the whole
    curve. It holds whole numbers, because float32 loses count at 2**24: what is computed from it goes through
    `curves.since` or `curves.progress`, which subtract first.

    Example: a rate that halves every ten steps.

    >>> from keras_dlopt.schedules.curves import since
    >>> class Halving(Schedule):
    ...     peak: Rate
    ...     steps: Steps | None = None
    ...     def rate(self, t):
    ...         return self.peak * 0.5 ** (since(t, 0) / 10)
    >>> schedule = Halving(0.1, steps=100)
    >>> round(float(schedule(20)), 4)
    0.025
    >>> schedule.get_config()
    {'peak': 0.1, 'steps': 100}
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True)(cls)

    def __post_init__(self):
        where = type(self).__name__
        for name, hint in typing.get_type_hints(type(self), include_extras=True).items():
            value = getattr(self, name)
            if value is None and type(None) in typing.get_args(hint):
                continue
            check = next(h for h in (hint, *typing.get_args(hint)) if hasattr(h, "__metadata__")).__metadata__[0]
            value = check(where, name, value)
            object.__setattr__(self, name, value)
            if check is check_length and self.steps is not None and 1 <= value >= self.steps:
                raise invalid(where, name, value, f"less than the {self.steps} steps of the run")

    def check_below(self, name, limit):
        """Raises `ValueError` unless argument `name` is at most argument `limit`."""
        if getattr(self, name) > getattr(self, limit):
            accepted = f"at most {limit}={getattr(self, limit)!r}"
            raise invalid(type(self).__name__, name, getattr(self, name), accepted)

    def check_boundaries(self, name, count):
        """Raises `ValueError` unless argument `name` is a list of `count` lengths, each beyond the one before."""
        where, given = type(self).__name__, getattr(self, name)
        if len(given) != count:
            raise invalid(where, name, list(given), f"{count} lengths, one between each two neighbours")
        shares = [length for length in given if length < 1]
        whole = [length for length in given if length >= 1]
        known = [shares, whole] if self.steps is None else [[self.in_steps(length) for length in given], shares, whole]
        if any(a >= b for lengths in known for a, b in zip(lengths, lengths[1:], strict=False)):
            raise invalid(where, name, list(given), "increasing, in steps of the run too")
        if self.steps is not None and max(whole, default=0) >= self.steps:
            raise invalid(where, name, list(given), f"less than the {self.steps} steps of the run")

    def rate(self, t):
        """The learning rate at step `t`; see the class."""
        raise NotImplementedError(f"{type(self).__name__} declares no `rate`.")

    @property
    def run(self):
        """`steps`, for a formula that cannot do without."""
        if self.steps is None:
            accepted = "given: the schedule depends on the length of the run"
            raise invalid(type(self).__name__, "steps", None, accepted)
        return self.steps

    def over(self, steps):
        """This schedule over a run of `steps` steps, if it was not told another length."""
        return self if self.steps is not None or steps is None else dataclasses.replace(self, steps=steps)

    def part(self, schedule, start, end=None):
        """Another schedule, for the steps from `start` to `end` (by default the end of the run)."""
        end = self.steps if end is None else end
        if end is None or not isinstance(schedule, Schedule):
            return schedule
        return schedule.over(max(end - start, 1))

    def in_steps(self, length):
        """A length in steps; a share is at least one step, and leaves one, where the run has room for it."""
        if self.steps is None and length >= 1:
            return length
        return min(max(in_steps(length, self.run), 1), self.run - 1)

    def period(self, length):
        """A length in steps that may be longer than the run, at least one."""
        return length if length >= 1 else max(in_steps(length, self.run), 1)

    def __call__(self, step):
        step = ops.convert_to_tensor(step)
        whole = keras.backend.is_int_dtype(step.dtype)
        return self.rate(ops.cast(step, "int" if whole else "float32"))

    def plot(self, steps=None):
        """Draws the schedule.

        Args:
            steps: how many steps to show; for a schedule without `steps` also the length of its run. Defaults to the
                schedule's own.

        Returns:
            A `matplotlib.figure.Figure`; `figure.savefig("schedule.png")` writes it.
        """
        from keras_dlopt.schedules.plot import draw

        return draw({type(self).__name__: self}, steps or self.run)

    def get_config(self):
        """The constructor's arguments."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def _plain(value):
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return keras.saving.serialize_keras_object(value) if isinstance(value, _Base) else value
