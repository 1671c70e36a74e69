"""Rounding to the values an 8-bit integer model will have, in a way that still trains.

Fake quantization rounds a float to the nearest of 255 or 256 evenly spaced levels and hands the gradient through
unchanged inside the range (the straight-through estimator; Jacob et al., "Quantization and Training of Neural Networks
for Efficient Integer-Arithmetic-Only Inference", arXiv 1712.05877).
"""

import keras
from keras import ops

BITS = 8


def fake_quant_kernel(kernel, axis=None, bits=BITS):
    r"""A kernel rounded to the levels `scale * {-n, ..., n}`, `n = 2**(bits - 1) - 1`, `scale = max|kernel| / n`.

    The levels are symmetric and exclude -128, as LiteRT requires of weights, so zero is a level: a pruned weight stays
    exactly zero. The range follows the kernel and is not differentiated. Levels of fewer than 8 bits are among those of
    8 bits, which the file stores: it has the same size, and gzip finds the fewer levels in it.

    Args:
        kernel: float32 tensor.
        axis: the axis that holds the output channels, each with a scale of its own; `None` gives one scale to the
            whole tensor.
        bits: of a weight, from 2 to 8. Defaults to 8.

    Example:

    >>> fake_quant_kernel(ops.array([-1.0, 0.0, 0.3, 1.0])).numpy() * 127
    array([-127.,    0.,   38.,  127.], dtype=float32)
    >>> (fake_quant_kernel(ops.array([-1.0, 0.0, 0.3, 1.0]), bits=4).numpy() * 7).round(5)
    array([-7.,  0.,  2.,  7.], dtype=float32)
    """
    others = None if axis is None else [i for i in range(len(kernel.shape)) if i != axis % len(kernel.shape)]
    # A channel that is all zeros still needs a scale above zero.
    limit = ops.stop_gradient(ops.maximum(ops.max(ops.abs(kernel), axis=others, keepdims=axis is not None), 1e-6))
    if bits < BITS:
        levels, largest = 2 ** (bits - 1) - 1, 2 ** (BITS - 1) - 1
        rounded = ops.round(kernel * (levels / limit)) * (limit / levels)
        kernel = kernel + ops.stop_gradient(rounded - kernel)
        # Each level is `largest // levels` of the finer ones, from which the step below cannot move it.
        limit = limit * (largest / (levels * (largest // levels)))
    limit = ops.reshape(limit, () if axis is None else (-1,))
    return keras.quantizers.fake_quant_with_min_max_vars(
        kernel, -limit, limit, num_bits=BITS, narrow_range=True, axis=axis
    )


def affine(inputs, scale, offset):
    """`inputs * scale + offset`, channel by channel on the last axis, as LiteRT computes it in one integer operation.

    A depthwise convolution of one tap: its 8-bit kernel has a scale for each channel, so nothing of `scale` is lost,
    and its bias has 32 bits.
    """
    channels = inputs.shape[-1]
    scale = fake_quant_kernel(ops.reshape(ops.broadcast_to(scale, (channels,)), (1, 1, 1, channels)), axis=-1)
    grid = inputs if len(inputs.shape) == 4 else ops.reshape(inputs, (ops.shape(inputs)[0], 1, -1, channels))
    # The converter folds scales only where they lie on the last axis: rounded there, the kernel is turned after.
    outputs = ops.depthwise_conv(grid, ops.reshape(scale, (1, 1, channels, 1)), data_format="channels_last") + offset
    return outputs if grid is inputs else ops.reshape(outputs, ops.shape(inputs))


def extremes(inputs):
    """`min(0, min(x))` and `max(0, max(x))`."""
    inputs = ops.stop_gradient(inputs)
    return ops.minimum(ops.min(inputs), 0.0), ops.maximum(ops.max(inputs), 0.0)


@keras.saving.register_keras_serializable("keras_dlopt")
class FakeQuant(keras.layers.Layer):
    r"""Rounds activations to 256 levels over a range that always contains zero.

    While training, the range follows the batches' extremes: their mean over the first `1 / (1 - momentum)` batches, an
    exponential moving average after that,

        `m_t = min(momentum, t / (t + 1))`
        `low  <- m_t * low  + (1 - m_t) * min(0, min(x))`
        `high <- m_t * high + (1 - m_t) * max(0, max(x))`

    At inference it is used as it is. Before the first training batch it is [-6, 6]. The share of the last batch that
    lay outside, and so was cut off, is in the variable `outside`.

    Args:
        limits: `(low, high)` where LiteRT prescribes the range of an int8 output, as for softmax; `None` learns it.
        momentum: of the moving average, in [0, 1). Defaults to 0.99.
    """

    def __init__(self, limits=None, momentum=0.99, **kwargs):
        super().__init__(**kwargs)
        self.limits = None if limits is None else tuple(limits)
        self.momentum = momentum
        self.supports_masking = True
        self.observing = False  # set by `calibrate`: learn the range outside training, too

    def build(self, input_shape):
        if self.limits is None:
            self.low = self._statistic("low", -6.0)
            self.high = self._statistic("high", 6.0)
            self.batches = self._statistic("batches", 0.0)
            self.outside = self._statistic("outside", 0.0)

    def _statistic(self, name, start):
        # Replicas see different batches: "mean" keeps one range for all of them.
        return self.add_weight(
            name=name,
            shape=(),
            dtype="float32",
            initializer=keras.initializers.Constant(start),
            trainable=False,
            aggregation="mean",
        )

    @property
    def observed(self):
        """Whether the range is known: prescribed, or seen on at least one training batch."""
        return self.limits is not None or float(ops.convert_to_numpy(self.batches)) > 0

    def call(self, inputs, training=None):
        if (training or self.observing) and self.limits is None:
            beyond = ops.logical_or(inputs < self.low, inputs > self.high)
            self.outside.assign(ops.mean(ops.cast(ops.stop_gradient(beyond), "float32")))
            self.update(*extremes(inputs))
        return self.rounded(inputs)

    def rounded(self, inputs):
        """`inputs` on the levels of the range as it stands."""
        low, high = self.limits or (self.low, self.high)
        return keras.quantizers.fake_quant_with_min_max_vars(inputs, low, high, num_bits=BITS)

    def update(self, low, high):
        """Takes in the extremes of one batch."""
        momentum = ops.minimum(self.momentum, self.batches / (self.batches + 1.0))
        self.low.assign(momentum * self.low + (1.0 - momentum) * low)
        self.high.assign(momentum * self.high + (1.0 - momentum) * high)
        self.batches.assign(self.batches + 1.0)

    def compute_output_spec(self, inputs, training=None):
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "limits": self.limits, "momentum": self.momentum}
