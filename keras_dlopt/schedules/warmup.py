"""A warm-up before any schedule."""

from typing import Annotated

from keras import ops

from keras_dlopt.schedules.ramp import SHAPES, check_start, rise
from keras_dlopt.schedules.schedule import Length, Part, Schedule, Share, Steps, choice


class Warmup(Schedule):
    r"""A way up to where another schedule begins, and then that schedule over the rest of the run.

    With $w$ warm-up steps, a schedule $\eta'$ and the curve $r$ of `Ramp`, which ends at 1 after $w$ steps,

    $$\eta_t = \begin{cases} \eta'_0\, r(t) & t < w \\ \eta'_{t - w} & t \ge w \end{cases}$$

    Args:
        schedule: the schedule after the warm-up; without `steps` it gets those that are left, and its shares are
            shares of these.
        steps: length of the run in steps; needed where `warmup` is a share or the schedule depends on it.
        warmup: length w of the warm-up: a share of the run in (0, 1), or a number of steps.
        start: share of the schedule's first rate that the run begins with, in [0, 1]; above 0 for the exponential
            shape.
        shape: "linear", "cosine" or "exponential".

    Source: linear, arXiv 1706.02677, as in optax, timm (`warmup_prefix`) and transformers.

    Example:

    >>> from keras_dlopt.schedules.cosine_decay import CosineDecay
    >>> schedule = Warmup(CosineDecay(0.1), steps=110, warmup=10)
    >>> [round(float(schedule(t)), 4) for t in (0, 5, 10, 60, 110)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """

    schedule: Part
    steps: Steps | None = None
    warmup: Length = 0.05
    start: Share = 0.0
    shape: Annotated[str, choice(*SHAPES)] = "linear"

    def __post_init__(self):
        super().__post_init__()
        check_start(type(self).__name__, self.start, self.shape)
        if self.steps is not None:
            self._after()

    def _after(self):
        return self.part(self.schedule, self.in_steps(self.warmup))

    def rate(self, t):
        after, warmup = self._after(), self.in_steps(self.warmup)
        up = rise(t, warmup, self.start, after(0), self.shape)
        return ops.where(t < warmup, up, after(ops.maximum(t - warmup, 0)))
