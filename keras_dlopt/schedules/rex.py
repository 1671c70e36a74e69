"""Reflected exponential."""

from keras_dlopt.schedules.curves import progress
from keras_dlopt.schedules.schedule import Floor, Rate, Schedule, Steps


class REX(Schedule):
    r"""Stays high for longer than a line and falls ever faster: good where the run is short for the task.

    With $z = t / T$,

    $$\eta_t = \eta_\text{floor} + (\eta_\text{peak} - \eta_\text{floor})\, \frac{1 - z}{1 - z/2}$$

    Args:
        peak: the rate at the start, > 0.
        steps: length T of the run in steps.
        floor: the rate at the end, in [0, peak].

    Source: REX, arXiv 2107.04197.

    Example:

    >>> schedule = REX(0.1, steps=100)
    >>> [round(float(schedule(t)), 4) for t in (0, 50, 100)]
    [0.1, 0.0667, 0.0]
    """

    peak: Rate
    steps: Steps | None = None
    floor: Floor = 0.0

    def __post_init__(self):
        super().__post_init__()
        self.check_below("floor", "peak")

    def rate(self, t):
        z = progress(t, 0, self.run)
        return self.floor + (self.peak - self.floor) * (1.0 - z) / (1.0 - 0.5 * z)
