"""Up, level for most of the run, down at its end."""

import math
from typing import Annotated

from keras import ops

from keras_dlopt.arguments import invalid
from keras_dlopt.schedules.curves import falling_cosine, linear, progress
from keras_dlopt.schedules.schedule import Floor, Length, Rate, Schedule, Steps, choice


class WarmupStableDecay(Schedule):
    r"""Linear warm-up, the peak for most of the run, and a cooldown at its end (WSD, "trapezoidal").

    Until the cooldown nothing depends on the length of the run: train on from a checkpoint of the level part, and cool
    down whenever it suits. With $w$ warm-up steps, $d$ steps of cooldown and $z = (t - T + d) / d$,

    $$\eta_t = \begin{cases} \eta_\text{peak}\, t / w & t < w \\ \eta_\text{peak} & w \le t < T - d \\
    \eta_\text{floor} + (\eta_\text{peak} - \eta_\text{floor})\, f(z) & T - d \le t \le T \end{cases}$$

    where $f(z)$ is $1 - \sqrt z$, $1 - z$ or $\tfrac12 (1 + \cos \pi z)$.

    Args:
        peak: the highest rate, > 0.
        steps: length T of the run in steps.
        warmup: length w of the warm-up: a share of the run in (0, 1), or a number of steps.
        decay: length d of the cooldown: a share of the run in (0, 1), or a number of steps.
        shape: of the cooldown, "1-sqrt", "linear" or "cosine".
        floor: the rate at the end, in [0, peak].

    Source: arXiv 2405.18392 (1-sqrt is best there) and MiniCPM, arXiv 2404.06395; as in transformers'
    `get_wsd_schedule`, but the warm-up starts from 0 also where there is a floor.

    Example:

    >>> schedule = WarmupStableDecay(0.1, steps=100, warmup=10, decay=0.2)
    >>> [round(float(schedule(t)), 4) for t in (0, 5, 10, 80, 85, 100)]
    [0.0, 0.05, 0.1, 0.1, 0.05, 0.0]
    """

    peak: Rate
    steps: Steps | None = None
    warmup: Length = 0.05
    decay: Length = 0.2
    shape: Annotated[str, choice("1-sqrt", "linear", "cosine")] = "1-sqrt"
    floor: Floor = 0.0

    def __post_init__(self):
        super().__post_init__()
        self.check_below("floor", "peak")
        alike = (self.warmup < 1) == (self.decay < 1)
        if self.steps is not None and not alike:
            over = self.in_steps(self.warmup) + self.in_steps(self.decay) > self.steps
        else:
            over = alike and self.warmup + self.decay > (1 if self.warmup < 1 else self.steps or math.inf)
        if over:
            raise invalid(type(self).__name__, "decay", self.decay, f"no more than warmup={self.warmup} leaves")

    def rate(self, t):
        warmup = self.in_steps(self.warmup)
        decay = min(self.in_steps(self.decay), self.run - warmup)
        z = progress(t, self.run - decay, self.run)
        left = {"1-sqrt": lambda: 1.0 - ops.sqrt(z), "linear": lambda: 1.0 - z, "cosine": lambda: falling_cosine(z)}
        down = self.floor + (self.peak - self.floor) * left[self.shape]()
        return ops.where(t < warmup, linear(t, 0, warmup, 0.0, self.peak), down)
