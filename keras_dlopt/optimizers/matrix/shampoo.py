"""Shampoo."""

from typing import Annotated

from keras import ops

from keras_dlopt.optimizers.executor.every import every
from keras_dlopt.optimizers.executor.hyperparameters import Count, LearningRate, OneOf, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.matrix.blocks import block_shape, cut, join
from keras_dlopt.optimizers.matrix.eigenbasis import transpose
from keras_dlopt.optimizers.matrix.kernels import KernelOptimizer
from keras_dlopt.optimizers.matrix.roots import inverse_root
from keras_dlopt.optimizers.matrix.views import View


class Shampoo(KernelOptimizer):
    r"""Gradients whitened on both sides, in blocks, with the step length of Adam: the distributed form.

    $$L_t = \beta_2 L_{t-1} + (1-\beta_2) G_t G_t^\top, \qquad R_t = \beta_2 R_{t-1} + (1-\beta_2) G_t^\top G_t$$
    $$P_t = \hat L^{-1/4} \hat M_t \hat R^{-1/4}, \qquad
      W_{t+1} = W_t - \eta \lambda W_t - \eta\, \frac{\|A_t\|_F}{\|P_t\|_F} P_t$$

    Hats are bias corrections, M is the momentum of the gradient and A the step of Adam, whose length is grafted on.
    The roots are of the statistics up to `precondition_frequency` steps ago; until `start_preconditioning_step` the
    step is A itself. A kernel longer than `block_size` on a side is cut into equal blocks, each a matrix of its own.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the momentum, in [0, 1).
        beta_2: decay of L, R and of Adam's second moment, in [0, 1).
        precondition_frequency: steps between computations of the roots, >= 1.
        start_preconditioning_step: the first step that is not Adam's, >= 1; `None` is `precondition_frequency`.
        block_size: the longest side of a block, >= 1.
        root_order: which root of L and R is inverted, >= 1: 4 is Shampoo's, 2 squares what it does to each side.
        matrix_epsilon: ridge added to L and R before the roots, relative to their Frobenius norms, > 0.
        graft: whose step length is taken: "adam", or "sgd" for that of the momentum.
        epsilon: > 0, keeps Adam's root away from 0; AdamW's too.
        exclude_layers, exclude_embeddings, exclude_head, per_head, input_axes: what goes to AdamW and how kernels
            are read as matrices, see `KernelOptimizer`.
        adam_beta_1, adam_beta_2, adam_weight_decay, adam_lr_ratio: AdamW's, see there.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 24 bytes a parameter of a square block, $8 + 8 (m^2 + n^2) / (m n)$ of another, 8 where AdamW serves.

    Source: Gupta et al., arXiv 1802.09568; Anil et al., arXiv 2002.09018; Shi et al., arXiv 2309.06497, whose form
    this is (grafting and bias correction a block), with the roots of 2002.09018.

    Example:

    >>> import keras
    >>> w = keras.Variable(keras.ops.zeros((2, 2)), name="kernel")
    >>> Shampoo(0.1, precondition_frequency=1).apply([keras.ops.array([[3.0, 0], [0, 0.5]])], [w])
    >>> keras.ops.convert_to_numpy(w).round(3) + 0.0            # both directions move alike
    array([[-0.1,  0. ],
           [ 0. , -0.1]], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    precondition_frequency: Count = 10
    start_preconditioning_step: Count | None = None
    block_size: Count = 1024
    root_order: Count = 4
    matrix_epsilon: Positive = 1e-6
    graft: Annotated[str, OneOf(("adam", "sgd"))] = "adam"
    epsilon: Positive = 1e-8

    nonnegative = ("v",)

    @property
    def slots(self):
        return ("m", "left", "right", "root_left", "root_right", *(("v",) if self.graft == "adam" else ()))

    def slot_shape(self, slot, shape):
        if slot in ("m", "v"):
            return shape
        size = shape[0] if slot.endswith("left") else shape[1]
        return (size, size)

    def rule(self, g, w, s, t, each):
        bias_1, bias_2 = bias_correction(self.beta_1, t), bias_correction(self.beta_2, t)
        m = mix(s.m, g, self.beta_1)
        new = {"m": m}
        a = m = m / bias_1
        if self.graft == "adam":
            new["v"] = mix(s.v, ops.square(g), self.beta_2)
            a = m / (ops.sqrt(new["v"] / bias_2) + self.epsilon)
        new["left"] = mix(s.left, g @ transpose(g), self.beta_2)
        new["right"] = mix(s.right, transpose(g) @ g, self.beta_2)
        start = self.start_preconditioning_step or self.precondition_frequency
        new["root_left"], new["root_right"] = every(
            self.precondition_frequency,
            t - start + 1,
            lambda: [inverse_root(new[x] / bias_2, self.root_order, self.matrix_epsilon) for x in ("left", "right")],
            [s.root_left, s.root_right],
        )
        p = new["root_left"] @ m @ new["root_right"]
        norm = each.norm(p)
        p = p * each.spread(each.norm(a) / ops.where(norm > 0, norm, ops.ones_like(norm)))
        return ops.where(t < start, a, p), new

    # Blocks

    def matrices(self, variable):
        """How `variable` is read as blocks."""
        count, rows, columns, order = super().matrices(variable)
        height, width = block_shape(rows, columns, self.block_size)
        blocks = count * -(-rows // height) * -(-columns // width)
        return blocks, height, width, (count, rows, columns, order)

    def to_matrices(self, tensor, seen):
        """The blocks of a variable, (count, rows, columns)."""
        return cut(View(*seen[3]).read(tensor), seen[1:3])

    def from_matrices(self, matrices, shape, seen):
        """The variable's tensor from its blocks."""
        whole = View(*seen[3])
        return whole.write(join(matrices, *whole[:3]), shape)
