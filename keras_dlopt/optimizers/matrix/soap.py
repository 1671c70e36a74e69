"""SOAP."""

from keras import ops

from keras_dlopt.optimizers.executor.every import every
from keras_dlopt.optimizers.executor.hyperparameters import Count, LearningRate, NonNegative, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.matrix.eigenbasis import first_bases, ordered, refreshed, transpose
from keras_dlopt.optimizers.matrix.kernels import KernelOptimizer


class SOAP(KernelOptimizer):
    r"""Adam in the eigenbasis of Shampoo's preconditioner.

    $$L_t = \beta L_{t-1} + (1-\beta) G_t G_t^\top, \qquad R_t = \beta R_{t-1} + (1-\beta) G_t^\top G_t$$
    $$G'_t = Q_L^\top G_t Q_R, \qquad
      W_{t+1} = (1 - \eta \lambda)\, (W_t - \eta\, Q_L\, \mathrm{Adam}(G'_t)\, Q_R^\top)$$

    The bases are the eigenvectors of L and R: of the first gradient at step 1, which moves no weight, and brought up
    to date after every `precondition_frequency` steps by one power iteration and a QR decomposition. Kernels are
    matrices as in `KernelOptimizer`, also those of convolutions, to which the author's code gives a basis an axis.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        shampoo_beta: beta, decay of L and R, in [0, 1); `None` is `beta_2`.
        weight_decay: decoupled weight decay lambda, >= 0 or `None`; after the step.
        precondition_frequency: steps between refreshes of the bases, >= 1.
        max_precondition_dim: a side of a matrix that is longer keeps its axes, >= 1.
        epsilon: > 0, keeps Adam's root away from 0; AdamW's too.
        exclude_layers, exclude_embeddings, exclude_head, per_head, input_axes: what goes to AdamW and how kernels
            are read as matrices, see `KernelOptimizer`.
        adam_beta_1, adam_beta_2, adam_weight_decay, adam_lr_ratio: AdamW's, see there.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 24 bytes a parameter of a square matrix, $8 + 8 (m^2 + n^2) / (m n)$ of another, 8 where AdamW serves.

    Source: Vyas et al., arXiv 2409.11321.

    Example:

    >>> import keras
    >>> w, g = keras.Variable(keras.ops.zeros((2, 2)), name="kernel"), keras.ops.array([[2.0, 1.0], [1.0, 2.0]])
    >>> optimizer = SOAP(0.1, weight_decay=None, epsilon=1e-3)
    >>> for _ in range(2): optimizer.apply([g], [w])            # the first step finds the bases
    >>> keras.ops.convert_to_numpy(w).round(2) + 0.0            # gradients 3 and 1 along them: both move alike
    array([[-0.1,  0. ],
           [ 0. , -0.1]], dtype=float32)
    """

    learning_rate: LearningRate = 0.003
    beta_1: UnitInterval = 0.95
    beta_2: UnitInterval = 0.95
    shampoo_beta: UnitInterval | None = None
    weight_decay: NonNegative | None = 0.01
    precondition_frequency: Count = 10
    max_precondition_dim: Count = 10000
    adam_beta_1: UnitInterval = 0.95
    adam_beta_2: UnitInterval = 0.95
    epsilon: Positive = 1e-8

    slots = ("m", "v", "left", "right", "q_left", "q_right")
    nonnegative = ("v",)
    whole_step = True

    def slot_shape(self, slot, shape):
        if slot in ("m", "v"):
            return shape
        size = shape[0] if slot.endswith("left") else shape[1]
        return (size, size) if size <= self.max_precondition_dim else ()

    def rule(self, g, w, s, t, lr, decay):
        q = {side: getattr(s, f"q_{side}") for side in ("left", "right")}
        q = {side: basis for side, basis in q.items() if len(basis.shape) > 1}
        turned = ops.where(t > 1, _turn(g, q), ops.zeros_like(g))
        m, v = mix(s.m, turned, self.beta_1), mix(s.v, ops.square(turned), self.beta_2)
        steps = ops.maximum(t - 1, 1)  # of Adam
        scale = lr * ops.sqrt(bias_correction(self.beta_2, steps)) / bias_correction(self.beta_1, steps)
        step = scale * _turn_back(m / (ops.sqrt(v) + self.epsilon), q)
        if decay is not None:
            step = (1 - lr * decay) * step + lr * decay * w
        beta = self.beta_2 if self.shampoo_beta is None else self.shampoo_beta
        grams = {"left": g @ transpose(g), "right": transpose(g) @ g}
        grams = {side: mix(getattr(s, side), grams[side], beta) for side in q}
        m, v, q = every(self.precondition_frequency, t, lambda: self._refreshed(g, t, m, v, q, grams), (m, v, q))
        new = {"m": m, "v": v, **grams, **{f"q_{side}": basis for side, basis in q.items()}}
        return ops.where(t > 1, step, ops.zeros_like(step)), new

    def _refreshed(self, g, t, m, v, q, grams):
        """The moments and the bases after a refresh; v is ordered as the eigenvalues, m turned into the new bases."""

        def first():
            found = zip(("left", "right"), first_bases(g, self.max_precondition_dim), strict=True)
            return m, v, {side: basis for side, basis in found if basis is not None}

        def later():
            new, sorted_v = {}, v
            for side, basis in q.items():
                new[side], order = refreshed(grams[side], basis)
                sorted_v = ordered(sorted_v, order, axis=-2 if side == "left" else -1)
            return _turn(_turn_back(m, q), new), sorted_v, new

        return ops.cond(ops.equal(t, 1), first, later)


def _turn(x, q):
    """Matrices in the bases `q` of their sides."""
    x = transpose(q["left"]) @ x if "left" in q else x
    return x @ q["right"] if "right" in q else x


def _turn_back(x, q):
    """Undoes `_turn`."""
    x = q["left"] @ x if "left" in q else x
    return x @ transpose(q["right"]) if "right" in q else x
