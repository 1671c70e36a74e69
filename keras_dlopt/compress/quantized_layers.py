"""Keras layers that compute with the values an 8-bit integer model will have, each named after what it replaces."""

import keras
import numpy as np
from keras import layers, ops

from keras_dlopt.compress.fake_quant import FakeQuant, affine, fake_quant_kernel

# A kernel with more distinct values than this is not a clustered one.
MOST_CENTROIDS = 256

serializable = keras.saving.register_keras_serializable("keras_dlopt")


@serializable
class KernelGroups(layers.Layer):
    """Makes weights of one group equal: those of group 0 are zero, those of any other, with `centroids`, its mean.

    The gradient of a weight is then the mean of the gradients of its group: a group that starts equal moves as one. A
    negative group is none: its weights are free. A layer of its own, because `Dense` saves no other variables than it
    knows.
    """

    def __init__(self, centroids, **kwargs):
        super().__init__(**kwargs)
        self.centroids = centroids

    def build(self, kernel_shape):
        self.numbers = self.add_weight(shape=kernel_shape, dtype="int32", initializer="ones", trainable=False)

    def find(self, kernel, zeros):
        """Reads the groups off a kernel. Returns whether it has any."""
        numbers = np.full(kernel.shape, -1, "int32")
        if self.centroids:
            values, inverse = np.unique(kernel, return_inverse=True)
            if len(values) <= min(MOST_CENTROIDS, kernel.size - 1):
                numbers = inverse.reshape(kernel.shape).astype("int32") + 1
        if zeros:
            numbers[kernel == 0] = 0
        self.numbers.assign(numbers)
        return bool((numbers >= 0).any())

    def call(self, kernel):
        numbers = ops.convert_to_tensor(self.numbers)
        if self.centroids:
            flat, members = ops.reshape(kernel, (-1,)), ops.reshape(ops.maximum(numbers, 0), (-1,))
            total = ops.segment_sum(flat, members, num_segments=MOST_CENTROIDS + 1)
            count = ops.segment_sum(ops.ones_like(flat), members, num_segments=MOST_CENTROIDS + 1)
            means = ops.reshape(ops.take(total / ops.maximum(count, 1.0), members), kernel.shape)
            kernel = ops.where(numbers < 0, kernel, means)
        return ops.where(numbers == 0, 0.0, kernel)

    def get_config(self):
        return {**super().get_config(), "centroids": self.centroids}


class QuantizedKernels:
    """What layers with kernels share: the bits of a weight, and the zeros and shared values to keep.

    Args:
        weight_bits: from 2 to 8. Defaults to 8.
        keep: `("zeros",)`, `("centroids",)`, both or nothing: see `quantize_aware`.
    """

    kernels = ("kernel",)

    def __init__(self, *args, weight_bits=8, keep=(), **kwargs):
        super().__init__(*args, **kwargs)
        self.weight_bits = weight_bits
        self.keep = tuple(keep)
        self.kept_groups = {}

    def build(self, input_shape):
        super().build(input_shape)
        self.build_groups()

    def build_groups(self):
        for name in self.kernels if self.keep else ():
            self.kept_groups[name] = KernelGroups("centroids" in self.keep, name=f"{name}_groups")
            self.kept_groups[name].build(self.variable(name).shape)

    def find_groups(self):
        """Reads the groups off the kernels as they are. Returns whether there was anything to keep."""
        found = [
            groups.find(ops.convert_to_numpy(self.variable(name)), "zeros" in self.keep)
            for name, groups in self.kept_groups.items()
        ]
        return any(found)

    def variable(self, name):
        return getattr(self, name)

    def rounded(self, name="kernel", axis=None, factor=1.0):
        """`factor` times the kernel of that name, with what is kept enforced, on the levels of `weight_bits`."""
        kernel = ops.convert_to_tensor(self.variable(name)) * factor
        if name in self.kept_groups:
            kernel = self.kept_groups[name](kernel)
        return fake_quant_kernel(kernel, axis, self.weight_bits)

    def get_config(self):
        return {**super().get_config(), "weight_bits": self.weight_bits, "keep": self.keep}


