"""Muon."""

import math
from typing import Annotated

from keras_dlopt.optimizers.executor.hyperparameters import (
    Count,
    LearningRate,
    NonNegative,
    OneOf,
    Positive,
    Range,
    Switch,
    UnitInterval,
)
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.matrix.kernels import KernelOptimizer
from keras_dlopt.optimizers.matrix.newton_schulz import orthogonalize, polar_express
from keras_dlopt.optimizers.matrix.selection import Patterns


class Muon(KernelOptimizer):
    r"""Momentum whose singular values are all brought near 1; Keras's arguments, right behaviour.

    $$M_t = \mu M_{t-1} + (1-\mu) G_t, \qquad U_t = \mu M_t + (1-\mu) G_t$$
    $$W_{t+1} = W_t - \eta \lambda W_t - \eta\, \rho\, \mathrm{NewtonSchulz}(U_t)$$

    With the default scale $\rho = 0.2 \sqrt{\max(\mathrm{in}, \mathrm{out})}$ a step is as large as AdamW's, whose
    learning rate and decay then fit; the author's is $\sqrt{\max(1, \mathrm{out}/\mathrm{in})}$.

    Unlike Keras's, which gives everything but rank 2 to AdamW and the two-axis biases of attention layers to Muon,
    this one takes the kernels of attention, `EinsumDense` and convolution layers, and no bias; the output head goes
    to AdamW; an embedding is known by its variable's name, not by that of a layer around it; `rms_rate=None` gives
    the author's scale instead of none; AdamW's decay is times its own learning rate.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        weight_decay: decoupled weight decay lambda, >= 0 or `None`.
        momentum: mu, in [0, 1).
        nesterov: whether U looks ahead as above; without, it is M.
        ns_steps: Newton-Schulz iterations.
        muon_a, muon_b, muon_c: the coefficients of each iteration.
        polar_express: use the coefficients of arXiv 2505.16932 instead, which are optimal step by step and come
            closer to 1; the three above are then not used.
        newton_schulz_dtype: what the iterations compute in: "bfloat16", as the author's do, "float16" or "float32";
            `None` is float32.
        rms_rate: root mean square of the update's elements for a full-rank square matrix (arXiv 2502.16982), > 0;
            `None` for the author's scale, whose learning rate is about 0.02.
        exclude_layers, exclude_embeddings, exclude_head, per_head, input_axes: what goes to AdamW and how kernels
            are read as matrices, see `KernelOptimizer`.
        adam_beta_1, adam_beta_2, adam_weight_decay, adam_lr_ratio, epsilon: AdamW's, see there.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 4 bytes a parameter, 8 where AdamW serves.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; arXiv 2502.16982.

    Example:

    >>> import keras
    >>> w = keras.Variable(keras.ops.zeros((2, 2)), name="kernel")
    >>> Muon(1.0, polar_express=True, ns_steps=9, rms_rate=None).apply([keras.ops.array([[3.0, 0], [0, 0.5]])], [w])
    >>> keras.ops.convert_to_numpy(w).round(3) + 0.0            # both directions move alike
    array([[-1.,  0.],
           [ 0., -1.]], dtype=float32)
    """

    # In Keras's order.
    learning_rate: LearningRate = 0.001
    adam_beta_1: UnitInterval = 0.9
    adam_beta_2: UnitInterval = 0.999
    adam_weight_decay: NonNegative | None = 0.004
    epsilon: Positive = 1e-7
    weight_decay: NonNegative | None = 0.004
    exclude_layers: Patterns | None = None
    exclude_embeddings: Switch = True
    muon_a: Annotated[float, Range()] = 3.4445
    muon_b: Annotated[float, Range()] = -4.7750
    muon_c: Annotated[float, Range()] = 2.0315
    adam_lr_ratio: Positive = 1.0
    momentum: UnitInterval = 0.95
    ns_steps: Count = 5
    nesterov: Switch = True
    rms_rate: Positive | None = 0.2
    polar_express: Switch = False
    newton_schulz_dtype: Annotated[str, OneOf(("bfloat16", "float16", "float32"))] | None = None

    slots = ("m",)

    def rule(self, g, w, s, t):
        o, m = self.orthogonal(g, s)
        rows, columns = g.shape[1:]
        scale = math.sqrt(max(1, columns / rows))
        if self.rms_rate is not None:
            scale = self.rms_rate * math.sqrt(max(rows, columns))
        return (o, scale), {"m": m}

    def orthogonal(self, g, s):
        """The orthogonalized momentum, and the momentum."""
        m = mix(s.m, g, self.momentum)
        u = mix(m, g, self.momentum) if self.nesterov else m
        return orthogonalize(u, self.coefficients, self.newton_schulz_dtype), m

    @property
    def coefficients(self):
        """The coefficients of each Newton-Schulz iteration."""
        if self.polar_express:
            return polar_express(self.ns_steps)
        return [(self.muon_a, self.muon_b, self.muon_c)] * self.ns_steps
