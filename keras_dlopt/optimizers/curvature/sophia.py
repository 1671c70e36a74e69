"""SophiaG and SophiaH."""

from keras import ops

from keras_dlopt.optimizers.curvature import estimates
from keras_dlopt.optimizers.executor.hyperparameters import Count, LearningRate, NonNegative, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class Sophia(Optimizer):
    """Base of both: the clipped step, whatever the estimate of the Hessian's diagonal."""

    slots = ("m", "h")

    def diagonal(self, curvature):
        """The estimate of the Hessian's diagonal from what the training step provides."""
        raise NotImplementedError

    def rule(self, g, w, s, t, curvature):
        m = mix(s.m, g, self.beta_1)
        due = ops.equal(ops.mod(t - 1, self.update_period), 0)
        h = ops.where(due, mix(s.h, self.diagonal(curvature), self.beta_2), s.h)
        return ops.clip(m / ops.maximum(self.gamma * h, self.epsilon), -1.0, 1.0), {"m": m, "h": h}


class SophiaG(Sophia):
    r"""Momentum divided by a Gauss-Newton estimate of the Hessian's diagonal, each weight's step at most the rate.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad h_t = \beta_2 h_{t-k} + (1-\beta_2)\, B\, \hat g_t^2
      \quad\text{every } k \text{ steps}$$
    $$w_{t+1} = w_t - \eta \lambda w_t - \eta\, \mathrm{clip}\big( m_t / \max(\gamma h_t, \epsilon), 1 \big)$$

    $\hat g$ is the gradient of the mean loss over the batch's $B$ predictions with labels drawn from the model's own
    predictions. `fit` computes it, with the step's dropout masks, at the steps 1, k+1, ...: one more gradient every k
    steps. In a loop of your own call `provide(curvature=...)` before `apply`, with $\sqrt B \hat g$, one tensor a
    variable (at the other steps its values do not matter).

    The first step already uses an estimate, as in the paper; in the authors' code it comes after the k-th. Their
    `rho * bs` is gamma times B.

    Args:
        learning_rate: step size eta, >= 0, or a schedule. A little below AdamW's, three to five times Lion's.
        beta_1: decay of the momentum, in [0, 1).
        beta_2: decay of the Hessian's estimate, in [0, 1).
        gamma: > 0; larger ones clip fewer weights. Between 10 and 50 % of them should stay unclipped.
        epsilon: > 0, keeps the divisor away from 0.
        weight_decay: lambda, >= 0 or `None`. About twice AdamW's.
        update_period: k, steps between two estimates, >= 1.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Raises:
        ValueError: in `compile`, unless the model has one output and its loss is `CategoricalCrossentropy`,
            `SparseCategoricalCrossentropy` or `BinaryCrossentropy` with `from_logits=True`.

    Memory: 8 bytes a parameter.

    Source: Liu et al., arXiv 2305.14342; defaults of the authors' code (github.com/Liuhong99/Sophia).

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 1.0])
    >>> optimizer = SophiaG(0.1, beta_1=0.0, beta_2=0.0, gamma=1.0, weight_decay=None)
    >>> optimizer.provide(curvature=[keras.ops.array([2.0, 0.1])])
    >>> optimizer.apply([w], [w])                      # 0.1 / 2 ** 2; then 0.1 / 0.1 ** 2, clipped to 0.1
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([0.975, 0.9  ], dtype=float32)
    """

    learning_rate: LearningRate = 1e-4
    beta_1: UnitInterval = 0.965
    beta_2: UnitInterval = 0.99
    gamma: Positive = 0.04
    epsilon: Positive = 1e-12
    weight_decay: NonNegative | None = 0.1
    update_period: Count = 10

    nonnegative = ("h",)

    def diagonal(self, curvature):
        return ops.square(curvature)

    def wrap_train_step(self, model, train_step):
        """The step of `model`, with labels sampled and a gradient taken for them every k updates."""
        return estimates.wrap(self, model, train_step, estimates.sampled_labels(model), own_draws=True)


class SophiaH(Sophia):
    r"""Momentum divided by Hutchinson's estimate of the Hessian's diagonal, each weight's step at most the rate.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad h_t = \beta_2 h_{t-k} + (1-\beta_2)\, u \odot \nabla^2 L(w_t)\, u
      \quad\text{every } k \text{ steps}$$
    $$w_{t+1} = w_t - \eta \lambda w_t - \eta\, \mathrm{clip}\big( m_t / \max(\gamma h_t, \epsilon), 1 \big)$$

    with random signs $u$ (the paper draws normal numbers, of more variance). `fit` computes the product of the batch
    loss's Hessian with $u$, with the step's masks, at the steps 1, k+1, ...: about two more gradients every k
    steps. Any loss and model will do whose layers can be differentiated twice. In a loop of your own call
    `provide(curvature=...)` before `apply`, with $u \odot \nabla^2 L u$, one tensor a variable (at the other steps
    its values do not matter).

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the momentum, in [0, 1).
        beta_2: decay of the Hessian's estimate, in [0, 1).
        gamma: > 0; larger ones clip fewer weights. Between 10 and 50 % of them should stay unclipped.
        epsilon: > 0, keeps the divisor away from 0; where the estimate is negative the step is the sign's.
        weight_decay: lambda, >= 0 or `None`. About twice AdamW's.
        update_period: k, steps between two estimates, >= 1.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 8 bytes a parameter.

    Source: Liu et al., arXiv 2305.14342.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 1.0])
    >>> optimizer = SophiaH(0.1, beta_1=0.0, beta_2=0.0, gamma=1.0, weight_decay=None)
    >>> optimizer.provide(curvature=[keras.ops.array([4.0, -1.0])])
    >>> optimizer.apply([w], [w])
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([0.975, 0.9  ], dtype=float32)
    """

    learning_rate: LearningRate = 1e-4
    beta_1: UnitInterval = 0.965
    beta_2: UnitInterval = 0.99
    gamma: Positive = 0.01
    epsilon: Positive = 1e-12
    weight_decay: NonNegative | None = 0.1
    update_period: Count = 10

    def diagonal(self, curvature):
        return curvature

    def wrap_train_step(self, model, train_step):
        """The step of `model`, with a product of the Hessian with random signs every k updates."""
        return estimates.wrap(self, model, train_step, estimates.random_signs(model), own_draws=False)
