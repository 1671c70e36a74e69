"""The protocol: what is measured for one optimizer on one task."""

import statistics

import numpy as np

from convergence.training import rates

POINTS = 20  # places in a run at which its value is taken; lengths of shorter runs are multiples of a 20th
DECADES = (-1, 3)  # of learning rates, from the default: small tasks take larger ones than defaults are made for
FEW = 3  # seeds where five would cost more than they tell: at the defaults, and for shorter runs
FIRST_SEED = 100  # trials have seeds 0 to 2


def candidates(low, high, count, generator):
    """Log-uniform learning rates: a grid of `count` in [low, high), shifted at random as a whole."""
    places = (np.arange(count) + generator.random()) / count
    return (low * (high / low) ** places).tolist()


def search(value, default, trials, finalists):
    """Random search for the learning rate: half of it over four decades, half around the best of the first.

    Args:
        value: (learning rate, seed) -> what is to be small.
        default: the optimizer's default.
        trials: how many rates may be tried.
        finalists: how many of the best are tried with two more seeds; the lowest median wins.

    Returns:
        The pairs (learning rate, value) in the order of the rates, and the best rate.
    """
    generator = np.random.default_rng(0)
    first = trials // 2
    low, high = (default * 10**decades for decades in DECADES)
    half_gap = (high / low) ** (0.5 / first)
    tried = {rate: value(rate, 0) for rate in candidates(low, high, first, generator)}
    best = min(tried, key=tried.get)
    tried |= {rate: value(rate, 0) for rate in candidates(best / half_gap, best * half_gap, trials - first, generator)}
    last = sorted(tried, key=tried.get)[:finalists]
    if finalists > 1:
        tried |= {rate: statistics.median([tried[rate], value(rate, 1), value(rate, 2)]) for rate in last}
    return sorted(tried.items()), min(last, key=tried.get)


def measure(runs, schedule, default, seeds, target=None):
    """Searches the learning rate, trains with the best from fresh seeds, and looks for the way to the target.

    Args:
        runs: `Runs` of the task with the optimizer.
        schedule: what the learning rate follows, see `rates`.
        default: the optimizer's default learning rate.
        seeds: number of fresh seeds.
        target: the value to reach; `None` for the baseline, whose median it is.

    Returns:
        A dictionary for JSON: no infinity but `None`.
    """
    steps = runs.task.steps
    fresh = range(FIRST_SEED, FIRST_SEED + seeds)

    def train(seed, rate, split, steps=steps, points=1):
        return runs.train(seed, rates(rate, steps, schedule), split, points)

    def value(rate, seed):
        return train(seed, rate, "validation")[-1]

    tried, best = search(value, default, runs.task.trials, runs.task.finalists)
    curves = [train(seed, best, "test", points=POINTS) for seed in fresh]
    final = statistics.median(curve[-1] for curve in curves)
    result = {
        "measure": runs.task.measure,
        "steps": steps,
        "schedule": schedule,
        "trials": [{"learning_rate": rate, "value": value} for rate, value in tried],
        "learning_rate": best,
        "curves": curves,
        "final": final,
        "default_learning_rate": default,
        "defaults": [train(seed, default, "test")[-1] for seed in fresh[:FEW]],
        "shorter": {},
    }
    if target is None:
        reached = POINTS
    elif schedule == "constant":
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
