"""Layers that compute with the values an 8-bit integer model will have, and still train.

Fake quantization rounds a float to the nearest of 255 or 256 evenly spaced levels and hands the gradient through
unchanged inside the range (the straight-through estimator; Jacob et al., "Quantization and Training of Neural Networks
for Efficient Integer-Arithmetic-Only Inference", arXiv 1712.05877).
"""

import keras
from keras import ops

BITS = 8


def fake_quant_kernel(kernel, axis=None):
    r"""A kernel rounded to the levels `scale * {-127, ..., 127}`, `scale = max|kernel| / 127`.

    The levels are symmetric and exclude -128, as LiteRT requires of weights, so zero is a level: a pruned weight stays
    exactly zero. The range follows the kernel and is not differentiated.

    Args:
        kernel: float32 tensor.
        axis: the axis that holds the output channels, each with a scale of its own; `None` gives one scale to the
            whole tensor.

    Example:

    >>> fake_quant_kernel(ops.array([-1.0, 0.0, 0.3, 1.0])).numpy() * 127
    array([-127.,    0.,   38.,  127.], dtype=float32)
    """
    others = None if axis is None else [i for i in range(len(kernel.shape)) if i != axis % len(kernel.shape)]
    # A channel that is all zeros still needs a scale above zero.
    limit = ops.stop_gradient(ops.maximum(ops.max(ops.abs(kernel), axis=others), 1e-6))
    return keras.quantizers.fake_quant_with_min_max_vars(
        kernel, -limit, limit, num_bits=BITS, narrow_range=True, axis=axis
    )


@keras.saving.register_keras_serializable("keras_dlopt")
class FakeQuant(keras.layers.Layer):
    r"""Rounds activations to 256 levels over a range that always contains zero.

    While training, the range follows the batches' extremes: their mean over the first `1 / (1 - momentum)` batches, an
    exponential moving average after that,

        `m_t = min(momentum, t / (t + 1))`
        `low  <- m_t * low  + (1 - m_t) * min(0, min(x))`
        `high <- m_t * high + (1 - m_t) * max(0, max(x))`

    At inference it is used as it is. Before the first training batch it is [-6, 6].

    Args:
        limits: `(low, high)` where LiteRT prescribes the range of an int8 output, as for softmax; `None` learns it.
        momentum: of the moving average, in [0, 1). Defaults to 0.99.
    """

    def __init__(self, limits=None, momentum=0.99, **kwargs):
        super().__init__(**kwargs)
        self.limits = None if limits is None else tuple(limits)
        self.momentum = momentum
        self.supports_masking = True

    def build(self, input_shape):
        if self.limits is None:
            self.low = self._statistic("low", -6.0)
            self.high = self._statistic("high", 6.0)
            self.batches = self._statistic("batches", 0.0)

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
        if self.limits is not None:
            low, high = self.limits
        else:
            if training:
                self._observe(inputs)
            low, high = self.low, self.high
        return keras.quantizers.fake_quant_with_min_max_vars(inputs, low, high, num_bits=BITS)

    def _observe(self, inputs):
        inputs = ops.stop_gradient(inputs)
        momentum = ops.minimum(self.momentum, self.batches / (self.batches + 1.0))
        for statistic, extreme in (
            (self.low, ops.minimum(ops.min(inputs), 0.0)),
            (self.high, ops.maximum(ops.max(inputs), 0.0)),
        ):
            statistic.assign(momentum * statistic + (1.0 - momentum) * extreme)
        self.batches.assign(self.batches + 1.0)

    def compute_output_spec(self, inputs, training=None):
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "limits": self.limits, "momentum": self.momentum}


@keras.saving.register_keras_serializable("keras_dlopt")
class QuantizeAwareDense(keras.layers.Dense):
    """`Dense` with a fake-quantized kernel, one scale for all of it: LiteRT's int8 matrix product has one scale."""

    def call(self, inputs, training=None):
        outputs = ops.matmul(inputs, fake_quant_kernel(self.kernel))
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs)


@keras.saving.register_keras_serializable("keras_dlopt")
class QuantizeAwareConv1D(keras.layers.Conv1D):
    """`Conv1D` with a fake-quantized kernel, one scale a filter."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, fake_quant_kernel(kernel, axis=-1))


@keras.saving.register_keras_serializable("keras_dlopt")
class QuantizeAwareConv2D(keras.layers.Conv2D):
    """`Conv2D` with a fake-quantized kernel, one scale a filter."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, fake_quant_kernel(kernel, axis=-1))


@keras.saving.register_keras_serializable("keras_dlopt")
class QuantizeAwareDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`DepthwiseConv2D` with a fake-quantized kernel, one scale a channel."""

    def call(self, inputs):
        # The converter folds scales only where they lie on the last axis: (height, width, 1, channels).
        kernel = ops.reshape(self.kernel, (*self.kernel_size, 1, -1))
        kernel = ops.reshape(fake_quant_kernel(kernel, axis=-1), self.kernel.shape)
        outputs = ops.depthwise_conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs)
