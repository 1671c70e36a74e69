"""NorMuon."""

import math

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, UnitInterval
from keras_dlopt.optimizers.executor.moments import mix
from keras_dlopt.optimizers.matrix.muon import Muon


class NorMuon(Muon):
    r"""Muon with a second moment for each output neuron, so that all of them learn at the same pace.

    $$O_t = \mathrm{NewtonSchulz}(U_t), \qquad
      v_t = \beta_2 v_{t-1} + (1-\beta_2) \operatorname{mean}_{\mathrm{in}} O_t^2, \qquad
      \hat O_t = O_t / \sqrt{v_t}$$
    $$W_{t+1} = W_t - \eta \lambda W_t - \eta\, 0.2 \sqrt{\mathrm{in} \cdot \mathrm{out}}\, \hat O_t / \|\hat O_t\|_F$$

    U is Muon's momentum. With `rms_rate=None` the update keeps the norm of O and has the scale of the author's code,
    $\sqrt{\max(1, \mathrm{out}/\mathrm{in})}$; convolution kernels are matrices throughout, as in the paper.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_2: decay of the second moment, in [0, 1).
        weight_decay: decoupled weight decay lambda, >= 0 or `None`.
        rms_rate: root mean square of the update's elements, > 0, or `None` for the scale of the author's code.
        momentum, nesterov, ns_steps, muon_a, muon_b, muon_c, polar_express, newton_schulz_dtype: as in `Muon`.
        exclude_layers, exclude_embeddings, exclude_head, per_head, input_axes: what goes to AdamW and how kernels
            are read as matrices, see `KernelOptimizer`.
        adam_beta_1, adam_beta_2, adam_weight_decay, adam_lr_ratio, epsilon: AdamW's, see there.
        **kwargs: what every optimizer takes, see `Optimizer`.

    Memory: 4 bytes a parameter and 4 an output, 8 a parameter where AdamW serves.

    Source: Li et al., arXiv 2510.05491.

    Example:

    >>> import keras
    >>> w = keras.Variable(keras.ops.zeros((2, 2)), name="kernel")
    >>> NorMuon(1.0).apply([keras.ops.array([[3.0, 0], [0, 0.5]])], [w])
    >>> keras.ops.convert_to_numpy(w).round(3) + 0.0            # root mean square 0.2, both outputs alike
    array([[-0.283,  0.   ],
           [ 0.   , -0.283]], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_2: UnitInterval = 0.95

    slots = ("m", "v")

    def slot_shape(self, slot, shape):
        return (1, shape[1]) if slot == "v" else shape

    def rule(self, g, w, s, t, each):
        o, m = self.orthogonal(g, s)
        v = mix(s.v, ops.mean(ops.square(o), axis=1, keepdims=True), self.beta_2)
        u = o / (ops.sqrt(v) + 1e-10)
        rows, columns = g.shape[1:]
        if self.rms_rate is None:
            norm = each.norm(o) * math.sqrt(max(1, columns / rows))
        else:
            norm = self.rms_rate * math.sqrt(rows * columns)
        return u * each.spread(norm / (each.norm(u) + 1e-10)), {"m": m, "v": v}
