"""How sparse at which step: plans of a run, and how many weights a share is."""

import dataclasses

import numpy as np
from keras import ops

from keras_dlopt.arguments import invalid

# What a run that asked for a sparsity may miss it by.
TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Plan:
    """When masks are chosen anew, and how sparse: after `steps[i]` optimizer steps, `sparsities[i]` of the weights."""

    steps: np.ndarray
    sparsities: np.ndarray

    @property
    def final(self):
        """The sparsity after the last update."""
        return float(self.sparsities[-1]) if len(self.sparsities) else 0.0


def cubic_sparsity(step, final, begin, end, initial=0.0):
    r"""Sparsity that rises fast while there is much to spare, and slowly at the end.

    `final + (initial - final) * (1 - (step - begin) / (end - begin))**3`, held before `begin` and after `end`.

    Reference:
        Zhu, Gupta, "To prune, or not to prune", arXiv 1710.01878.

    Example:

    >>> cubic_sparsity(np.array([0, 5, 10, 20]), final=0.8, begin=0, end=10).round(3).tolist()
    [0.0, 0.7, 0.8, 0.8]
    """
    left = 1.0 - np.clip((np.asarray(step) - begin) / max(end - begin, 1), 0.0, 1.0)
    return final + (initial - final) * left**3


def cubic_plan(final, begin, end, frequency, initial=0.0):
    """Updates every `frequency` steps after `begin`, on the cubic, the last one at `end` itself."""
    steps = np.append(np.arange(begin + frequency, end, frequency), end)
    return Plan(steps, cubic_sparsity(steps, final, begin, end, initial))


def schedule_plan(schedule, steps):
    """What a schedule of tfmot's kind does in a run of `steps` steps.

    Args:
        schedule: a callable that maps a step to `(whether to update the masks, sparsity)`, like tfmot's
            `PolynomialDecay` and `ConstantSparsity`.
        steps: length of the run.

    Raises:
        ValueError: if the run would end short of the sparsity that the schedule goes to.
    """
    due, sparsities = _ask(schedule, np.arange(steps + 1))
    plan = Plan(np.flatnonzero(due), sparsities[due])
    goal = float(_ask(schedule, np.array([2**31 - 1]))[1][0])
    if not len(plan.steps) or abs(plan.final - goal) > TOLERANCE:
        when = f"the last update is at step {plan.steps[-1]}" if len(plan.steps) else "there is no update"
        raise invalid(
            "Prune",
            "sparsity",
            schedule,
            f"a schedule that reaches its {goal:g} within the run's {steps} steps; {when} and leaves {plan.final:g} "
            "(set its end_step within the run, and its frequency so that an update falls on end_step)",
        )
    return plan


def _ask(schedule, steps):
    # tfmot's schedules compute with TensorFlow, element by element: the whole run is one call.
    due, sparsities = schedule(steps)
    return tuple(np.broadcast_to(np.asarray(answer), steps.shape) for answer in (due, sparsities))


def kept_counts(sizes, sparsity):
    """How many of `sizes[i]` to keep: each share within one of `1 - sparsity`, their sum as near as can be.

    Rounding every size by itself would miss the sum by half of one each; here those with the largest fractions are
    rounded up. At least one of each is kept.

    Example:

    >>> kept_counts([3, 3, 3, 3], 0.5)
    array([2, 2, 1, 1])
    """
    sizes = np.asarray(sizes, "int64")
    exact = (1.0 - sparsity) * sizes
    kept = np.maximum(np.floor(exact + 1e-9), 1).astype("int64")
    missing = int(np.floor((1.0 - sparsity) * sizes.sum() + 0.5)) - int(kept.sum())
    if missing > 0:
        kept[np.argsort(kept - exact, kind="stable")[:missing]] += 1
    for _ in range(-missing):  # more than their share went to those that keep their only one
        largest = np.argmax(kept)
        kept[largest] = max(kept[largest] - 1, 1)
    return kept


def sparsity_of(weights):
    """Share of zeros in a list of weights."""
    arrays = [values_of(weight) for weight in weights]
    return sum(int(np.sum(array == 0)) for array in arrays) / sum(array.size for array in arrays)


def values_of(weight):
    """The values of a weight; ones, if it is made in a step that TensorFlow traces just now, and gets them later."""
    array = ops.convert_to_numpy(weight)
    return array if array.size else np.ones(weight.shape)
