"""GaLore."""

from keras import ops

from keras_dlopt.optimizers.executor.every import every
from keras_dlopt.optimizers.executor.hyperparameters import Count, LearningRate, NonNegative, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.matrix.kernels import KernelOptimizer
from keras_dlopt.optimizers.memory.projection import (
    aligned,
    leading_directions,
    project,
    project_back,
    projected_shape,
    projection_shape,
)


class GaLore(KernelOptimizer):
    r"""Adam on the part of the gradient that lies along its leading singular vectors.

    $$R_t = G_t P_t, \qquad M_t = \beta_1 M_{t-1} + (1-\beta_1) R_t, \qquad
      V_t = \beta_2 V_{t-1} + (1-\beta_2) R_t^2$$
    $$W_{t+1} = W_t - \eta \lambda W_t
      - \eta \alpha \frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t}\, \frac{M_t}{\sqrt{V_t} + \epsilon}\, P_t^\top$$

    The columns of P are the first r right singular vectors of $G_t$ at the steps 1, T + 1, 2T + 1, ... of a matrix
    with no more columns than rows; of others P is made of left singular vectors and stands on the left, so that it is
    the shorter side that is projected, as in the author's code. M and V stay as they are when P changes. Singular
    vectors come from an eigendecomposition of the smaller Gram matrix, which unlike an SVD compiles for every device,
    and each gets the sign that its predecessor points along, which the author's leaves to chance.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        rank: r, at most the shorter side counts; >= 1.
        update_proj_gap: T, steps between refreshes of P, >= 1.
        scale: alpha > 0.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        weight_decay: decoupled weight decay lambda, >= 0 or `None`.
        epsilon: > 0, keeps Adam's root away from 0; AdamW's too.
        exclude_layers, exclude_embeddings, exclude_head, per_head, input_axes: what goes to AdamW and how kernels
            are read as matrices, see `KernelOptimizer`.
        adam_beta_1, adam_beta_2, adam_weight_decay, adam_lr_ratio: AdamW's, see there.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: $8 r$ bytes a place of the longer side and $4 r$ of the shorter: 0.375 bytes a parameter for a matrix of
    4096 x 4096 at rank 128, 3 for one of 512 x 512. 8 a parameter where AdamW serves.

    Source: Zhao et al., arXiv 2403.03507.

    Example:

    >>> import keras
    >>> w = keras.Variable(keras.ops.zeros((2, 2)), name="kernel")
    >>> GaLore(1.0, rank=1, scale=1.0).apply([keras.ops.array([[3.0, 0.0], [0.0, 0.5]])], [w])
    >>> keras.ops.convert_to_numpy(w).round(3) + 0.0            # only the leading direction moves
    array([[-1.,  0.],
           [ 0.,  0.]], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    rank: Count = 128
    update_proj_gap: Count = 200
    scale: Positive = 0.25
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    weight_decay: NonNegative | None = None
    adam_weight_decay: NonNegative | None = None
    epsilon: Positive = 1e-6

    slots = ("m", "v", "p")

    def slot_shape(self, slot, shape):
        return projection_shape(shape, self.rank) if slot == "p" else projected_shape(shape, self.rank)

    def rule(self, g, w, s, t):
        p = every(self.update_proj_gap, t, lambda: aligned(leading_directions(g, self.rank), s.p), s.p)
        # A matrix without a finite gradient in the step of the first refresh: its first r axes until the next one.
        found = ops.any(ops.not_equal(p, 0), axis=(-2, -1), keepdims=True)
        p = ops.where(found, p, ops.eye(*p.shape[-2:], dtype=p.dtype))
        r = project(g, p)
        m, v = mix(s.m, r, self.beta_1), mix(s.v, ops.square(r), self.beta_2)
        factor = self.scale * ops.sqrt(bias_correction(self.beta_2, t)) / bias_correction(self.beta_1, t)
        return (project_back(m / (ops.sqrt(v) + self.epsilon), p, g.shape), factor), {"m": m, "v": v, "p": p}
