"""The same factor at every step."""

from keras import ops

from keras_dlopt.schedules.curves import power, since
from keras_dlopt.schedules.schedule import Decay, Floor, Period, Rate, Schedule, Steps


class ExponentialDecay(Schedule):
    r"""A rate that is multiplied by `decay` over every `every` steps, by the same factor at each of them.

    With $k$ steps of `every` and the factor $\gamma$,

    $$\eta_t = \max(\eta_\text{floor},\; \eta_\text{peak}\, \gamma^{t/k})$$

    `StepDecay` makes it in steps.

    Args:
        peak: the rate at the start, > 0.
        steps: length of the run in steps; needed where `every` is a share.
        decay: factor gamma, in (0, 1].
        every: after how long the rate is `decay` times what it was: a share of the run in (0, 1), or a number k of
            steps.
        floor: the rate falls no lower, in [0, peak].

    Source: as in optax's `exponential_decay`; torch's `ExponentialLR(gamma)` is `decay=gamma, every=1`.

    Example:

    >>> schedule = ExponentialDecay(0.1, decay=0.5, every=10)
    >>> [round(float(schedule(t)), 4) for t in (0, 10, 20)]
    [0.1, 0.05, 0.025]
    """

    peak: Rate
    steps: Steps | None = None
    decay: Decay = 0.1
    every: Period = 0.5
    floor: Floor = 0.0

    def __post_init__(self):
        super().__post_init__()
        self.check_below("floor", "peak")

    def rate(self, t):
        falling = self.peak * power(self.decay, since(t, 0) / self.period(self.every))
        return ops.maximum(falling, self.floor)
