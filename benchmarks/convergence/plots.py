"""A plot for each task: the way there, and how much the learning rate matters."""

import numpy as np

from convergence.contenders import BASELINE

# Colours that colour-blind readers tell apart (Okabe and Ito's); all others are grey.
COLORS = {
    BASELINE: "black",
    "SGD, Nesterov": "#999933",
    "Lion": "#CC79A7",
    "ScheduleFreeAdamW": "#009E73",
    "Prodigy": "#56B4E9",
    "Shampoo": "#E69F00",
    "SOAP": "#D55E00",
    "Muon": "#0072B2",
}


def plot(name, results, path):
    """Median test value along the full runs, and the validation value of each trial over its learning rate."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (way, rates) = pyplot.subplots(1, 2, figsize=(11, 4.4), sharey=True, layout="constrained")
    for optimizer in sorted(results, key=lambda o: list(COLORS).index(o) if o in COLORS else len(COLORS)):
        result, color = results[optimizer], COLORS.get(optimizer, "lightgrey")
        style = {"color": color, "linewidth": 1.6, "zorder": 3, "label": optimizer}
        if optimizer not in COLORS:
            style |= {"linewidth": 0.8, "zorder": 1, "label": "_"}
        curves = np.array(result["curves"], float)
        way.plot(places(result), np.median(curves, axis=0), **style)
        if optimizer == BASELINE:
            way.fill_between(places(result), *np.quantile(curves, [0, 1], axis=0), color=color, alpha=0.12, linewidth=0)
        trials = np.array([[trial["learning_rate"], trial["value"]] for trial in result["trials"]], float)
        rates.plot(trials[:, 0] / result["default_learning_rate"], trials[:, 1], marker=".", **style)
    base = results[BASELINE]
    ends = [r["final"] for r in results.values()] + [t["value"] for r in results.values() for t in r["trials"]]
    bottom = max(min(end for end in ends if end is not None), base["final"] / 1e3)
    top = np.median([curve[0] for curve in base["curves"]])
    if top > 5 * bottom:
        way.set(yscale="log", ylim=(bottom / 1.3, 1.3 * top))
    else:
        margin = 0.06 * (top - bottom)
        way.set(ylim=(bottom - margin, top + margin))
    way.set(xlabel="step", xlim=(0, base["steps"]))
    way.set_title(f"{name}: {base['measure']} along the run, test", loc="left", fontsize=10)
    rates.set(xlabel="learning rate / its default", xscale="log")
    rates.set_title("at the end of each trial, validation", loc="left", fontsize=10)
    for axes in (way, rates):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.5)
    way.plot([], [], color="lightgrey", linewidth=0.8, label="the others")
    way.axhline(base["final"], color="black", linewidth=0.8, linestyle=":", zorder=2, label="target")
    figure.legend(*way.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=9)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def places(result):
    """The steps at which the curves were taken."""
    points = len(result["curves"][0])
    return result["steps"] * np.arange(1, points + 1) / points
