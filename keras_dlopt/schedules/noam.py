"""The transformer's own schedule."""

from keras import ops

from keras_dlopt.schedules.curves import since
from keras_dlopt.schedules.schedule import Length, Positive, Schedule, Size, Steps


class Noam(Schedule):
    r"""Linear warm-up, then one over the root of the step; the peak follows from the width of the model.

    With $d$ for `model_size`, $w$ warm-up steps and the factor $c$,

    $$\eta_t = c\, d^{-1/2} \min\bigl((t+1)^{-1/2},\; (t+1)\, w^{-3/2}\bigr)$$

    which is $c / \sqrt{d w}$ at its highest, at step $w - 1$.

    Args:
        model_size: width d of the model, >= 1.
        steps: length of the run in steps; needed where `warmup` is a share.
        warmup: length w of the warm-up: a share of the run in (0, 1), or a number of steps.
        factor: factor c, > 0.

    Source: Attention Is All You Need, arXiv 1706.03762, with steps counted from 0 as in Tensor2Tensor.

    Example:

    >>> schedule = Noam(512, warmup=4000)
    >>> [round(float(schedule(t)), 6) for t in (0, 3999, 15999)]
    [0.0, 0.000699, 0.000349]
    """

    model_size: Size
    steps: Steps | None = None
    warmup: Length = 0.05
    factor: Positive = 1.0

    def rate(self, t):
        step = since(t, -1)
        warmup = max(self.in_steps(self.warmup), 1)
        return self.factor * self.model_size**-0.5 * ops.minimum(ops.rsqrt(step), step * warmup**-1.5)
