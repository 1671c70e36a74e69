"""SM3."""

import functools
import itertools

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, Share, UnitInterval
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class SM3(Optimizer):
    r"""Adagrad with one accumulator for each slice of a variable: for each row, each column, each place on any axis.

    $$\nu_t(i) = \min_{r \ni i} \mu_{t-1}(r) + g_t(i)^2, \qquad \mu_t(r) = \max_{i \in r} \nu_t(i), \qquad
      u_t = g_t / \sqrt{\nu_t + \epsilon}$$
    $$m_t = \beta m_{t-1} + (1-\beta) u_t, \qquad w_{t+1} = w_t - \eta m_t$$

    where r are the slices that an element i belongs to, one an axis (the paper's SM3-II). Where no gradient was seen,
    $u_t = 0$. Scalars and vectors have an accumulator for every element.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        momentum: beta in [0, 1); 0 leaves the array $m$ out.
        beta_2: in [0, 1]; below 1 the accumulators become averages, $\nu_t = \beta_2 \min \mu + (1-\beta_2) g_t^2$.
        epsilon: > 0, added under the root.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` is decoupled.

    Memory: 4 bytes a parameter with momentum, none without; 4 bytes a place on each axis.

    Source: Anil et al., arXiv 1901.11150.

    Example:

    >>> import keras
    >>> w = keras.Variable(keras.ops.ones((2, 2)))
    >>> SM3(0.1, momentum=0.0).apply([[[3.0, 0.0], [0.0, 0.0]]], [w])        # Adagrad's first step: the rate
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([[0.9, 1. ],
           [1. , 1. ]], dtype=float32)
    """

    learning_rate: LearningRate = 0.1
    momentum: UnitInterval = 0.9
    beta_2: Share = 1.0
    epsilon: Positive = 1e-8

    form = "alone"

    nonnegative = ("mu",)

    @property
    def slots(self):
        return ("m", "mu") if self.momentum else ("mu",)

    def slot_shape(self, slot, shape):
        """For `mu` the accumulators of all axes, one after the other."""
        return (sum(shape),) if slot == "mu" else shape

    def takes(self, variable):
        """Whether `variable` has more than one axis."""
        return len(variable.shape) >= 2

    def companion(self):
        """The same rule with an accumulator for every element."""
        return _EveryElement(
            momentum=self.momentum, beta_2=self.beta_2, epsilon=self.epsilon, weight_decay=self.weight_decay
        )

    def rule(self, g, w, s, t):
        axes = range(len(g.shape))
        others = [tuple(a for a in axes if a != axis) for axis in axes]
        mu = ops.split(s.mu, list(itertools.accumulate(g.shape))[:-1])
        mu = [ops.expand_dims(along, other) for along, other in zip(mu, others, strict=True)]
        nu = self._accumulate(functools.reduce(ops.minimum, mu), g)
        u, new = self._direction(g, nu, s)
        return u, new | {"mu": ops.concatenate([ops.max(nu, axis=other) for other in others])}

    def _accumulate(self, nu, g):
        return nu + ops.square(g) if self.beta_2 == 1 else mix(nu, ops.square(g), self.beta_2)

    def _direction(self, g, nu, s):
        u = ops.where(nu > 0, g * ops.rsqrt(nu + self.epsilon), 0.0)
        if not self.momentum:
            return u, {}
        m = mix(s.m, u, self.momentum)
        return m, {"m": m}


class _EveryElement(SM3):
    """SM3 for scalars and vectors: Adagrad."""

    form = "flat"

    def slot_shape(self, slot, shape):
        return shape

    def takes(self, variable):
        return True

    def rule(self, g, w, s, t):
        nu = self._accumulate(s.mu, g)
        u, new = self._direction(g, nu, s)
        return u, new | {"mu": nu}
