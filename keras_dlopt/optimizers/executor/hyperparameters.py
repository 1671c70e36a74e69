"""How an optimizer's arguments are declared: an annotated class attribute each, with its range.

From the annotations come the constructor's signature, its checks, `get_config`, the documentation and the property
tests: a hyperparameter is written down once.
"""

import dataclasses
import inspect
import math
import typing
from collections.abc import Callable
from typing import Annotated

import keras

from keras_dlopt.arguments import check_choice, check_number, invalid
from keras_dlopt.optimizers.executor.codecs import STATE_DTYPES
from keras_dlopt.optimizers.executor.groups import parse_groups


@dataclasses.dataclass(frozen=True)
class Range:
    """Accepts finite numbers between `low` and `high`; `ends` says which ends belong, as in "[)"."""

    low: float = -math.inf
    high: float = math.inf
    ends: str = "[]"
    integer: bool = False

    def check(self, where, name, value):
        value = check_number(where, name, value, self.low, self.high, self.ends, self.integer)
        return int(value) if self.integer else float(value)


@dataclasses.dataclass(frozen=True)
class Flag:
    """Accepts `True` and `False`."""

    def check(self, where, name, value):
        if not isinstance(value, bool):
            raise invalid(where, name, value, "True or False")
        return value


@dataclasses.dataclass(frozen=True)
class Text:
    """Accepts a string that is not empty."""

    def check(self, where, name, value):
        if not isinstance(value, str) or not value:
            raise invalid(where, name, value, "a string that is not empty")
        return value


@dataclasses.dataclass(frozen=True)
class OneOf:
    """Accepts certain strings."""

    choices: tuple

    def check(self, where, name, value):
        return check_choice(where, name, value, self.choices)


@dataclasses.dataclass(frozen=True)
class RateRange(Range):
    """Accepts a finite number >= 0, a `LearningRateSchedule`, or a callable without arguments."""

    low: float = 0.0
    high: float = 3e38  # a float32 variable holds it

    def check(self, where, name, value):
        if callable(value) and not isinstance(value, type):
            return value
        try:
            return super().check(where, name, value)
        except ValueError:
            accepted = "a finite number >= 0, a LearningRateSchedule or a callable"
            raise invalid(where, name, value, accepted) from None


Positive = Annotated[float, Range(0.0, ends="()")]
NonNegative = Annotated[float, Range(0.0)]
UnitInterval = Annotated[float, Range(0.0, 1.0, "[)")]
Share = Annotated[float, Range(0.0, 1.0, "[]")]
Count = Annotated[int, Range(1, integer=True)]
TwoOrMore = Annotated[int, Range(2, integer=True)]
Switch = Annotated[bool, Flag()]
Name = Annotated[str, Text()]
StateDtype = Annotated[str, OneOf(STATE_DTYPES)]
LearningRate = Annotated[float | keras.optimizers.schedules.LearningRateSchedule | Callable, RateRange()]


@dataclasses.dataclass(frozen=True)
class GroupList:
    """Accepts a list of parameter groups, as dictionaries."""

    def check(self, where, name, value):
        return parse_groups(where, value)


Groups = Annotated[list, GroupList()]


def option(default, *, kw_only: typing.Literal[True] = True):
    """A hyperparameter that every optimizer has: comes after the rule's own, by keyword only."""
    return default


@dataclasses.dataclass(frozen=True)
class Hyperparameter:
    """One declared argument: its default, what it accepts, and whether `None` does too."""

    name: str
    default: object
    accepts: object
    optional: bool

    def check(self, where, value):
        if value is None and self.optional:
            return None
        return self.accepts.check(where, self.name, value)


def declared(cls):
    """The hyperparameters that `cls` itself declares, in order."""
    hints = typing.get_type_hints(cls, include_extras=True)
    found = []
    for name in inspect.get_annotations(cls):
        hint = hints[name]
        optional = type(None) in typing.get_args(hint)
        if optional:
            hint = next(t for t in typing.get_args(hint) if t is not type(None))
        metadata = getattr(hint, "__metadata__", ())
        if metadata:
            found.append(Hyperparameter(name, cls.__dict__[name], metadata[0], optional))
    return found


def signature(own, common):
    """The constructor's signature: the rule's own arguments, then those of every optimizer by keyword."""
    kinds = inspect.Parameter
    parameters = [kinds(h.name, kinds.POSITIONAL_OR_KEYWORD, default=h.default) for h in own]
    parameters += [kinds(h.name, kinds.KEYWORD_ONLY, default=h.default) for h in common]
    return inspect.Signature(parameters)
