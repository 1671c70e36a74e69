"""A plot for each task: the way there, and how much the learning rate matters."""

import numpy as np

from convergence.contenders import BASELINE

HIGHLIGHTED = ("SGD, Nesterov", "Lion", "Muon", "SOAP", "Shampoo", "ScheduleFreeAdamW", "Prodigy")


def plot(name, results, path):
    """Median test value along the full runs, and the validation value of each trial over its learning rate."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (way, rates) = pyplot.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    for optimizer, result in results.items():
        style = {"color": "lightgrey", "linewidth": 0.8, "zorder": 1}
        if optimizer == BASELINE:
            style = {"color": "black", "linewidth": 2.2, "zorder": 3, "label": optimizer}
        elif optimizer in HIGHLIGHTED:
            style = {"color": f"C{HIGHLIGHTED.index(optimizer)}", "linewidth": 1.5, "zorder": 2, "label": optimizer}
        curve = np.median(np.array(result["curves"], float), axis=0)
        steps = result["steps"] * np.arange(1, len(curve) + 1) / len(curve)
        way.plot(steps, curve, **style)
        trials = np.array([[trial["learning_rate"], trial["value"]] for trial in result["trials"]], float)
        rates.plot(trials[:, 0] / result["default_learning_rate"], trials[:, 1], marker=".", **style)
    target = results[BASELINE]["final"]
    finals = [result["final"] for result in results.values() if result["final"] is not None]
    start = np.nanmax([curve[0] or np.nan for curve in results[BASELINE]["curves"]])
    way.set(title=name, xlabel="step", ylabel=results[BASELINE]["measure"], yscale="log")
    way.set_ylim(0.9 * max(min(finals), target / 1e3), 1.2 * start)
    way.axhline(target, color="black", linewidth=0.6, linestyle=":")
    rates.set(title="at the end, by learning rate", xlabel="learning rate / default", xscale="log")
    way.legend(fontsize=7)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
