"""Which variables a matrix rule takes, and which its companion."""

import dataclasses
import re
from collections.abc import Callable
from typing import Annotated

import keras

from keras_dlopt.arguments import check_number, invalid

# Names of variables that are no linear map from their first axes to their last.
_GAINS = re.compile(r"bias|gamma|beta|gain|scale")


@dataclasses.dataclass(frozen=True)
class _Patterns:
    """Accepts a list of patterns and of functions `variable -> bool`."""

    def check(self, where, name, value):
        if not isinstance(value, list | tuple):
            raise invalid(where, name, value, "a list of patterns or functions")
        return [self._check_one(where, name, one) for one in value]

    def _check_one(self, where, name, one):
        if isinstance(one, dict):  # a function that came through `get_config`
            one = keras.saving.deserialize_keras_object(one)
        if isinstance(one, str):
            _check_pattern(where, name, one)
        elif not callable(one):
            raise invalid(where, name, one, "a list of patterns or functions")
        return one


@dataclasses.dataclass(frozen=True)
class _AxesByPattern:
    """Accepts a dictionary: pattern -> number of input axes."""

    def check(self, where, name, value):
        if not isinstance(value, dict) or not value:
            raise invalid(where, name, value, "a dictionary that is not empty: pattern -> number of input axes")
        for pattern, axes in value.items():
            _check_pattern(where, name, pattern)
            check_number(where, f"{name}[{pattern}]", axes, low=1, integer=True)
        return dict(value)


def _check_pattern(where, name, pattern):
    if not isinstance(pattern, str):
        raise invalid(where, name, pattern, "patterns, as strings")
    try:
        re.compile(pattern)
    except (re.error, OverflowError) as error:
        raise invalid(where, name, pattern, f"patterns that compile ({error})") from None


Patterns = Annotated[list, _Patterns()]
AxesByPattern = Annotated[dict, _AxesByPattern()]


def excluded(variable, patterns):
    """Whether one of `patterns` is found in the variable's path, or is a function that says so."""
    return any(p(variable) if isinstance(p, Callable) else re.search(p, variable.path) for p in patterns or ())


def is_kernel(variable):
    """Whether the variable is a linear map: of rank 2 or more, no bias, no gain and not depthwise.

    The biases (heads, head size) of attention layers are the reason for asking the name: they have rank 2.
    """
    name, layer = _name(variable).lower(), _layer(variable).rpartition("/")[2].lower()
    return len(variable.shape) > 1 and not _GAINS.search(name) and "depthwise" not in (name + layer)


def find_head(variables, matrices):
    """The path of the model's output kernel, or `None`.

    Keras lists variables in the order of the layers, so it is the last matrix, unless another layer's variables
    follow it (as the last norm's do where the output layer is the embedding table again) or there is no matrix
    before it.

    Args:
        variables: the model's trainable variables.
        matrices: those that can be read as matrices and are no embeddings.
    """
    if len(matrices) < 2 or _layer(matrices[-1]) != _layer(variables[-1]):
        return None
    return matrices[-1].path


def _name(variable):
    return variable.path.rpartition("/")[2]


def _layer(variable):
    return variable.path.rpartition("/")[0]
