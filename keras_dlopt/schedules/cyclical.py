"""Up and down, again and again."""

from typing import Annotated

from keras import ops

from keras_dlopt.schedules.curves import power, since
from keras_dlopt.schedules.schedule import Decay, Floor, Period, Rate, Schedule, Steps, choice


class Cyclical(Schedule):
    r"""Straight up from the floor to the peak and straight down again, in cycles without end.

    With $x_t \in [0, 1]$ the height within cycle number $i = 0, 1, \dots$,

    $$\eta_t = \eta_\text{floor} + (\eta_\text{peak} - \eta_\text{floor})\, x_t \cdot
    \begin{cases} 1 & \text{triangular} \\ 2^{-i} & \text{triangular2} \\ \gamma^t & \text{exp\_range} \end{cases}$$

    Args:
        peak: the highest rate, > 0.
        steps: length of the run in steps; needed where `up` or `down` is a share.
        floor: the rate between two cycles, in [0, peak].
        up: length of the way up: a share of the run in (0, 1), or a number of steps.
        down: length of the way down, `None` for that of the way up.
        mode: "triangular", "triangular2" (each cycle half as high as the one before) or "exp_range".
        gamma: factor of a step in mode "exp_range", in (0, 1].

    Source: Smith, arXiv 1506.01186; as in torch's `CyclicLR`.

    Example:

    >>> schedule = Cyclical(0.1, floor=0.02, up=10, mode="triangular2")
    >>> [round(float(schedule(t)), 4) for t in (0, 5, 10, 20, 30)]
    [0.02, 0.06, 0.1, 0.02, 0.06]
    """

    peak: Rate
    steps: Steps | None = None
    floor: Floor = 0.0
    up: Period = 0.1
    down: Period | None = None
    mode: Annotated[str, choice("triangular", "triangular2", "exp_range")] = "triangular"
    gamma: Decay = 0.99994

    def __post_init__(self):
        super().__post_init__()
        self.check_below("floor", "peak")

    def rate(self, t):
        up = self.period(self.up)
        down = up if self.down is None else self.period(self.down)
        done = since(t % (up + down), 0)
        height = ops.minimum(done / up, (up + down - done) / down)
        if self.mode == "triangular2":
            height = height * power(0.5, since(t // (up + down), 0))
        if self.mode == "exp_range":
            height = height * power(self.gamma, since(t, 0))
        return self.floor + (self.peak - self.floor) * height
