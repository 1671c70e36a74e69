"""A power of what is left of the run."""

from keras import ops

from keras_dlopt.schedules.curves import progress
from keras_dlopt.schedules.schedule import Floor, Positive, Rate, Schedule, Steps


class PolynomialDecay(Schedule):
    r"""A power of the share of the run that is left: 1 is a line, 2 falls fast at first, 0.5 late.

    $$\eta_t = \eta_\text{floor} + (\eta_\text{peak} - \eta_\text{floor}) \bigl(1 - \tfrac{t}{T}\bigr)^p$$

    Args:
        peak: the rate at the start, > 0.
        steps: length T of the run in steps.
        power: exponent p, > 0.
        floor: the rate at the end, in [0, peak].

    Source: DeepLab, arXiv 1606.00915 (p = 0.9); as in optax's `polynomial_schedule` and torch's `PolynomialLR`.

    Example:

    >>> schedule = PolynomialDecay(0.1, steps=100, power=2.0)
    >>> [round(float(schedule(t)), 4) for t in (0, 50, 100)]
    [0.1, 0.025, 0.0]
    """

    peak: Rate
    steps: Steps | None = None
    power: Positive = 2.0
    floor: Floor = 0.0

    def __post_init__(self):
        super().__post_init__()
        self.check_below("floor", "peak")

    def rate(self, t):
        left = 1.0 - progress(t, 0, self.run)
        return self.floor + (self.peak - self.floor) * ops.power(left, self.power)
