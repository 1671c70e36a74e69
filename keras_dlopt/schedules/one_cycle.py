"""One cycle: up, and further down than it began; for momentum, down and up."""

from keras import ops

from keras_dlopt.schedules.curves import cosine
from keras_dlopt.schedules.schedule import Factor, Length, Rate, Schedule, Share, Steps


class OneCycle(Schedule):
    r"""Half a cosine wave up to the peak, another down to far below the start.

    With $w$ warm-up steps out of $T$, the rate goes

    $$\eta_\text{peak} / \text{div} \;\longrightarrow\; \eta_\text{peak} \;\longrightarrow\;
    \eta_\text{peak} / (\text{div} \cdot \text{final\_div})$$

    reaching the peak at step $w - 1$ and the end at step $T - 1$, the last one of the run, as in
    `torch.optim.lr_scheduler.OneCycleLR`. Momentum is left alone: `OneCycleMomentum` cycles it the other way.

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
    steps: Steps | None = None
    warmup: Length = 0.3
    div: Factor = 25.0
    final_div: Factor = 1e4

    def rate(self, t):
        first = self.peak / self.div
        top, end = self.in_steps(self.warmup) - 1, self.run - 1
        up = cosine(t, 0, top, first, self.peak)
        down = cosine(t, top, end, self.peak, first / self.final_div)
        return ops.where(t < top, up, down)


class OneCycleMomentum(Schedule):
    r"""Momentum opposite to `OneCycle`: low where the rate is at its peak, high at both ends.

    With $w$ warm-up steps out of $T$, momentum (SGD's mu, Adam's beta_1) goes along half cosine waves

    $$\mu_\text{high} \;\longrightarrow\; \mu_\text{low} \;\longrightarrow\; \mu_\text{high}$$

    and is lowest at step $w - 1$, as with `torch.optim.lr_scheduler.OneCycleLR(cycle_momentum=True)`. The callback
    schedules `momentum`; use `of="beta_1"` for Adam and its like.

    Args:
        high: momentum at the start and at the end, in [0, 1].
        steps: length T of the run in steps.
        low: momentum where the rate is highest, in [0, high].
        warmup: length w of the way to there: a share of the run in (0, 1), or a number of steps; as in `OneCycle`.

    Source: Super-Convergence, arXiv 1708.07120.

    Example:

    >>> schedule = OneCycleMomentum(steps=100, warmup=0.3)
    >>> [round(float(schedule(t)), 4) for t in (0, 29, 64, 99)]
    [0.95, 0.85, 0.9, 0.95]
    """

    high: Share = 0.95
    steps: Steps | None = None
    low: Share = 0.85
    warmup: Length = 0.3

    def __post_init__(self):
        super().__post_init__()
        self.check_below("low", "high")

    def rate(self, t):
        top, end = self.in_steps(self.warmup) - 1, self.run - 1
        down = cosine(t, 0, top, self.high, self.low)
        up = cosine(t, top, end, self.low, self.high)
        return ops.where(t < top, down, up)
