"""Kron, the preconditioner of PSGD that is a Kronecker product."""

import math

from keras import ops

from keras_dlopt.optimizers.executor.hashed_normal import normal
from keras_dlopt.optimizers.executor.hyperparameters import Count, LearningRate, Share, Switch, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.matrix.eigenbasis import transpose
from keras_dlopt.optimizers.matrix.kernels import KernelOptimizer

_DAMPING = math.sqrt(1.2e-7)  # of the gradient, by the probe: the root of float32's precision
_TINY = 1e-30
_FLAT, _DECAY = 500, 0.001  # the update probability: 1 for so many steps, then falling at this rate


class Kron(KernelOptimizer):
    r"""Gradients whitened by a Kronecker product of triangular matrices, fitted by relative gradient descent.

    $$A = Q_L M Q_R^\top, \qquad B = Q_L^{-\top} V Q_R^{-1}, \qquad V \sim \mathcal N(0, 1)$$
    $$Q_L \leftarrow Q_L - \mu\, \frac{\mathrm{triu}(A A^\top - B B^\top)}{\|A A^\top + B B^\top\|}\, Q_L, \qquad
      Q_R \leftarrow Q_R - \mu\, \frac{\mathrm{triu}(A^\top A - B^\top B)}{\|A^\top A + B^\top B\|}\, Q_R$$
    $$W_{t+1} = W_t - \eta \lambda W_t - \eta\, \mathrm{clip}(Q_L^\top Q_L M_t Q_R^\top Q_R)$$

    M is the debiased momentum, in A with 0.00035 times its mean magnitude of V added, which bounds Q; the
    preconditioner is at rest where its outer products are, on average, the identity. It is updated at every step at
    first, then ever more rarely: in $p_t = \mathrm{clip}(e^{-0.001 (t - 500)}, p_{\min}, 1)$ of the steps. The clip
    bounds the root mean square of a matrix's update by 1.1.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        momentum: decay of M, in [0, 1).
        preconditioner_learning_rate: mu, in (0, 1].
        min_update_probability: what the share of steps that update the preconditioner falls to, in (0, 1].
        max_size_triangular: a side of a matrix that is longer gets a diagonal Q, >= 1.
        momentum_into_precondition_update: whether Q is fitted to M, or else to the gradient.
        exclude_layers, exclude_embeddings, exclude_head, per_head, input_axes: what goes to AdamW and how kernels
            are read as matrices, see `KernelOptimizer`.
        adam_beta_1, adam_beta_2, adam_weight_decay, adam_lr_ratio, epsilon: AdamW's, see there.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` is decoupled.

    Memory: 12 bytes a parameter of a square matrix, $4 + 4 (m^2 + n^2) / (m n)$ of another, 8 where AdamW serves.

    Source: Li, arXiv 1512.04202 and 2402.04553; the update probability and the clip are those of
    https://github.com/evanatyourservice/kron_torch. Q_L and Q_R are brought to equal size at every update, which
    changes no step.

    Example:

    >>> import keras
    >>> w = keras.Variable(keras.ops.zeros((2, 2)), name="kernel")
    >>> optimizer = Kron(0.1)
    >>> for _ in range(50): optimizer.apply([keras.ops.array([[3.0, 0], [0, 0.5]])], [w])
    >>> move = abs(keras.ops.convert_to_numpy(w))               # 6 times the gradient, not 6 times the way
    >>> bool(move[0, 0] < 2 * move[1, 1])
    True
    """

    learning_rate: LearningRate = 0.0003
    momentum: UnitInterval = 0.9
    preconditioner_learning_rate: Share = 0.1
    min_update_probability: Share = 0.03
    max_size_triangular: Count = 8192
    momentum_into_precondition_update: Switch = True

    # Of Q, its difference from the identity: slots start as zeros.
    slots = ("m", "q_left", "q_right")

    def slot_shape(self, slot, shape):
        if slot == "m":
            return shape
        size = shape[0] if slot == "q_left" else shape[1]
        return (size, size) if size <= self.max_size_triangular else (size, 1)

    def rule(self, g, w, s, t, each):
        m = mix(s.m, g, self.momentum)
        debiased = m / bias_correction(self.momentum, t)
        q = [_identity(s.q_left) + s.q_left, _identity(s.q_right) + s.q_right]
        fitted = debiased if self.momentum_into_precondition_update else g
        q = ops.cond(self._due(t), lambda: self._updated(q, fitted, t, each), lambda: q)
        u = _multiply(debiased, *(_gram(x) for x in q))
        rms = ops.sqrt(each.mean(ops.square(u)))
        u = u * each.spread(ops.minimum(1.1 / (rms + 1e-12), 1.0))
        return u, {"m": m, "q_left": q[0] - _identity(q[0]), "q_right": q[1] - _identity(q[1])}

    def _due(self, t):
        """Whether the preconditioner is updated at step t: whether the sum of the probabilities passes an integer."""
        falling = -math.log(self.min_update_probability) / _DECAY

        def updates(t):
            flat, later = ops.minimum(t, _FLAT), ops.maximum(t - _FLAT, 0.0)
            decayed = -ops.expm1(-_DECAY * ops.minimum(later, falling)) / _DECAY
            return ops.floor(flat + decayed + self.min_update_probability * ops.maximum(later - falling, 0.0))

        return updates(t) > updates(t - 1)

    def _updated(self, q, g, t, each):
        """Q after one step on the fitting criterion, with a probe."""
        left, right = q
        v = ops.cast(normal(g.shape, t), g.dtype)
        a = _multiply(g + _DAMPING * each.spread(each.mean(ops.abs(g))) * v, left, right)
        b = transpose(_divide(transpose(_divide(v, left)), right))
        moved = self._moved(left, a, b), self._moved(right, transpose(a), transpose(b))
        # Without any gradient, as of a layer that is cut off, Q would grow beyond all bounds.
        any_gradient = _largest(g) > 0
        left, right = (ops.where(any_gradient, new, old) for new, old in zip(moved, (left, right), strict=True))
        balance = ops.sqrt(_largest(right) / _largest(left))
        return [left * balance, right / balance]

    def _moved(self, q, a, b):
        if not _is_full(q):
            plus, minus = (ops.sum(ops.square(x), axis=-1, keepdims=True) for x in (a, b))
            return q - self.preconditioner_learning_rate * (plus - minus) / (_largest(plus + minus) + _TINY) * q
        plus, minus = a @ transpose(a), b @ transpose(b)
        move = ops.triu(plus - minus) / (_spectral_norm(plus + minus) + _TINY)
        return q - self.preconditioner_learning_rate * (move @ q)


