"""Adam-mini."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import LearningRate, Positive, UnitInterval
from keras_dlopt.optimizers.executor.moments import bias_correction, mix
from keras_dlopt.optimizers.executor.optimizer import Optimizer


class AdamMini(Optimizer):
    r"""Adam with one second moment for each block of weights that share a curvature, such as a neuron's.

    $$m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad
      v_t^b = \beta_2 v_{t-1}^b + (1-\beta_2)\, \mathrm{mean}_{i \in b}\, g_t(i)^2$$
    $$w_{t+1} = w_t - \eta\, \frac{m_t / (1-\beta_1^t)}{\sqrt{v_t^b / (1-\beta_2^t)} + \epsilon}$$

    The blocks b of a variable in Keras's layouts, by its path (the author's code goes by torch's names):

    - kernels of layers named query or key, (inputs, heads, head size): one a head;
    - kernels of layers named value, (inputs, heads, head size): one a place of the last two axes, a neuron's;
    - other kernels, of two axes and more: one a place of the last axis, the weights that make one output;
    - variables with "embed" in their name: one a place of the first axis, a token's;
    - gains (gamma, scale): one for all;
    - biases and every other vector or scalar: none, every element has its own.

    The author's code gives a convolution kernel one block; here each of its outputs has one.

    Args:
        learning_rate: step size eta, >= 0, or a schedule.
        beta_1: decay of the first moment, in [0, 1).
        beta_2: decay of the second moment, in [0, 1).
        epsilon: > 0, keeps the root away from 0.
        **kwargs: what every optimizer takes, see `Optimizer`. `weight_decay` is decoupled.

    Memory: 4 bytes a parameter and 4 a block.

    Source: Zhang et al., arXiv 2406.16793.

    Example:

    >>> import keras
    >>> w = keras.Variable(keras.ops.zeros((2, 1)), name="kernel")
    >>> AdamMini(0.1).apply([[[1.0], [7.0]]], [w])             # the root mean square of this neuron's gradient is 5
    >>> keras.ops.convert_to_numpy(w).round(3)
    array([[-0.02],
           [-0.14]], dtype=float32)
    """

    learning_rate: LearningRate = 0.001
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-8

    slots = ("m", "v")
    nonnegative = ("v",)
    form = "alone"
    block = "neuron"

    def slot_shape(self, slot, shape):
        """The variable's shape; for `v` without the axes that blocks extend over."""
        inside = self._inside(len(shape)) if slot == "v" else ()
        return tuple(n for axis, n in enumerate(shape) if axis not in inside)

    def takes(self, variable):
        """Whether the blocks of `variable` are of this kind."""
        return blocks_of(variable) == self.block

    def companion(self):
        """The same rule with the next kind of block."""
        after = _KINDS[_KINDS.index(type(self)) + 1]
        return after(beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon, weight_decay=self.weight_decay)

    def rule(self, g, w, s, t, each):
        m = mix(s.m, g, self.beta_1)
        v = mix(s.v, self._means(ops.square(g), each), self.beta_2)
        root = ops.sqrt(v) / ops.sqrt(bias_correction(self.beta_2, t)) + self.epsilon
        return (m / self._spread(root, g, each), 1 / bias_correction(self.beta_1, t)), {"m": m, "v": v}

    def _inside(self, rank):
        """The axes that a block extends over."""
        return tuple(range(rank - 1))

    def _means(self, x, each):
        return ops.mean(x, axis=self._inside(len(x.shape)))

    def _spread(self, values, g, each):
        return ops.expand_dims(values, self._inside(len(g.shape)))


class _ValueNeurons(AdamMini):
    block = "value neuron"

    def _inside(self, rank):
        return (0,)


class _Heads(AdamMini):
    block = "head"

    def _inside(self, rank):
        return (0, 2)


class _Tokens(AdamMini):
    block = "token"

    def _inside(self, rank):
        return tuple(range(1, rank))


class _Variables(AdamMini):
    """One block a variable."""

    block = "variable"
    form = "flat"

    def slot_shape(self, slot, shape):
        return () if slot == "v" else shape

    def _means(self, x, each):
        return each.mean(x)

    def _spread(self, values, g, each):
        return each.spread(values)


class _Elements(AdamMini):
    """Every element its own block: Adam."""

    block = "element"
    form = "flat"

    def slot_shape(self, slot, shape):
        return shape

    def _means(self, x, each):
        return x

    def _spread(self, values, g, each):
        return values


_KINDS = (AdamMini, _ValueNeurons, _Heads, _Tokens, _Variables, _Elements)


def blocks_of(variable):
    """The kind of blocks that `variable` is divided into: the `block` of one of the classes above."""
    layer, name = ["", *variable.path.lower().split("/")][-2:]
    rank = len(variable.shape)
    if "gamma" in name or "scale" in name:
        return "variable"
    if rank < 2 or "bias" in name or "beta" in name:
        return "element"
    if "embed" in name:
        return "token"
    if rank == 3 and layer in ("query", "key"):
        return "head"
    return "value neuron" if rank == 3 and layer == "value" else "neuron"
