"""Charts of something over the learning rate."""

from keras_dlopt import atomic
from keras_dlopt.extras import require


def chart(path, ylabel, draw):
    """A figure with the learning rate below, on a logarithmic axis.

    Args:
        path: file to write, .png, .svg or .pdf; `None` writes none.
        ylabel: what is drawn.
        draw: draws it: matplotlib axes -> None.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = require("matplotlib.figure").Figure(figsize=(6.0, 3.4), dpi=144, layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel(ylabel)
    axes.grid(color="#e3e6ea", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    axes.legend(fontsize=8, frameon=False)
    if path is not None:
        suffix = str(path).rpartition(".")[2]
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, format=suffix)
    return figure
