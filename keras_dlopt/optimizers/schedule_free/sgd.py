"""ScheduleFreeSGD."""

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative
from keras_dlopt.optimizers.schedule_free.averaging import Between, ScheduleFree, Steps


class ScheduleFreeSGD(ScheduleFree):
    r"""Gradient descent with averaging in place of a schedule: no length of the run to give, always ready.

    $$y_t = (1-\beta) z_t + \beta x_t, \qquad z_{t+1} = z_t - \eta_t\, (\nabla f(y_t) + \lambda y_t), \qquad
      x_{t+1} = (1-c_{t+1})\, x_t + c_{t+1}\, z_{t+1}$$

    with $\eta_t = \eta \min(t / T_\mathrm{warmup}, 1)$ and $c_{t+1} = w_t / \sum_{i \le t} w_i$,
    $w_t = t^r \max_{i \le t} \eta_i^p$. In a compiled model the weights are $x$ everywhere but inside the training
    step; in a loop of your own they are $y$, and `evaluation_weights` gives $x$. A model with `BatchNormalization`
    pays a second forward pass a step, for statistics at $x$.

    Args:
        learning_rate: step size eta, >= 0, or a schedule (none is needed). Good ones are 10 to 50 times those of SGD
            with momentum.
        momentum: beta, the share of the average in y, in (0, 1).
        warmup_steps: steps over which the learning rate rises to eta, >= 0.
        r: >= 0; above 0 later steps count more in the average.
        weight_lr_power: p, >= 0; how much less the short steps of the warm-up count.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` lambda is added to the gradient at y.

    Memory: 4 bytes a parameter.

    Source: Defazio et al., arXiv 2405.15682; the authors' code (schedulefree 1.4) for warm-up, averaging weights and
    decay.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0])
    >>> optimizer = ScheduleFreeSGD(0.1, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.apply([keras.ops.ones(1)], [w])                # z: 1, 0.9, 0.8; x: 1, 0.9, 0.85
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([0.825], dtype=float32)
    """

    learning_rate: LearningRate = 1.0
    momentum: Between = 0.9
    warmup_steps: Steps = 0
    r: NonNegative = 0.0
    weight_lr_power: NonNegative = 2.0
    slots = ("z",)

    @property
    def mixing(self):
        return self.momentum

    def direction(self, g, s, t):
        return g, {}
