"""How batch and learning rate grow with the number of replicas."""

import math
import typing

from keras_dlopt import schedules
from keras_dlopt.arguments import check_choice, check_length, check_number, in_steps, invalid
from keras_dlopt.distribute import plan

RULES = {
    "linear": (lambda n: n, "arXiv 1706.02677"),
    "sqrt": (math.sqrt, "arXiv 1404.5997"),
    "none": (lambda n: 1, "the rate of one replica"),
}


class Scaled(typing.NamedTuple):
    """The global batch, and the learning rate that goes with it: a number, or a schedule with the warm-up."""

    batch: int
    learning_rate: object


def scale(batch, learning_rate, rule="linear", warmup=None, steps=None):
    r"""Global batch and learning rate for all replicas, from those that are right for one; prints them.

    With $n$ replicas the batch becomes $n B$ and the rate $\eta\,n$ ("linear") or $\eta\sqrt n$ ("sqrt"). Linear
    scaling is for SGD with momentum and needs a warm-up; the square root keeps the noise of the step's size, and is
    the usual choice for Adam and its kin. With a warm-up the rate rises in a line from $\eta$.

    Args:
        batch: samples a replica and step, >= 1.
        learning_rate: rate that is right for one replica, > 0.
        rule: "linear", "sqrt" or "none".
        warmup: length of the warm-up, a share of the run in (0, 1) or a number of steps; `None` for none.
        steps: length of the run in steps; needed where `warmup` is a share.

    Returns:
        `Scaled(batch, learning_rate)`, to be unpacked. One replica changes nothing.

    Source: Goyal et al., arXiv 1706.02677 (linear, gradual warm-up); Krizhevsky, arXiv 1404.5997 (square root).

    Example:

    >>> from keras_dlopt import distribute
    >>> _ = distribute.strategy("cpu")
    >>> batch, rate = distribute.scale(64, 0.1)
    scale: batch 64 x 1 replica = 64; learning rate 0.1
    """
    check_number("scale", "batch", batch, 1, integer=True)
    check_number("scale", "learning_rate", learning_rate, 0, ends="()")
    check_choice("scale", "rule", rule, RULES)
    if warmup is not None:
        check_length("scale", "warmup", warmup)
        if warmup < 1 and steps is None:
            raise invalid("scale", "steps", steps, "given where `warmup` is a share of the run")
    if steps is not None:
        check_number("scale", "steps", steps, 1, integer=True)
    made = plan.needed("scale(...)")
    grow, source = RULES[rule]
    factor = grow(made.replicas)
    rate = learning_rate * factor
    text = f"scale: batch {batch} x {made.replicas} replica{'s' * (made.replicas > 1)} = {batch * made.replicas}; "
    text += f"learning rate {learning_rate:g}"
    scaled = rate
    if made.replicas > 1:
        text += f" x {factor:.4g} ({rule}, {source}) = {rate:.4g}"
    if factor > 1 and warmup is not None:
        length = in_steps(warmup, steps)
        scaled = schedules.Warmup(schedules.Constant(rate), steps, warmup=length, start=1 / factor)
        text += f", after a warm-up of {length} steps from {learning_rate:g}"
    elif factor > 1 and rule == "linear":
        text += "; a warm-up is advised: scale(warmup=...)"
    if made.index == 0:
        print(text)
    made.note("batch", str(batch * made.replicas), f"{batch} for each of {made.replicas}", "scale(batch, ...)")
    made.note(
        "learning rate", f"{rate:.4g}", f"{learning_rate:g} for one replica, {rule}", "scale(rule=..., warmup=...)"
    )
    return Scaled(batch * made.replicas, scaled)
