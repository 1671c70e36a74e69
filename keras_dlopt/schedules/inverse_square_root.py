"""One over the root of the step."""

from keras import ops

from keras_dlopt.schedules.curves import since
from keras_dlopt.schedules.schedule import Period, Rate, Schedule, Steps


class InverseSquareRoot(Schedule):
    r"""Falls as one over the root of the step, without an end: a run may be as long as it likes.

    With $\tau$ steps of `timescale`,

    $$\eta_t = \eta_\text{peak} \sqrt{\frac{\tau}{\tau + t}}$$

    `Warmup(InverseSquareRoot(peak, timescale=w), warmup=w)` is transformers' `get_inverse_sqrt_schedule`.

    Args:
        peak: the rate at the start, > 0.
        steps: length of the run in steps; needed where `timescale` is a share.
        timescale: after three times this the rate is half the peak: a share of the run in (0, 1), or a number tau of
            steps.

    Source: Attention Is All You Need, arXiv 1706.03762; with a timescale, arXiv 2106.04560.

    Example:

    >>> schedule = InverseSquareRoot(0.1, timescale=100)
    >>> [round(float(schedule(t)), 4) for t in (0, 300, 9900)]
    [0.1, 0.05, 0.01]
    """

    peak: Rate
    steps: Steps | None = None
    timescale: Period = 0.05

    def rate(self, t):
        return self.peak * ops.rsqrt(1.0 + since(t, 0) / self.period(self.timescale))
