"""A straight line down."""

from keras_dlopt.schedules.curves import linear
from keras_dlopt.schedules.schedule import Floor, Rate, Schedule, Steps


class LinearDecay(Schedule):
    r"""A straight line from the peak down to the floor at the end of the run.

    $$\eta_t = \eta_\text{peak} + (\eta_\text{floor} - \eta_\text{peak})\, t / T$$

    Args:
        peak: the rate at the start, > 0.
        steps: length T of the run in steps.
        floor: the rate at the end, in [0, peak].

    Source: as in optax's `linear_schedule` and torch's `LinearLR`.

    Example:

    >>> schedule = LinearDecay(0.1, steps=100, floor=0.02)
    >>> [round(float(schedule(t)), 4) for t in (0, 50, 100)]
    [0.1, 0.06, 0.02]
    """

    peak: Rate
    steps: Steps | None = None
    floor: Floor = 0.0

    def __post_init__(self):
        super().__post_init__()
        self.check_below("floor", "peak")

    def rate(self, t):
        return linear(t, 0, self.run, self.peak, self.floor)
