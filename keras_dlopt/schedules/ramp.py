"""A way up."""

from typing import Annotated

from keras_dlopt.arguments import invalid
from keras_dlopt.schedules.curves import cosine, linear, power, progress
from keras_dlopt.schedules.schedule import Rate, Schedule, Share, Steps, choice

SHAPES = ("linear", "cosine", "exponential")


def check_start(where, start, shape):
    """Raises `ValueError` if a rise of that shape cannot begin with that share of the peak."""
    if shape == "exponential" and start == 0:
        raise invalid(where, "start", start, 'above 0 with shape="exponential"')


def rise(t, end, start, peak, shape):
    """From `start * peak` at step 0 up to `peak` at step `end`, then constant.

    Args:
        start: share of the peak that it begins with, > 0 where the shape is "exponential".
        shape: "linear", "cosine" or "exponential", which multiplies by the same factor at every step.

    >>> import numpy as np
    >>> np.array(rise(np.arange(4), 2, 0.25, 8.0, "exponential")).tolist()
    [2.0, 4.0, 8.0, 8.0]
    """
    if shape == "exponential":
        return peak * power(start, 1.0 - progress(t, 0, end))
    return {"linear": linear, "cosine": cosine}[shape](t, 0, end, start * peak, peak)


class Ramp(Schedule):
    r"""From a share of the peak up to the peak at the end of the run: for what grows, as weight decay may.

    With the share $s$, linear, cosine or exponential,

    $$\frac{\eta_t}{\eta_\text{peak}} = s + (1 - s) \tfrac{t}{T}, \qquad
    s + (1 - s) \cdot \tfrac12 \bigl(1 - \cos \pi \tfrac{t}{T}\bigr), \qquad s^{1 - t/T}$$

    Args:
        peak: the rate at the end, > 0.
        steps: length T of the run in steps.
        start: the run begins with this share s of the peak, in [0, 1]; above 0 for the exponential shape.
        shape: "linear", "cosine" or "exponential".

    Source: the cosine from 0.04 to 0.4 is DINO's weight decay, arXiv 2104.14294; the others as in optax's
    `linear_schedule` and `exponential_decay`.

    Example:

    >>> schedule = Ramp(0.4, steps=100, start=0.1, shape="cosine")
    >>> [round(float(schedule(t)), 4) for t in (0, 50, 100)]
    [0.04, 0.22, 0.4]
    """

    peak: Rate
    steps: Steps | None = None
    start: Share = 0.0
    shape: Annotated[str, choice(*SHAPES)] = "linear"

    def __post_init__(self):
        super().__post_init__()
        check_start(type(self).__name__, self.start, self.shape)

    def rate(self, t):
        return rise(t, self.run, self.start, self.peak, self.shape)
