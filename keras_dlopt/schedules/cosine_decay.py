"""Half a cosine wave down."""

from keras_dlopt.schedules.curves import cosine
from keras_dlopt.schedules.schedule import Floor, Rate, Schedule, Steps


class CosineDecay(Schedule):
    r"""Half a cosine wave from the peak down to the floor at the end of the run.

    $$\eta_t = \eta_\text{floor} + (\eta_\text{peak} - \eta_\text{floor}) \cdot
    \tfrac12 \bigl(1 + \cos \pi \tfrac{t}{T}\bigr)$$

    Args:
        peak: the rate at the start, > 0.
        steps: length T of the run in steps.
        floor: the rate at the end, in [0, peak].

    Source: SGDR without restarts, arXiv 1608.03983.

    Example:

    >>> schedule = CosineDecay(0.1, steps=100)
    >>> [round(float(schedule(t)), 4) for t in (0, 50, 100)]
    [0.1, 0.05, 0.0]
    """

    peak: Rate
    steps: Steps | None = None
    floor: Floor = 0.0

    def __post_init__(self):
        super().__post_init__()
        self.check_below("floor", "peak")

    def rate(self, t):
        return cosine(t, 0, self.run, self.peak, self.floor)
