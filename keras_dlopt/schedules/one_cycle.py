"""One cycle: up, and further down than it began."""

from keras import ops

from keras_dlopt.schedules.curves import cosine
from keras_dlopt.schedules.schedule import Factor, Length, Rate, Schedule, Steps


class OneCycle(Schedule):
    r"""Half a cosine wave up to the peak, another down to far below the start.

    With $w$ warm-up steps out of $T$, the rate goes

    $$\eta_\text{peak} / \text{div} \;\longrightarrow\; \eta_\text{peak} \;\longrightarrow\;
    \eta_\text{peak} / (\text{div} \cdot \text{final\_div})$$

    reaching the peak at step $w - 1$ and the end at step $T - 1$, the last one of the run, as in
    `torch.optim.lr_scheduler.OneCycleLR`. Momentum is left alone.

    Args:
        peak: the highest learning rate, > 0.
        steps: length T of the run in steps.
        warmup: length w of the way up: a share of the run in (0, 1), or a number of steps.
        div: the run begins at `peak / div`, >= 1.
        final_div: the run ends at `peak / div / final_div`, >= 1.

    Source: Super-Convergence, arXiv 1708.07120.

    Example:

    >>> schedule = OneCycle(0.5, steps=100, warmup=0.3)
    >>> [round(float(schedule(t)), 6) for t in (0, 29, 64, 99)]
    [0.02, 0.5, 0.250001, 2e-06]
    """

    peak: Rate
    steps: Steps
    warmup: Length = 0.3
    div: Factor = 25.0
    final_div: Factor = 1e4

    def rate(self, t):
        first = self.peak / self.div
        top, end = self.in_steps(self.warmup) - 1, self.steps - 1
        up = cosine(t, 0, top, first, self.peak)
        down = cosine(t, top, end, self.peak, first / self.final_div)
        return ops.where(t < top, up, down)
