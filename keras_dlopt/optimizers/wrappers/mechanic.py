"""Mechanic."""

from typing import Annotated

import keras
from keras import ops

from keras_dlopt.arguments import invalid
from keras_dlopt.optimizers.executor.hyperparameters import NonNegative, Positive, Range
from keras_dlopt.optimizers.executor.training_step import chain
from keras_dlopt.optimizers.wrappers import replicas
from keras_dlopt.optimizers.wrappers.lookahead import Lookahead
from keras_dlopt.optimizers.wrappers.wrapper import Wrapper

Betas = Annotated[int, Range(1, 7, integer=True)]  # in float32, 1 - 10^-8 would be 1


class Mechanic(Wrapper):
    r"""Tunes the learning rate of any optimizer: learns by how much to multiply the sum of its updates.

    With the optimizer's update $u_t$, learning rate and weight decay included, and the gradient $g_t$:

    $$h_t = \Big\langle g_t + \lambda S_t \frac{\lVert g_t \rVert}{\lVert w_t \rVert + \epsilon} w_t,\; \Delta_t
      \Big\rangle, \qquad \Delta_{t+1} = \Delta_t + u_t, \qquad S_t = \textstyle\sum_i s_{t,i}$$
    $$r_{t+1} = \beta r_t + s_t \max(-m_t, \min(m_t, h_t)), \qquad m_{t+1} = \max(\beta m_t, |h_t| + \epsilon), \qquad
      v_{t+1} = \beta^2 v_t + h_t^2$$
    $$s_{t+1} = \frac{\tfrac{s_\text{init}}{n} m_{t+1} + \max(0, r_{t+1})}{\sqrt{v_{t+1}} + \epsilon}, \qquad
      w_{t+1} = w_1 - S_{t+1} \Delta_{t+1}$$

    for each of the $n$ decays $\beta_i = 1 - 10^{-i}$; the inner products run over all variables. $g$ is the gradient
    that comes to this wrapper. Give the optimizer the rate 1, or a schedule that starts or peaks at 1: its shape stays
    and its height is learned. Optimizers that
    scale their step to the weights (LARS, Lamb) are not for it.

    This is the authors' later code, optax's: the paper does not clip $h$, and keeps $r$ itself at 0 or above. The
    epsilon in optax's divisor also makes $\Delta_t$ smaller, by $S_t / (S_t + \epsilon)$, which shows only while $S$ is
    tiny. optax keeps $w_1$ and finds $\Delta_t$ from $(w_1 - w_t) / S_t$; here $\Delta$ is kept, and the weights move
    by $S_t \Delta_t - S_{t+1} \Delta_{t+1}$. That is the same, but loses no digits to the tiny first factors, and what
    else moves the weights (a constraint, Lookahead around this wrapper) moves $w_1$ along.

    Args:
        optimizer: the optimizer whose learning rate is tuned, ours or Keras's.
        s_decay: $\lambda$, >= 0, pulls towards smaller weights and so steadies the factor; not the optimizer's
            `weight_decay`, which is part of its update.
        s_init: $s_\text{init}$, > 0, the first factor; needs changing if even that makes too large a step.
        num_betas: $n$, how many decays, in 1 to 7.
        epsilon: > 0, keeps what is divided by away from 0.
        name: name of this wrapper.

    Memory: 4 bytes a parameter.

    Source: Cutkosky, Defazio and Mehta, arXiv 2306.00144, and the authors' `optax.contrib.mechanize`.

    Example:

    >>> import keras
    >>> w, optimizer = keras.Variable([1.0]), Mechanic(keras.optimizers.SGD(1.0), s_init=0.1)
    >>> optimizer.apply([w], [w])                              # the first step is that of the rate s_init
    >>> keras.ops.convert_to_numpy(w)
    array([0.9], dtype=float32)
    """

    s_decay: NonNegative = 0.01
    s_init: Positive = 1e-6
    num_betas: Betas = 6
    epsilon: Positive = 1e-8
    moves_weights = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if any(isinstance(o, Lookahead) for o in chain(self.inner_optimizer)):
            accepted = "without Lookahead in it, which goes back to weights of its own; Lookahead goes around Mechanic"
            raise invalid(type(self).__name__, "optimizer", self.inner_optimizer, accepted)

    def make_state(self, variables):
        self._delta = self.add_copies(variables, "delta")
        dtype = "float64" if any(d.dtype == "float64" for d in self._delta) else "float32"
        start = {"s": self.s_init, "r": 0.0, "m": 0.0, "v": 0.0}
        self._tuner = [
            self.add_variable((self.num_betas,), keras.initializers.Constant(value), dtype=dtype, name=name)
            for name, value in start.items()
        ]

    def around(self, update, gradients, variables, learning_rate):
        delta = self.pick(self._delta, variables)

        def weights():
            return [ops.cast(replicas.read(v), d.dtype) for v, d in zip(variables, delta, strict=True)]

        before, old = weights(), [replicas.read(d) for d in delta]
        update(gradients, variables, learning_rate)
        after = weights()
        s, *sums = (replicas.read(x) for x in self._tuner)
        total = ops.sum(s)

        def scaled(factor, tensors):
            return [ops.cast(factor, t.dtype) * t for t in tensors]

        shrunk = scaled(total / (total + self.epsilon), old)
        pull = self.s_decay * total * self._norm(gradients) / (self._norm(before) + self.epsilon)
        h = self._dot(gradients, shrunk) + pull * self._dot(before, shrunk)
        learned = self._learned(h, s, *sums)
        new = [d + (b - a) for d, b, a in zip(shrunk, before, after, strict=True)]
        moves = zip(before, scaled(total, old), scaled(ops.sum(learned[0]), new), strict=True)
        replicas.write([*delta, *variables, *self._tuner], [*new, *(w + (x - y) for w, x, y in moves), *learned])

    def _learned(self, h, s, r, m, v):
        """The next s, r, m and v, each with one element for each decay."""
        betas = ops.convert_to_tensor([1.0 - 10.0**-i for i in range(1, self.num_betas + 1)], s.dtype)
        r = betas * r + s * ops.maximum(-m, ops.minimum(m, h))
        m = ops.maximum(betas * m, ops.abs(h) + self.epsilon)
        v = ops.square(betas) * v + ops.square(h)
        s = (self.s_init / self.num_betas * m + ops.maximum(r, 0.0)) / (ops.sqrt(v) + self.epsilon)
        return s, r, m, v

    def _dot(self, tensors, others):
        dtype = self._tuner[0].dtype
        return sum(ops.sum(ops.cast(a, dtype) * ops.cast(b, dtype)) for a, b in zip(tensors, others, strict=True))

    def _norm(self, tensors):
        return ops.sqrt(self._dot(tensors, tensors))
