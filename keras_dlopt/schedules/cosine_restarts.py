"""Cosine decay that begins again."""

import math

from keras import ops

from keras_dlopt.schedules.curves import falling_cosine, power, since
from keras_dlopt.schedules.schedule import Decay, Factor, Floor, Period, Rate, Schedule, Steps


class CosineRestarts(Schedule):
    r"""Half a cosine wave down, then back to the top (warm restarts), in cycles that may grow and lose height.

    Cycle $i = 0, 1, \dots$ is $T_i = g^i\, T_0$ steps long; $\tau$ steps after its start

    $$\eta_t = \eta_\text{floor} + (d^i\, \eta_\text{peak} - \eta_\text{floor}) \cdot
    \tfrac12 \bigl(1 + \cos \pi \tfrac{\tau}{T_i}\bigr)$$

    The first cycles fill the run with $T_0$ a quarter of it and $g = 1$, or a seventh and $g = 2$.

    Args:
        peak: the rate at the start, > 0.
        steps: length of the run in steps; the last cycle begins in it, if `growth` is above 1.
        first: length $T_0$ of the first cycle: a share of the run in (0, 1), or a number of steps.
        growth: each cycle is g times as long as the one before, >= 1.
        decay: each cycle begins d times as high as the one before, in (0, 1].
        floor: the rate at the end of a cycle, in [0, peak].

    Source: SGDR, arXiv 1608.03983. The decay is timm's, of the top alone; Keras's `m_mul` takes it above the floor.

    Example:

    >>> schedule = CosineRestarts(0.1, steps=70, first=10, growth=2.0, decay=0.5)
    >>> [round(float(schedule(t)), 4) for t in (0, 5, 10, 20, 30, 69)]
    [0.1, 0.05, 0.05, 0.025, 0.025, 0.0]
    """

    peak: Rate
    steps: Steps | None = None
    first: Period = 0.25
    growth: Factor = 1.0
    decay: Decay = 1.0
    floor: Floor = 0.0

    def __post_init__(self):
        super().__post_init__()
        self.check_below("floor", "peak")

    def rate(self, t):
        number, done = self._equal_cycles(t) if self.growth == 1 else self._growing_cycles(t)
        top = self.peak * power(self.decay, number)
        return self.floor + (top - self.floor) * falling_cosine(done)

    def _equal_cycles(self, t):
        """The number of the cycle, and which share of it is done."""
        length = self.period(self.first)
        return since(t // length, 0), since(t % length, 0) / length

    def _growing_cycles(self, t):
        length, start, number = float(self.period(self.first)), 0.0, 0
        numbers, done = ops.zeros_like(since(t, 0)), since(t, 0) / length
        while start + length < self.run:
            start, number = start + length, number + 1
            length *= self.growth
            begun = math.ceil(start)  # a cycle may start between two steps
            numbers = ops.where(t < begun, numbers, number)
            done = ops.where(t < begun, done, (since(t, begun) + (begun - start)) / length)
        return numbers, ops.minimum(done, 1.0)
