"""SPAM."""

import math

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import Count, LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class SPAM(Optimizer):
    r"""Adam that clips spikes of the gradient and forgets its moments from time to time.

    Where $g_t^2 > \theta v_{t-1}$, the gradient is cut to $\operatorname{sign}(g_t) \sqrt{\theta v_{t-1}}$. Every
    `reset_every` steps $m$ and $v$ start again from 0; clipping then waits for `settle` steps, and steps
    are scaled by

    $$1 - 0.99\, \tfrac12 \Big(1 + \cos \frac{\pi c}{N + 1}\Big)$$

    for the first $N$ steps $c = 0, 1, \dots$ after the reset. The rest is Adam, whose bias correction does not start
    again and whose weight decay comes after the step, as in the authors' code:

    $$w_{t+1} = (1 - \eta\lambda) \Big(w_t - \eta\, \frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t}\,
      \frac{m_t}{\sqrt{v_t} + \epsilon}\Big)$$

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: > 0, keeps the root away from 0.
        threshold: theta > 0, the square of how many times its usual size a gradient may be.
        reset_every: steps between two resets, >= 1.
        warmup: N >= 1, the steps after a reset with smaller steps.
        settle: steps >= 1 after a reset, and at the start, without clipping.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 8 bytes a parameter.

    Source: Huang et al., arXiv 2501.06842, and the authors' implementation at density 1.

    Example:

    >>> import keras
    >>> w, optimizer = keras.Variable([0.0]), SPAM(0.5, settle=2, threshold=4.0, beta_1=0.0)
    >>> for g in (1.0, 1000.0):                        # v = 0.001; the spike is cut to sqrt(0.004)
    ...     optimizer.apply([keras.ops.full((1,), g)], [w])
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([-0.545], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-6
    threshold: Positive = 5000.0
    reset_every: Count = 500
    warmup: Count = 150
    settle: Count = 20
    slots = ("m", "v")
    nonnegative = ("v",)
    needs_weights = True
    whole_step = True

    def rule(self, g, w, s, t, lr, decay):
        since = ops.mod(t, float(self.reset_every))  # steps since the reset, or since step 0
        kept = ops.cast(since > 0, g.dtype)
        m, v = kept * s.m, kept * s.v
        spike = ops.logical_and(since >= self.settle, ops.square(g) > self.threshold * v)
        g = ops.where(spike, ops.sign(g) * ops.sqrt(self.threshold * v), g)
        m, v = mix(m, g, self.beta_1), mix(v, ops.square(g), self.beta_2)
        restarting = ops.logical_and(t >= self.reset_every, since < self.warmup)
        cosine = 0.5 * (1 + ops.cos(math.pi / (self.warmup + 1) * since))
        scale = ops.where(restarting, 1 - 0.99 * cosine, ops.ones_like(t))
        scale = scale * lr * ops.sqrt(bias_correction(self.beta_2, t)) / bias_correction(self.beta_1, t)
        step = scale * (m / (ops.sqrt(v) + self.epsilon))
        if decay is not None:
            step = step + lr * decay * (w - step)
        return step, {"m": m, "v": v}
