"""The report's plots: SVG text whose colours are the page's CSS variables, so that they follow light and dark."""

import io
import math
import re
import statistics

from keras_dlopt.demo.summary import mean

# matplotlib draws with these stand-ins; afterwards each becomes `var(--name)`.
INK, FAINT, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
RUNG_COLORS = {number: f"#0a0b{number:02x}" for number in range(1, 11)}
VARIABLES = {INK: "ink", FAINT: "faint", GRID: "grid", PAPER: "paper"}
VARIABLES |= {color: f"rung{number}" for number, color in RUNG_COLORS.items()}


def accuracy_over_epochs(report):
    """Validation accuracy of every rung, mean over the seeds, band from worst to best."""
    figure, axes = _figure(8.0, 4.2)
    curves = {
        rung["number"]: [[epoch["val_accuracy"] for epoch in seed["history"]] for seed in rung["seeds"]]
        for rung in _finished(report)
    }
    scale = _Scale(max(value for seeds in curves.values() for seed in seeds for value in seed))
    for rung in _finished(report):
        color = RUNG_COLORS[rung["number"]]
        at_epoch = list(zip(*curves[rung["number"]], strict=True))
        epochs = range(1, len(at_epoch) + 1)
        middle = scale([statistics.fmean(values) for values in at_epoch])
        axes.plot(epochs, middle, color=color, linewidth=1.8, marker="o", markersize=3, label=_name(rung))
        if len(rung["seeds"]) > 1:
            low, high = scale(map(min, at_epoch)), scale(map(max, at_epoch))
            axes.fill_between(epochs, low, high, color=color, alpha=0.12, linewidth=0)
    (target,) = scale([report["task"]["target"]])
    axes.axhline(target, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        f"target {100 * report['task']['target']:g} %", (1.0, target),
        xycoords=("axes fraction", "data"), xytext=(0, 3), textcoords="offset points",
        ha="right", va="bottom", color=FAINT, fontsize=9,
    )  # fmt: skip
    scale.on(axes.yaxis)
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation accuracy")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), frameon=False, labelcolor=INK, fontsize=9)
    return _svg(figure, "epochs")


def ladder(report):
    """Test accuracy of every rung, a bar of the mean and a dot for each seed."""
    finished = _finished(report)
    figure, axes = _figure(8.0, 0.6 + 0.34 * len(finished))
    scale = _Scale(max(seed["accuracy"] for rung in finished for seed in rung["seeds"]))
    for row, rung in enumerate(finished):
        (length,), seeds = scale([mean(rung, "accuracy")]), scale(seed["accuracy"] for seed in rung["seeds"])
        axes.barh(row, length, height=0.62, color=RUNG_COLORS[rung["number"]])
        if len(seeds) > 1:
            axes.plot(seeds, [row] * len(seeds), "o", markersize=4, color=INK, markeredgecolor=PAPER)
        axes.annotate(
            f"{100 * mean(rung, 'accuracy'):.2f} %", (max(length, *seeds, 0), row),
            xytext=(7, 0), textcoords="offset points", va="center", color=INK, fontsize=9,
        )  # fmt: skip
    axes.set_yticks(range(len(finished)), [_name(rung) for rung in finished])
    axes.invert_yaxis()
    scale.on(axes.xaxis)
    axes.set_xlabel(f"test accuracy{scale.note}")
    axes.yaxis.grid(False)
    axes.margins(x=0.08)
    axes.set_xlim(left=0)
    return _svg(figure, "ladder")


def size_and_accuracy(report):
    """Test accuracy over the gzipped size of the LiteRT file, from Adam on."""
    from matplotlib.ticker import LogLocator, NullLocator

    finished = [rung for rung in _finished(report) if rung["number"] >= 5] or _finished(report)
    figure, axes = _figure(8.0, 3.4)
    points = {rung["number"]: (mean(rung, "gzip_bytes") / 1000, mean(rung, "accuracy")) for rung in finished}
    shrinking = [point for number, point in points.items() if number >= 7]
    if shrinking:
        axes.plot(*zip(*shrinking, strict=True), color=GRID, linewidth=1.5, zorder=1)
    for rung in finished:
        point = points[rung["number"]]
        axes.plot(*point, "o", markersize=9, color=RUNG_COLORS[rung["number"]], markeredgecolor=PAPER, zorder=2)
        small = {"xytext": (0, 8), "ha": "center", "va": "bottom"}
        large = {"xytext": (9, 0), "ha": "left", "va": "center"}
        place = small if rung["number"] >= 8 else large
        axes.annotate(_name(rung), point, textcoords="offset points", color=INK, fontsize=9, **place)
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.2)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    axes.set_xlabel("gzipped LiteRT file, kB (log scale)")
    axes.set_ylabel("test accuracy")
    return _svg(figure, "size")


class _Scale:
    """Where accuracies stand on an axis: by the logarithm of the errors once some are high, else linear.

    Then 90 % to 99 % is as far as 0 % to 90 %; from 98 % to 99 %, where half of the errors go, is as far as from 0 % to
    50 %. Both begin with 0 at an accuracy of 0.
    """

    def __init__(self, highest):
        self.by_errors = highest > 0.7
        marks = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998) if self.by_errors else [n / 10 for n in range(8)]
        self.marks = [mark for mark in marks if mark <= highest + 0.3 * (1 - highest)]
        self.note = ", on a scale of errors: 90 % to 99 % is as far as 0 % to 90 %" if self.by_errors else ""

    def __call__(self, accuracies):
        return [-math.log10(max(1 - a, 5e-4)) if self.by_errors else a for a in accuracies]

    def on(self, axis):
        axis.set_ticks(self(self.marks), [f"{100 * mark:g} %" for mark in self.marks])


def _finished(report):
    return [rung for rung in report["rungs"] if rung["seeds"]]


def _name(rung):
    return f"{rung['number']} {rung['title']}"


def _figure(width, height):
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=FAINT, labelcolor=INK, length=0, labelsize=9)
    axes.xaxis.label.set_color(FAINT)
    axes.yaxis.label.set_color(FAINT)
    return figure, axes


def _svg(figure, name):
    import matplotlib

    text = io.StringIO()
    # Text stays text, in the page's font; ids differ between the plots of one page.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return re.sub("|".join(VARIABLES), lambda found: f"var(--{VARIABLES[found[0]]})", svg)
