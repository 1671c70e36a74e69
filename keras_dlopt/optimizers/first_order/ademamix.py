"""AdEMAMix."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class AdEMAMix(Optimizer):
    r"""Adam with a second, very slow momentum that keeps gradients of thousands of steps ago in play.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \quad z_t = \beta_3 z_{t-1} + (1-\beta_3) g_t, \quad
      v_t = \beta_2 v_{t-1} + (1-\beta_2) g_t^2$$
    $$w_{t+1} = w_t - \eta\, \frac{m_t/(1-\beta_1^t) + \alpha z_t}{\sqrt{v_t/(1-\beta_2^t)} + \epsilon}$$

    The slow average $z$ is not debiased. The paper warms alpha and beta_3 up over the run; here they are constant, as
    in optax.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the fast momentum, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        beta_3: decay of the slow momentum, in [0, 1).
        alpha: weight of the slow momentum, >= 0; 0 is Adam.
        epsilon: > 0, keeps the root away from 0.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 12 bytes a parameter.

    Source: Pagliardini, Ablin and Grangier, arXiv 2409.03137.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> AdEMAMix(0.1, beta_3=0.5, alpha=2.0).apply([w], [w])               # (1 + 2 * 0.5) times Adam's first step
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.8, 99.8], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    beta_3: UnitInterval = 0.9999
    alpha: NonNegative = 5.0
    epsilon: Positive = 1e-8
    slots = ("m", "z", "v")
    nonnegative = ("v",)

    def rule(self, g, w, s, t):
        m, z = mix(s.m, g, self.beta_1), mix(s.z, g, self.beta_3)
        v = mix(s.v, ops.square(g), self.beta_2)
        root = ops.sqrt(v / bias_correction(self.beta_2, t)) + self.epsilon
        return (m / bias_correction(self.beta_1, t) + self.alpha * z) / root, {"m": m, "z": z, "v": v}
