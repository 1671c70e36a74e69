"""ScheduleFreeAdamW."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, NonNegative, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.schedule_free.averaging import Between, ScheduleFree, Steps


class ScheduleFreeAdamW(ScheduleFree):
    r"""AdamW with averaging in place of momentum and of a schedule; Keras's arguments, the authors' numbers.

    $$y_t = (1-\beta_1) z_t + \beta_1 x_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2) g_t^2 \text{ with } g_t
      \text{ at } y_t, \qquad x_{t+1} = (1-c_{t+1})\, x_t + c_{t+1}\, z_{t+1}$$
    $$z_{t+1} = z_t - \eta_t \Big( \frac{g_t}{\sqrt{v_t / (1-\beta_2^t)} + \epsilon} + \lambda y_t \Big), \qquad
      \eta_t = \eta \min(t / T_\mathrm{warmup}, 1), \qquad c_{t+1} = \frac{w_t}{\sum_{i \le t} w_i}, \quad
      w_t = t^r \max_{i \le t} \eta_i^p$$

    In a compiled model the weights are $x$ everywhere but inside the training step; in a loop of your own they are $y$,
    and `evaluation_weights` gives $x$. A model with `BatchNormalization` pays a second forward pass a step, for
    statistics at $x$. Keras's class of this name differs: it evaluates and saves $y$, counts the steps of a warm-up
    fully, decays $y$ but not $z$, and on TensorFlow averages with the wrong $z$.

    Args:
        learning_rate: step size eta, >= 0, or a schedule (none is needed). Good ones are 1 to 10 times AdamW's.
        beta_1: the share of the average in y, in (0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: > 0, keeps the root away from 0.
        warmup_steps: steps over which the learning rate rises to eta, >= 0.
        r: >= 0; above 0 later steps count more in the average.
        weight_lr_power: p, >= 0; how much less the short steps of the warm-up count.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` lambda acts at y, see above.

    Memory: 8 bytes a parameter.

    Source: Defazio et al., arXiv 2405.15682; the authors' code (schedulefree 1.4) for warm-up, averaging weights and
    decay.

    Example:

    >>> import keras
    >>> w = keras.Variable([1.0, 100.0])
    >>> ScheduleFreeAdamW(0.1).apply([w], [w])         # the first step moves every weight by the learning rate
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([ 0.9, 99.9], dtype=float32)
    """

    learning_rate: LearningRate = 0.0025
    beta_1: Between = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-8
    warmup_steps: Steps = 0
    r: NonNegative = 0.0
    weight_lr_power: NonNegative = 2.0
    slots = ("z", "v")
    nonnegative = ("v",)

    def direction(self, g, s, t):
        v = mix(s.v, ops.square(g), self.beta_2)
        return g / (ops.sqrt(v / bias_correction(self.beta_2, t)) + self.epsilon), {"v": v}
