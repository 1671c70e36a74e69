"""StableAdamW."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class StableAdamW(Optimizer):
    r"""AdamW that slows down where the second moment lags behind the gradient: no loss spikes, no gradient clipping.

    With $\hat\beta = \beta (1-\beta^{t-1}) / (1-\beta^t)$, which makes both averages unbiased at every step,

    $$m_t = \hat\beta_1 m_{t-1} + (1-\hat\beta_1) g_t, \qquad v_t = \hat\beta_2 v_{t-1} + (1-\hat\beta_2) g_t^2$$
    $$\eta_t = \frac{\eta}{\max(1, r_t)}, \quad
      r_t = \sqrt{\operatorname{mean}\big(g_t^2 / \max(v_t, \epsilon^2)\big)}, \qquad
      w_{t+1} = w_t - \eta_t \lambda w_t - \eta_t \frac{m_t}{\sqrt{v_t} + \epsilon}$$

    The mean runs over one variable, and weight decay uses the reduced rate too.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: > 0, keeps the root away from 0.
        weight_decay: lambda, >= 0 or `None`.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 8 bytes a parameter.

    Source: Wortsman et al., arXiv 2304.13013.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> StableAdamW(0.1, weight_decay=0.0).apply([w], [w])     # the first step moves every weight by the learning rate
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.9, 99.9], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.99
    epsilon: Positive = 1e-8
    weight_decay: NonNegative | None = 0.01
    slots = ("m", "v")
    nonnegative = ("v",)
    needs_weights = True

    def rule(self, g, w, s, t, each, decay):
        g2 = ops.square(g)
        m = s.m + (g - s.m) * ((1 - self.beta_1) / bias_correction(self.beta_1, t))
        v = s.v + (g2 - s.v) * ((1 - self.beta_2) / bias_correction(self.beta_2, t))
        lag = ops.sqrt(each.mean(g2 / ops.maximum(v, self.epsilon**2)))
        u = m / (ops.sqrt(v) + self.epsilon)
        if decay is not None:
            u = u + decay * w
        return u / each.spread(ops.maximum(lag, 1.0)), {"m": m, "v": v}
