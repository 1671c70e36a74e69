"""The report's plots: SVG text whose colours are the page's CSS variables, so that they follow light and dark."""

import io
import math
import re

from keras_dlopt.demo.summary import mean

# matplotlib draws with these stand-ins; afterwards each becomes `var(--name)`. One hue for the ten rungs in order
# would hide who is who, so the families have hues of their own.
INK, FAINT, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
RUNG_COLORS = {number: f"#0a0b{number:02x}" for number in range(1, 11)}
VARIABLES = {INK: "ink", FAINT: "faint", GRID: "grid", PAPER: "paper"}
VARIABLES |= {color: f"rung{number}" for number, color in RUNG_COLORS.items()}


def accuracy_over_epochs(report):
    """Validation accuracy of every rung, mean over the seeds, band from worst to best."""
    figure, axes = _figure(7.6, 4.2)
    top = 0.0
    for rung in _finished(report):
        curves = [[epoch["val_accuracy"] for epoch in seed["history"]] for seed in rung["seeds"]]
        epochs = range(1, len(curves[0]) + 1)
        middle = [sum(at) / len(at) for at in zip(*curves, strict=True)]
        top = max(top, *middle)
        color = RUNG_COLORS[rung["number"]]
        label = f"{rung['number']} {rung['title']}"
        axes.plot(epochs, _shown(middle), color=color, linewidth=1.8, label=label)
        if len(curves) > 1:
            low, high = zip(*((min(at), max(at)) for at in zip(*curves, strict=True)), strict=True)
            axes.fill_between(epochs, _shown(low), _shown(high), color=color, alpha=0.12, linewidth=0)
    target = report["task"]["target"]
    axes.axhline(_shown([target])[0], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"target {target:.0%}", (1.0, _shown([target])[0]), xycoords=("axes fraction", "data"), xytext=(4, 0),
        textcoords="offset points", va="center", color=FAINT, fontsize=9,
    )  # fmt: skip
    _accuracy_axis(axes.yaxis, top)
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation accuracy")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper left", bbox_to_anchor=(1.09, 1.02), frameon=False, labelcolor=INK, fontsize=9)
    return _svg(figure, "epochs")


def ladder(report):
    """Test accuracy of every rung, a bar of the mean and a dot for each seed."""
    finished = _finished(report)
    figure, axes = _figure(7.6, 0.6 + 0.34 * len(finished))
    for row, rung in enumerate(finished):
        axes.barh(row, mean(rung, "accuracy"), height=0.62, color=RUNG_COLORS[rung["number"]])
        seeds = [seed["accuracy"] for seed in rung["seeds"]]
        if len(seeds) > 1:
            axes.plot(seeds, [row] * len(seeds), "o", markersize=3.5, color=INK, markeredgecolor=PAPER)
        axes.annotate(
            f"{mean(rung, 'accuracy'):.1%}", (max(seeds), row), xytext=(6, 0), textcoords="offset points",
            va="center", color=INK, fontsize=9,
        )  # fmt: skip
    axes.set_yticks(range(len(finished)), [f"{rung['number']} {rung['title']}" for rung in finished])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("test accuracy")
    axes.yaxis.grid(False)
    return _svg(figure, "ladder")


def size_and_accuracy(report):
    """Test accuracy over the gzipped size of the LiteRT file, from Adam on; what is small and right is top left."""
    finished = [rung for rung in _finished(report) if rung["number"] >= 5] or _finished(report)
    figure, axes = _figure(7.6, 3.4)
    points = [(mean(rung, "gzip_bytes") / 1000, mean(rung, "accuracy"), rung) for rung in finished]
    chain = [(x, y) for x, y, rung in points if rung["number"] >= 7]
    axes.plot(*zip(*chain, strict=True), color=GRID, linewidth=1.5, zorder=1) if chain else None
    for x, y, rung in points:
        axes.plot(x, y, "o", markersize=9, color=RUNG_COLORS[rung["number"]], markeredgecolor=PAPER, zorder=2)
        axes.annotate(
            f"{rung['number']} {rung['title']}", (x, y), xytext=(9, 0), textcoords="offset points", va="center",
            color=INK, fontsize=9,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in "25" else "")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    axes.set_xlabel("gzipped LiteRT file, kB (log scale)")
    axes.set_ylabel("test accuracy")
    return _svg(figure, "size")


def _finished(report):
    return [rung for rung in report["rungs"] if rung["seeds"]]


def _shown(accuracies):
    """An accuracy's place on a logarithmic axis of errors: 90 % to 99 % is as far as 0 % to 90 %."""
    return [-math.log10(max(1 - accuracy, 5e-4)) for accuracy in accuracies]


def _accuracy_axis(axis, top):
    ticks = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999) if top > 0.7 else [n / 10 for n in range(8)]
    shown = [tick for tick in ticks if tick <= top + 0.3 * (1 - top)]
    axis.set_ticks(_shown(shown), [f"{tick:.3g}".join(("", "")) and f"{100 * tick:g} %" for tick in shown])


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