def _is_full(q):
    """Whether `q` is triangular matrices; else it is their diagonals, as columns."""
    return q.shape[-2] == q.shape[-1]


def _identity(q):
    return ops.eye(q.shape[-1], dtype=q.dtype) if _is_full(q) else ops.ones_like(q)


def _gram(q):
    return transpose(q) @ q if _is_full(q) else ops.square(q)


def _multiply(x, left, right):
    """`left x right^T`."""
    x = left @ x if _is_full(left) else left * x
    return x @ transpose(right) if _is_full(right) else x * transpose(right)


def _divide(x, q):
    """`q^-T x`."""
    return ops.solve_triangular(transpose(q), x, lower=True) if _is_full(q) else x / q


def _largest(x):
    return ops.max(ops.abs(x), axis=(-2, -1), keepdims=True)


def _spectral_norm(a):
    """A lower bound of the largest eigenvalue of symmetric matrices: two power iterations from the longest column."""
    largest = _largest(a)
    a = a / (largest + _TINY)
    longest = ops.argmax(ops.sum(ops.square(a), axis=-2), axis=-1)
    x = a @ (a @ ops.expand_dims(ops.one_hot(longest, a.shape[-1], dtype=a.dtype), -1))
    x = a @ (x / (ops.sqrt(ops.sum(ops.square(x), axis=(-2, -1), keepdims=True)) + _TINY))
    return largest * ops.sqrt(ops.sum(ops.square(x), axis=(-2, -1), keepdims=True))
