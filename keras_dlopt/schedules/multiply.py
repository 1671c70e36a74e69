"""Schedules at the same time."""

import functools

from keras import ops

from keras_dlopt.schedules.schedule import Parts, Schedule, Steps


class Multiply(Schedule):
    r"""The product of schedules that run at the same time: one with the rate, the others with a peak of 1.

    $$\eta_t = \prod_i \eta^i_t$$

    Args:
        schedules: at least one; those without `steps` get those of the run.
        steps: length of the run in steps; needed where one of them depends on it.

    Source: as in torch's `ChainedScheduler`.

    Example: a staircase on a line.

    >>> from keras_dlopt.schedules.linear_decay import LinearDecay
    >>> from keras_dlopt.schedules.step_decay import StepDecay
    >>> schedule = Multiply([LinearDecay(0.1), StepDecay(1.0, decay=0.5, every=50)], steps=100)
    >>> [round(float(schedule(t)), 4) for t in (0, 49, 50, 100)]
    [0.1, 0.051, 0.025, 0.0]
    """

    schedules: Parts
    steps: Steps | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.steps is not None:
            self._parts()

    def _parts(self):
        return [self.part(schedule, 0) for schedule in self.schedules]

    def rate(self, t):
        return functools.reduce(ops.multiply, [part(t) for part in self._parts()])
