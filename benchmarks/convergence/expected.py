"""What was expected before the first run, against what came out."""

import math
import statistics

from convergence.contenders import BASELINE


def median(values):
    """The median of values that are `None` where they are infinite."""
    return statistics.median(math.inf if value is None else value for value in values)


def ratio(value, base):
    """`value / base`, infinite for `None`."""
    return math.inf if value is None else value / base


def finals(result):
    """The final values of the fresh seeds."""
    return [curve[-1] for curve in result["curves"]]


def share_of_steps(task, optimizer, most):
    """Whether `optimizer` needs at most that share of the baseline's steps on `task`."""

    def judge(results):
        share = ratio(results[task][optimizer]["steps_to_target"], results[task][BASELINE]["steps"])
        return f"{share:.2f}", share <= most

    return f"{optimizer} needs at most {most}x tuned AdamW's steps on {task}", [(task, optimizer)], judge


def within(optimizer, task, most, at_defaults=False):
    """Whether the final value of `optimizer` is at most that much above the tuned baseline's."""
    how = ", at its defaults," if at_defaults else ""

    def judge(results):
        result = results[task][optimizer]
        value = median(result["defaults"]) if at_defaults else result["final"]
        base = results[task][BASELINE]
        excess = ratio(value, base["final"]) - 1
        spread = (max(finals(base)) - min(finals(base))) / base["final"]
        return f"{excess:+.1%}; AdamW's seeds spread over {spread:.1%}", excess <= most

    claim = f"{optimizer}{how} ends at most {most:.0%} above tuned AdamW on {task}"
    return claim, [(task, optimizer)], judge


def within_noise(optimizer, task):
    """Whether the final values of `optimizer` differ less from the baseline's than seeds do."""

    def judge(results):
        own, base = (finals(results[task][name]) for name in (optimizer, BASELINE))
        difference = median(own) - median(base)
        spread = max(base) - min(base)
        return f"{difference:+.2g}, spread {spread:.2g}", abs(difference) <= spread

    claim = f"{optimizer} differs from AdamW less on {task} than AdamW's seeds among themselves"
    return claim, [(task, optimizer)], judge


EXPECTED = [
    share_of_steps("transformer", "Muon", 0.6),
    share_of_steps("transformer", "SOAP", 0.6),
    share_of_steps("matrix", "Muon", 0.75),
    share_of_steps("matrix", "SOAP", 0.75),
    *(
        within("ScheduleFreeAdamW", task, 0.01)
        for task in ("convolutional", "autoencoder", "embeddings", "transformer")
    ),
    *(within("Prodigy", task, 0.05, True) for task in ("convolutional", "autoencoder", "embeddings", "transformer")),
    *(within_noise("AdamW, int8 state", task) for task in ("matrix", "embeddings", "transformer")),
]


def expectations(results):
    """Rows (claim, found, whether it held) of what has been measured."""
    return [
        (claim, *judge(results))
        for claim, needs, judge in EXPECTED
        if all(name in results.get(task, {}) for task, name in [*needs, *((task, BASELINE) for task, _ in needs)])
    ]