@serializable
class QuantizeAwareDense(QuantizedKernels, layers.Dense):
    """`Dense` with a fake-quantized kernel, one scale for all of it: LiteRT's int8 matrix product has one scale."""

    def call(self, inputs, training=None):
        outputs = ops.matmul(inputs, self.rounded())
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs)


@serializable
class QuantizeAwareEinsumDense(QuantizedKernels, layers.EinsumDense):
    """`EinsumDense` with a fake-quantized kernel, one scale for all of it."""

    def call(self, inputs, training=None):
        outputs = ops.einsum(self.equation, inputs, self.rounded())
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


@serializable
class QuantizeAwareConv1D(QuantizedKernels, layers.Conv1D):
    """`Conv1D` with a fake-quantized kernel, one scale a filter."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, self.rounded(axis=-1))


@serializable
class QuantizeAwareConv2D(QuantizedKernels, layers.Conv2D):
    """`Conv2D` with a fake-quantized kernel, one scale a filter."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, self.rounded(axis=-1))


@serializable
class QuantizeAwareDepthwiseConv2D(QuantizedKernels, layers.DepthwiseConv2D):
    """`DepthwiseConv2D` with a fake-quantized kernel, one scale a channel."""

    def variable(self, name):
        # The converter folds scales only where they lie on the last axis: (height, width, 1, channels).
        return ops.reshape(self.kernel, (*self.kernel_size, 1, -1))

    def call(self, inputs):
        outputs = ops.depthwise_conv(
            inputs,
            ops.reshape(self.rounded(axis=-1), self.kernel.shape),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs)


@serializable
class QuantizeAwareEmbedding(QuantizedKernels, layers.Embedding):
    """`Embedding` with a fake-quantized table, one scale for all of it."""

    kernels = ("embeddings",)

    def call(self, inputs):
        return ops.take(self.rounded("embeddings"), ops.cast(inputs, "int32"), axis=0)


@serializable
class QuantizeAwareBatchNormalization(layers.BatchNormalization):
    """`BatchNormalization` that no convolution takes in: at inference one integer operation of its own."""

    def call(self, inputs, training=None, mask=None):
        if training and self.trainable:
            return super().call(inputs, training=training, mask=mask)
        scale = ops.rsqrt(self.moving_variance + self.epsilon)
        if self.scale:
            scale = scale * self.gamma
        return affine(inputs, scale, (self.beta if self.center else 0.0) - self.moving_mean * scale)


@serializable
class QuantizeAwareRescaling(layers.Rescaling):
    """`Rescaling` as one integer operation."""

    def call(self, inputs):
        return affine(inputs, ops.convert_to_tensor(self.scale, "float32"), self.offset)


@serializable
class QuantizeAwareNormalization(layers.Normalization):
    """`Normalization` as one integer operation."""

    def call(self, inputs):
        deviation = ops.maximum(ops.sqrt(ops.reshape(self.variance, (-1,))), keras.config.epsilon())
        mean = ops.reshape(self.mean, (-1,))
        if self.invert:
            return affine(inputs, deviation, mean)
        return affine(inputs, 1.0 / deviation, -mean / deviation)


@serializable
class QuantizeAwareSilu(layers.Layer):
    """`x * sigmoid(x)`, also called swish: two integer operations, with the sigmoid rounded between them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.gate_range = FakeQuant(limits=(0.0, 255 / 256), name="gate_range")

    def call(self, inputs):
        return ops.multiply(inputs, self.gate_range(ops.sigmoid(inputs)))


@serializable
class QuantizeAwareHardSigmoid(layers.Layer):
    """`relu6(x + 3) / 6` in two integer operations, rounded between them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.sum_range = FakeQuant(limits=(0.0, 6.0), name="sum_range")

    def call(self, inputs):
        return ops.multiply(self.sum_range(ops.relu6(inputs + 3.0)), 1.0 / 6.0)


@serializable
class StaysFloat(layers.Layer):
    """The identity, in an operation that LiteRT has for float32 only.

    Without it the converter would find ranges on both sides of a layer that is to stay as it is, and turn it into
    integers after all.
    """

    def call(self, inputs):
        whole = ops.stop_gradient(ops.floor(inputs))
        return whole + (inputs - whole)
