"""The protocol: what is measured for one optimizer on one task."""

import statistics

import numpy as np

from convergence.training import rates

POINTS = 20  # places in a run at which its value is taken; lengths of shorter runs are multiples of a 20th
DECADES = 4  # of learning rates, with the default in the middle
FEW = 3  # seeds where five would cost more than they tell: at the defaults, and for shorter runs
FIRST_SEED = 100  # trials have seed 0


def candidates(default, budget):
    """Learning rates, log-uniform around the default: one at random in each of `budget` equal intervals."""
    places = (np.arange(budget) + np.random.default_rng(0).random(budget)) / budget - 0.5
    return (default * 10 ** (DECADES * places)).tolist()


def measure(runs, scheduled, default, seeds, target=None):
    """Searches the learning rate, trains with the best from fresh seeds, and looks for the way to the target.

    Args:
        runs: `Runs` of the task with the optimizer.
        scheduled: whether the learning rate follows the schedule.
        default: the optimizer's default learning rate.
        seeds: number of fresh seeds.
        target: the value to reach; `None` for the baseline, whose median it is.

    Returns:
        A dictionary for JSON: no infinity but `None`.
    """
    steps = runs.task.steps
    fresh = range(FIRST_SEED, FIRST_SEED + seeds)

    def train(seed, rate, split, steps=steps, scheduled=scheduled, points=1):
        return runs.train(seed, rates(rate, steps, scheduled), split, points)

    tried = candidates(default, runs.task.trials)
    trials = [train(0, rate, "validation")[-1] for rate in tried]
    best = tried[int(np.argmin(trials))]
    curves = [train(seed, best, "test", points=POINTS) for seed in fresh]
    final = statistics.median(curve[-1] for curve in curves)
    result = {
        "steps": steps,
        "scheduled": scheduled,
        "trials": [{"learning_rate": r, "value": v} for r, v in zip(tried, trials, strict=True)],
        "learning_rate": best,
        "curves": curves,
        "final": final,
        "default_learning_rate": default,
        "defaults": [train(seed, default, "test", scheduled=False)[-1] for seed in fresh[:FEW]],
        "shorter": {},
    }
    if target is None:
        reached = POINTS
    elif not scheduled:
        reached = first_below(target, np.median(curves, axis=0))
    else:

        def ends_below(length):
            short = [train(seed, best, "test", steps=steps * length // POINTS)[-1] for seed in fresh[:FEW]]
            result["shorter"][steps * length // POINTS] = short
            return statistics.median(short) <= target

        reached = shortest(ends_below, POINTS) if final <= target else None
    result["steps_to_target"] = reached and reached * steps // POINTS
    return finite(result)


def first_below(target, curve):
    """Number of the first point of `curve` at or below `target`, 1 first; `None` if there is none."""
    below = np.flatnonzero(np.asarray(curve) <= target)
    return int(below[0]) + 1 if len(below) else None


def shortest(enough, longest):
    """The smallest of 1 ... `longest` that is `enough`, by bisection; `longest` is."""
    low, high = 0, longest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def finite(result):
    """`result` with five significant digits, and `None` for what is infinite."""
    if isinstance(result, dict):
        return {key: finite(value) for key, value in result.items()}
    if isinstance(result, list):
        return [finite(value) for value in result]
    if isinstance(result, float):
        return float(f"{result:.5g}") if np.isfinite(result) else None
    return result
