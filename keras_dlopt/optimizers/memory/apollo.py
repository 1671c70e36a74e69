"""APOLLO."""

from typing import Annotated

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import (
    Count,
    LearningRate,
    NonNegative,
    OneOf,
    Positive,
    Range,
    UnitInterval,
)
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.matrix.kernels import KernelOptimizer
from keras_dlopt.optimizers.memory.projection import (
    is_tall,
    project,
    projected_shape,
    projection_shape,
    random_projection,
)


class APOLLO(KernelOptimizer):
    r"""SGD with a rate for each channel that Adam chooses, in a random projection of few dimensions.

    $$R_t = G_t P_t, \qquad \tilde R_t = M_t / (\sqrt{V_t} + \epsilon), \qquad
      s_i = \|\tilde R_t(i)\| / \|R_t(i)\|, \qquad \tilde G_t = \mathrm{diag}(s)\, G_t$$
    $$\tilde G_t \leftarrow \tilde G_t \min(1,\ \gamma \|\tilde G_{t-1}\|_F / \|\tilde G_t\|_F), \qquad
      W_{t+1} = W_t - \eta \lambda W_t - \eta \alpha \frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t}\, \tilde G_t$$

    M and V are Adam's moments of R. P is normal of variance 1 / r, with as many rows as the matrix has columns; where
    a matrix has more columns than rows, P stands on the left and the channels i are columns: the shorter side is
    projected, and channels lie along the longer one. P is drawn anew at the steps 1, T + 1, 2T + 1, ... as a function
    of `seed` and that step, and not stored.

    APOLLO-Mini is `APOLLO(rank=1, scale_type="tensor", scale=128**0.5)`: one s for the whole matrix.

    As in the author's code the limit is set before the bias correction; its `scale` is the square of this one, which
    is the paper's. A matrix whose last gradient was 0 is not limited: its norm could grow by 1 % a step from 0 only.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        rank: r, at most the shorter side counts; >= 1.
        update_proj_gap: T, steps between new projections, >= 1.
        scale: alpha > 0.
        scale_type: "channel", or "tensor" for one s a matrix.
        growth_limit: gamma >= 1, how much the norm of a matrix's update may grow in a step, or `None`.
        seed: whole number >= 0, of the random projections.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        weight_decay: decoupled weight decay lambda, >= 0 or `None`.
        epsilon: > 0, keeps Adam's root away from 0; AdamW's too.
        exclude_layers, exclude_embeddings, exclude_head, per_head, input_axes: what goes to AdamW and how kernels
            are read as matrices, see `KernelOptimizer`.
        adam_beta_1, adam_beta_2, adam_weight_decay, adam_lr_ratio: AdamW's, see there.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: $8 r$ bytes a place of the longer side: 0.5 bytes a parameter for a matrix of 4096 x 4096 at rank 256, 4 for
    one of 512 x 512, 0.002 of APOLLO-Mini. 8 a parameter where AdamW serves.

    Source: Zhu et al., arXiv 2412.05270.

    Example:

    >>> import keras
    >>> w = keras.Variable(keras.ops.zeros((2, 2)), name="kernel")
    >>> APOLLO(0.1, rank=1).apply([keras.ops.array([[3.0, 4.0], [0.0, 0.5]])], [w])
    >>> w = keras.ops.convert_to_numpy(w)                       # each row goes along its gradient, the rate far
    >>> (w[:, 0] / w[:, 1]).round(3) + 0.0
    array([0.75, 0.  ], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    rank: Count = 256
    update_proj_gap: Count = 200
    scale: Positive = 1.0
    scale_type: Annotated[str, OneOf(("channel", "tensor"))] = "channel"
    growth_limit: Annotated[float, Range(1.0)] | None = 1.01
    seed: Annotated[int, Range(0, integer=True)] = 0
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    weight_decay: NonNegative | None = None
    adam_weight_decay: NonNegative | None = None
    epsilon: Positive = 1e-6

    @property
    def slots(self):
        return ("m", "v") if self.growth_limit is None else ("m", "v", "norm")

    def slot_shape(self, slot, shape):
        return () if slot == "norm" else projected_shape(shape, self.rank)

    def rule(self, g, w, s, t, each):
        r = project(g, self.projection(g.shape, g.dtype, t))
        m, v = mix(s.m, r, self.beta_1), mix(s.v, ops.square(r), self.beta_2)
        u = g * self._scales(m / (ops.sqrt(v) + self.epsilon), r, g.shape)
        new = {"m": m, "v": v}
        if self.growth_limit is not None:
            norm = each.norm(u)
            new["norm"] = ops.where(s.norm > 0, ops.minimum(norm, self.growth_limit * s.norm), norm)
            u = u * each.spread(ops.divide_no_nan(new["norm"], norm))
        factor = self.scale * ops.sqrt(bias_correction(self.beta_2, t)) / bias_correction(self.beta_1, t)
        return (u, factor), new

    def projection(self, shape, dtype, t):
        """The projection at step `t` of matrices of `shape`, (count, rows, columns): that of the last refresh."""
        drawn = t - ops.mod(t - 1, self.update_proj_gap)
        return random_projection((shape[0], *projection_shape(shape[1:], self.rank)), dtype, self.seed, drawn)

    def _scales(self, direction, r, shape):
        """How much longer Adam's direction is than the gradient, in the projection: for each channel or matrix."""
        axes = (1, 2) if self.scale_type == "tensor" else 2 if is_tall(shape) else 1
        norms = (ops.sqrt(ops.sum(ops.square(x), axis=axes, keepdims=True)) for x in (direction, r))
        return ops.divide_no_nan(*norms)
