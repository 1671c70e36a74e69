"""The tab's pictures as files, for papers and notebooks."""

import os

import numpy as np

from keras_dlopt.arguments import check_choice, invalid
from keras_dlopt.extras import require
from keras_dlopt.tensorboard.format import OCTAVES_A_BIN, bin_edges
from keras_dlopt.tensorboard.records import Run

# Shown as they are; all other statistics span orders of magnitude.
_LINEAR = ("ratio", "gradient_zeros", "gradient_nonfinite", "weight_zeros", "mask_changes")
# Okabe and Ito's colours, as in the tab.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f", "#8a5a00")


def plot(run, path, kind="map", stat="ratio", variable=None, of="gradient", other=None):
    """Saves one of the tab's pictures.

    Args:
        run: a `Run` of `read`.
        path: file to write; its ending says the format: ".png", ".pdf", ".svg".
        kind: "map", a statistic of all variables over the steps; "lines", the same of one variable, with `other` as a
            second line; "distribution", the magnitudes of one variable over the steps; "difference", a map of `run`
            minus `other`, of logarithms where the statistic spans orders of magnitude.
        stat: the statistic, one of `run.stats`.
        variable: path of the variable, for "lines" and "distribution". Defaults to the first one.
        of: what "distribution" is of, one of `run.layout.histograms`.
        other: another `Run`, for "difference" and "lines".

    Raises:
        ValueError: if there is no such kind, statistic or variable, the variable has nothing that "distribution" is of,
            or "difference" has nothing to compare.

    Example:

    >>> import keras, numpy as np, tempfile
    >>> from keras_dlopt import callbacks, tensorboard
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="out")], name="net")
    >>> model.compile("adam", "mse")
    >>> logdir = tempfile.mkdtemp()
    >>> recorder = callbacks.RecordOptimizer(logdir, every=2)
    >>> _ = model.fit(np.ones((8, 2)), np.ones((8, 1)), batch_size=1, callbacks=[recorder], verbose=0)
    >>> tensorboard.plot(tensorboard.read(logdir)["."], f"{logdir}/map.png", stat="gradient_norm")
    """
    kinds = {"map": _map, "lines": _lines, "distribution": _distribution, "difference": _difference}
    check_choice("plot", "kind", kind, kinds)
    if not isinstance(run, Run):
        raise invalid("plot", "run", run, "a `Run` of `keras_dlopt.tensorboard.read`")
    if not isinstance(other, Run) and (other is not None or kind == "difference"):
        raise invalid("plot", "other", other, "another `Run`")
    check_choice("plot", "stat", stat, run.stats)
    variable = run.variables[0] if variable is None else check_choice("plot", "variable", variable, run.variables)
    require("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained", dpi=150)
    kinds[kind](figure, figure.subplots(), run, stat, variable, of, other)
    figure.savefig(os.fspath(path))


def _is_linear(stat):
    return stat in _LINEAR or (stat.endswith("_mean") and stat != "v_mean")


def _values(run, stat):
    """The statistic (records, variables), as its logarithm if it spans orders of magnitude, and what that is called."""
    if _is_linear(stat):
        return run.stat(stat), "log10(update / weight)" if stat == "ratio" else stat
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(run.stat(stat)), f"log10({stat})"


def _image(figure, axes, values, rows, steps, label, **colours):
    values = np.where(np.isfinite(values), values, np.nan)
    image = axes.imshow(values.T, aspect="auto", interpolation="nearest", **colours)
    places = np.unique(np.linspace(0, len(steps) - 1, min(7, len(steps))).astype(int))
    axes.set_xticks(places, [f"{steps[i]:,}" for i in places])
    shown = range(0, len(rows), -(-len(rows) // 30))
    axes.set_yticks(shown, [rows[i] for i in shown], fontsize=7)
    axes.set_xlabel("step")
    figure.colorbar(image, ax=axes, label=label)


def _map(figure, axes, run, stat, variable, of, other):
    values, label = _values(run, stat)
    _image(figure, axes, values, run.variables, run.steps, label, cmap="cividis")


def _lines(figure, axes, run, stat, variable, of, other):
    for each, colour in zip([run] if other is None else [run, other], _COLOURS, strict=False):
        check_choice("plot", "variable", variable, each.variables)
        axes.plot(each.steps, each.stat(stat)[:, each.variables.index(variable)], color=colour, label=each.name)
    axes.set_yscale("linear" if _is_linear(stat) else "log")
    if stat == "ratio":
        axes.axhline(-3, color="0.5", linestyle="--", linewidth=1)
    axes.set(xlabel="step", ylabel="log10(update / weight)" if stat == "ratio" else stat, title=variable)
    axes.legend(frameon=False)


def _distribution(figure, axes, run, stat, variable, of, other):
    shares = run.histogram(of)
    having = [name for name, some in zip(run.variables, shares.any((0, 2)), strict=True) if some]
    check_choice("plot", "variable", variable, having)
    shares = shares[:, run.variables.index(variable)]
    (used,) = np.nonzero(shares.sum(0))
    rows = np.arange(used[-1], used[0] - 1, -1)
    exponents = np.log2(np.maximum(bin_edges(of), 1e-300)).round().astype(int)
    names = ["0", f"< 2^{exponents[1]}", *(f"2^{e}" for e in exponents[1:-1]), "not finite"]
    values = np.where(shares > 0, shares, np.nan)[:, rows]
    _image(figure, axes, values, [names[i] for i in rows], run.steps, "share of elements", cmap="cividis")
    width = "1 octave" if OCTAVES_A_BIN[of] == 1 else "2 octaves"
    axes.set(title=f"{of} of {variable}", ylabel=f"magnitude, from ({width} a bin)")


def _difference(figure, axes, run, stat, variable, of, other):
    check_choice("plot", "stat", stat, other.stats)
    steps, mine, theirs = np.intersect1d(run.steps, other.steps, return_indices=True)
    names = [name for name in run.variables if name in other.variables]
    if not len(steps) or not names:
        raise invalid("plot", "other", other, "a run with steps and variables that the first one has, too")
    a, b = (_values(each, stat)[0] for each in (run, other))
    a = a[mine][:, [run.variables.index(name) for name in names]]
    b = b[theirs][:, [other.variables.index(name) for name in names]]
    with np.errstate(invalid="ignore"):
        difference = a - b
    most = np.quantile(np.abs(difference[np.isfinite(difference)]), 0.99) if np.isfinite(difference).any() else 1.0
    label = f"{_values(run, stat)[1]}: {run.name} - {other.name}"
    _image(figure, axes, difference, names, steps, label, cmap="PuOr_r", vmin=-most, vmax=most)
