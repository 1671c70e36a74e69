"""Schedules one after the other."""

from keras import ops

from keras_dlopt.schedules.schedule import Lengths, Parts, Schedule, Steps


class Join(Schedule):
    r"""One schedule after the other, each counting its steps from where it begins.

    With the schedules $\eta^0 \dots \eta^n$ and the boundaries $b_1 < \dots < b_n$,

    $$\eta_t = \eta^i_{t - b_i} \quad\text{for}\quad b_i \le t < b_{i+1}, \qquad b_0 = 0,\; b_{n+1} = \infty$$

    Args:
        schedules: at least one; those without `steps` get the steps between their boundaries, and their shares are
            shares of these.
        boundaries: where the next one begins, one fewer than schedules, increasing: shares of the run in (0, 1), or
            steps.
        steps: length of the run in steps; needed where a boundary is a share or the last schedule depends on it.

    Source: as in optax's `join_schedules` and torch's `SequentialLR`.

    Example: up, level, and down.

    >>> from keras_dlopt.schedules.constant import Constant
    >>> from keras_dlopt.schedules.linear_decay import LinearDecay
    >>> from keras_dlopt.schedules.ramp import Ramp
    >>> schedule = Join([Ramp(0.1), Constant(0.1), LinearDecay(0.1)], [0.1, 0.8], steps=100)
    >>> [round(float(schedule(t)), 4) for t in (0, 5, 10, 80, 90, 100)]
    [0.0, 0.05, 0.1, 0.1, 0.05, 0.0]
    """

    schedules: Parts
    boundaries: Lengths
    steps: Steps | None = None

    def __post_init__(self):
        super().__post_init__()
        self.check_boundaries("boundaries", len(self.schedules) - 1)
        if self.steps is not None:
            self._parts()

    def _parts(self):
        """Where each part begins, and the part."""
        starts = [0, *(self.in_steps(boundary) for boundary in self.boundaries)]
        ends = [*starts[1:], None]
        return [(s, self.part(x, s, e)) for x, s, e in zip(self.schedules, starts, ends, strict=True)]

    def rate(self, t):
        (_, first), *others = self._parts()
        rate = first(t)
        for start, part in others:
            rate = ops.where(t < start, rate, part(ops.maximum(t - start, 0)))
        return rate
