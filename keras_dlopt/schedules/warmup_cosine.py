"""Linear warm-up, then cosine decay."""

from keras import ops

from keras_dlopt.schedules.curves import cosine, linear
from keras_dlopt.schedules.schedule import Floor, Length, Rate, Schedule, Steps


class WarmupCosine(Schedule):
    r"""Linear warm-up to the peak, then half a cosine wave down to the floor: the usual schedule of
    transformers.

    With $w$ warm-up steps out of $T$,

    $$\eta_t = \begin{cases} \eta_\text{peak}\, t / w & t < w \\
    \eta_\text{floor} + (\eta_\text{peak} - \eta_\text{floor}) \cdot
    \tfrac12 \bigl(1 + \cos \pi \tfrac{t - w}{T - w}\bigr) & w \le t \le T \end{cases}$$

    and the floor from then on.

    Args:
        peak: the highest learning rate, reached after the warm-up, > 0.
        steps: length T of the run in steps.
        warmup: length w of the warm-up: a share of the run in (0, 1), or a number of steps.
        floor: the learning rate at the end, in [0, peak].

    Source: SGDR, arXiv 1608.03983, without restarts; warm-up as in arXiv 1706.02677.

    Example:

    >>> schedule = WarmupCosine(0.1, steps=100, warmup=0.1)
    >>> [round(float(schedule(t)), 4) for t in (0, 5, 10, 55, 100)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """

    peak: Rate
    steps: Steps | None = None
    warmup: Length = 0.05
    floor: Floor = 0.0

    def __post_init__(self):
        super().__post_init__()
        self.check_below("floor", "peak")

    def rate(self, t):
        warmup = self.in_steps(self.warmup)
        up = linear(t, 0, warmup, 0.0, self.peak)
        down = cosine(t, warmup, self.run, self.peak, self.floor)
        return ops.where(t < warmup, up, down)
