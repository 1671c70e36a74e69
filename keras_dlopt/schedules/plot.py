"""Pictures of schedules."""

import math

import numpy as np

INK, GRID, LINE = "#24292f", "#e3e6ea", "#2166ac"


def draw(schedules, steps, columns=1):
    """One small chart for each schedule.

    Args:
        schedules: title -> schedule; those without `steps` are shown over a run of `steps`.
        steps: how many steps are shown.
        columns: how many charts stand side by side.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    from matplotlib.figure import Figure

    columns = min(columns, len(schedules))
    rows = math.ceil(len(schedules) / columns)
    size = (6.0, 3.2) if len(schedules) == 1 else (2.7 * columns, 1.75 * rows)
    figure = Figure(figsize=size, dpi=144, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.09)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for axes, (title, schedule) in zip(grid.flat, schedules.items(), strict=False):
        _chart(axes, title, schedule.over(steps), steps)
    for axes in grid[-1]:
        axes.set_xlabel("step", fontsize=9, color=INK)
    for axes in figure.axes[len(schedules) :]:
        axes.remove()
    return figure


def _chart(axes, title, schedule, steps):
    # Whole steps, every one of them where they are few enough to be seen.
    t = np.unique(np.linspace(0, steps - 1, min(steps, 4000)).round().astype("int32"))
    rates = np.array(schedule(t))
    axes.plot(t, rates, color=LINE, linewidth=1.6, solid_joinstyle="round")
    axes.fill_between(t, rates, color=LINE, alpha=0.08, linewidth=0)
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.set_xlim(0, steps)
    axes.set_ylim(0, 1.08 * rates.max() or 1.0)
    axes.grid(color=GRID, linewidth=0.6)
    axes.tick_params(labelsize=8, colors=INK, length=0)
    axes.locator_params(axis="y", nbins=4)
    axes.locator_params(axis="x", nbins=5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)
