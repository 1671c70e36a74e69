"""One rate for the whole run."""

from keras import ops

from keras_dlopt.schedules.curves import since
from keras_dlopt.schedules.schedule import Rate, Schedule, Steps


class Constant(Schedule):
    r"""The same rate at every step: a part of other schedules, and the rate of a run as a callback.

    $$\eta_t = \eta_\text{peak}$$

    Args:
        peak: the rate, > 0.
        steps: length of the run in steps; the formula does without.

    Example:

    >>> float(Constant(0.5)(1000))
    0.5
    """

    peak: Rate
    steps: Steps | None = None

    def rate(self, t):
        return self.peak * ops.ones_like(since(t, 0))
