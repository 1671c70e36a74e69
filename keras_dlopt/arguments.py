"""Checks of what a user passes: one wording for every error."""

import math
import numbers


def invalid(where, name, value, accepted):
    """The error every bad argument raises: where, which argument, what is accepted, what came.

    Example:

    >>> invalid("Adam", "beta_1", 1.5, "a number in [0, 1)")
    ValueError('`Adam(beta_1=...)` must be a number in [0, 1). Received: beta_1=1.5')
    """
    return ValueError(f"`{where}({name}=...)` must be {accepted}. Received: {name}={value!r}")


def check_number(where, name, value, low=-math.inf, high=math.inf, ends="[]", integer=False):
    """Returns `value` if it is a finite number between `low` and `high`, else raises `ValueError`.

    Args:
        where: name of what the user called, for the message.
        name: name of the argument.
        value: what the user passed. Booleans are not numbers here.
        low, high: the range.
        ends: which ends belong to it, in interval notation: "[]", "[)", "(]" or "()".
        integer: whether only whole numbers are accepted.

    Example:

    >>> check_number("Prune", "sparsity", 0.8, 0, 1, "[)")
    0.8
    """
    kind = numbers.Integral if integer else numbers.Real
    inside = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    if inside:
        above = value >= low if ends[0] == "[" else value > low
        below = value <= high if ends[1] == "]" else value < high
        inside = above and below
    if not inside:
        noun = "a whole number" if integer else "a finite number"
        raise invalid(where, name, value, noun + _range_text(low, high, ends))
    return value


def _range_text(low, high, ends):
    if low == -math.inf and high == math.inf:
        return ""
    if high == math.inf:
        return f" {'>=' if ends[0] == '[' else '>'} {low}"
    if low == -math.inf:
        return f" {'<=' if ends[1] == ']' else '<'} {high}"
    return f" in {ends[0]}{low}, {high}{ends[1]}"


def check_choice(where, name, value, choices):
    """Returns `value` if it is one of `choices`, else raises `ValueError` listing them."""
    if value not in choices:
        raise invalid(where, name, value, "one of " + ", ".join(repr(c) for c in choices))
    return value


def check_length(where, name, value, least=1):
    """Returns `value` if it is a part of a run: a share in (0, 1), or a whole number of steps >= `least`.

    Example:

    >>> check_length("Prune", "end", 0.5), check_length("Prune", "end", 500)
    (0.5, 500)
    """
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        if 0 < value < 1:
            return float(value)
        if isinstance(value, numbers.Integral) and value >= least:
            return int(value)
    raise invalid(where, name, value, f"a share of the run in (0, 1), or a whole number of steps >= {least}")


def check_lengths(where, name, values):
    """Returns `values`, at least one, if each is what `check_length` accepts.

    Example:

    >>> check_lengths("ProgressiveResizing", "sizes", (0.5, 24))
    [0.5, 24]
    """
    if not isinstance(values, list | tuple) or not values:
        raise invalid(where, name, values, "a list of shares in (0, 1) or whole numbers")
    return [check_length(where, name, value) for value in values]


def in_steps(length, run):
    """What `check_length` accepted, in steps of a run of `run` steps: a share is rounded to the nearest step."""
    return math.floor(length * run + 0.5) if 0 < length < 1 else length
