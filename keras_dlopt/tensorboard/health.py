"""What looks wrong in a run, from its records: the cards of the tab's first screen."""

import dataclasses

import numpy as np

LATEST = 5  # records whose median says how things are now


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that looks wrong.

    Attributes:
        rule: a short name.
        level: "red" or "amber".
        title: what it is.
        advice: what it may come from.
        stat: the statistic that shows it.
        variables: positions of the variables, the worst first.
        values: what was found of each.
        step: the first or the last update that shows it.
    """

    rule: str
    level: str
    title: str
    advice: str
    stat: str
    variables: list
    values: list
    step: int


def findings(steps, stat):
    """All findings, red ones first.

    Args:
        steps: the recorded updates.
        stat: name -> array (records, variables), or `None` where it is not recorded.
    """
    found = []
    if not len(steps):
        return found

    def add(rule, level, title, advice, name, bad, values, step=None, worst_first=-1):
        (places,) = np.nonzero(bad)
        if len(places):
            places = places[np.argsort(worst_first * values[places], kind="stable")]
            step = int(steps[-1] if step is None else step)
            found.append(
                Finding(rule, level, title, advice, name, places.tolist(), [float(values[i]) for i in places], step)
            )

    nonfinite = stat("gradient_nonfinite")
    if nonfinite is not None:
        broken = np.nan_to_num(nonfinite) > 0
        if broken.any():
            first = int(np.argmax(broken.any(1)))
            advice = "Lower the learning rate, clip gradients, or look for a division or logarithm of 0 in the loss."
            title = "NaN or infinite gradients"
            shares = np.nan_to_num(nonfinite).max(0)
            add("nonfinite", "red", title, advice, "gradient_nonfinite", shares > 0, shares, steps[first])

    def latest(name):
        values = stat(name)
        if values is None:
            return None
        with np.errstate(invalid="ignore"):
            return np.median(values[-LATEST:], axis=0)

    norm = latest("gradient_norm")
    if norm is not None:
        advice = "Nothing reaches these weights: dead units, a cut graph, or a saturated activation."
        add("dead", "red", "Dead gradients", advice, "gradient_norm", norm == 0, norm)
    zeros = latest("gradient_zeros")
    if zeros is not None and norm is not None:
        advice = "Rare rows of an embedding, or many dead units."
        sparse = (zeros > 0.99) & (norm > 0)
        add("sparse", "amber", "More than 99 % of the gradient is zero", advice, "gradient_zeros", sparse, zeros)
    for name, what in (("weight_norm", "weights"), ("gradient_norm", "gradients")):
        values = stat(name)
        if values is not None and len(steps) > 2 * LATEST:
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                growth = np.median(values[-LATEST:], axis=0) / np.median(values[:LATEST], axis=0)
            growing = np.isfinite(growth) & (growth > (10 if what == "weights" else 100))
            advice = "Lower the learning rate, add weight decay, or clip gradients."
            add("exploding", "red", f"Exploding norm of the {what}", advice, name, growing, growth)
    ratio = latest("ratio")
    if ratio is not None:
        high, low = ratio > -1, (ratio < -5) & np.isfinite(ratio)
        advice = "Each update moves these weights by more than a tenth: the learning rate is too high for them."
        add("fast", "amber", "Updates too large for the weights", advice, "ratio", high & np.isfinite(ratio), ratio)
        advice = "These weights hardly learn: the learning rate is too low for them, or they are done."
        add("slow", "amber", "Updates too small for the weights", advice, "ratio", low, ratio, worst_first=1)
    v = latest("v_mean")
    if v is not None:
        advice = "Below the square of the usual epsilon, 1e-7, epsilon decides the step, not the gradient's history."
        add("small_v", "amber", "v near 0", advice, "v_mean", v < 1e-14, v, worst_first=1)
    return sorted(found, key=lambda finding: finding.level != "red")
