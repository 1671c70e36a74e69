"""A staircase down."""

from keras_dlopt.schedules.curves import power, since
from keras_dlopt.schedules.schedule import Decay, Period, Rate, Schedule, Steps


class StepDecay(Schedule):
    r"""A rate that is multiplied by `decay` once in every `every` steps, and constant between.

    With $k$ steps of `every` and the factor $\gamma$,

    $$\eta_t = \eta_\text{peak}\, \gamma^{\lfloor t/k \rfloor}$$

    Args:
        peak: the rate at the start, > 0.
        steps: length of the run in steps; needed where `every` is a share.
        decay: factor gamma, in (0, 1].
        every: length of a stair: a share of the run in (0, 1), or a number k of steps.

    Source: ResNet, arXiv 1512.03385 (a tenth at each stair); as in torch's `StepLR`.

    Example:

    >>> schedule = StepDecay(0.1, steps=100, decay=0.1, every=0.5)
    >>> [round(float(schedule(t)), 4) for t in (0, 49, 50, 99)]
    [0.1, 0.1, 0.01, 0.01]
    """

    peak: Rate
    steps: Steps | None = None
    decay: Decay = 0.1
    every: Period = 0.3

    def rate(self, t):
        return self.peak * power(self.decay, since(t // self.period(self.every), 0))
