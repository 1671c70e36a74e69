"""The layers of a transformer as an 8-bit integer model computes them."""

from keras import layers, ops

from keras_dlopt.compress.fake_quant import FakeQuant, affine
from keras_dlopt.compress.quantized_layers import QuantizedKernels, serializable


@serializable
class QuantizeAwareLayerNormalization(layers.LayerNormalization):
    """`LayerNormalization` over the last axis, in seven integer operations, each with a range.

    The reciprocal root keeps 8 bits: rows whose variance is below a hundredth of the largest lose accuracy.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        steps = ["mean", "centered", "square", "variance", "shifted", "root"]
        if self.scale or self.center:
            steps.append("normalized")
        self.ranges = {step: FakeQuant(name=f"{step}_range") for step in steps}

    def build(self, input_shape):
        super().build(input_shape)
        for statistics in self.ranges.values():
            statistics.build(input_shape)

    def call(self, inputs, training=None):
        def rounded(step, value):
            return self.ranges[step](value, training=training)

        centered = rounded("centered", inputs - rounded("mean", ops.mean(inputs, axis=-1, keepdims=True)))
        # `ops.square` has no integer form in LiteRT; a product has.
        square = rounded("square", ops.multiply(centered, centered))
        variance = rounded("variance", ops.mean(square, axis=-1, keepdims=True))
        root = rounded("root", ops.rsqrt(rounded("shifted", variance + self.epsilon)))
        outputs = ops.multiply(centered, root)
        if "normalized" not in self.ranges:
            return outputs
        outputs = rounded("normalized", outputs)
        return affine(outputs, self.gamma if self.scale else 1.0, self.beta if self.center else 0.0)


@serializable
class QuantizeAwareMultiHeadAttention(QuantizedKernels, layers.MultiHeadAttention):
    """`MultiHeadAttention` without masks: four rounded projections, and a range for all between them."""

    kernels = ("query", "key", "value", "output")
    steps = ("query", "key", "value", "scores", "context")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ranges = {step: FakeQuant(name=f"{step}_range") for step in self.steps}
        self.attention_range = FakeQuant(limits=(0.0, 255 / 256), name="attention_range")

    def build(self, query_shape, value_shape, key_shape=None):
        layers.MultiHeadAttention.build(self, query_shape, value_shape, key_shape)
        for statistics in self.ranges.values():
            statistics.build(query_shape)
        self.build_groups()

    def variable(self, name):
        return getattr(self, f"{name}_dense").kernel

    def call(self, query, value, key=None, training=None):
        def rounded(step, inputs):
            return self.ranges[step](inputs, training=training)

        def heads(name, inputs, factor=1.0):
            dense = getattr(self, f"{name}_dense")
            width, count, size = dense.kernel.shape
            outputs = ops.matmul(inputs, ops.reshape(self.rounded(name, factor=factor), (width, count * size)))
            if dense.bias is not None:
                outputs = outputs + ops.reshape(dense.bias, (-1,)) * factor
            outputs = rounded(name, outputs)
            return ops.transpose(ops.reshape(outputs, (*ops.shape(inputs)[:2], count, size)), (0, 2, 1, 3))

        key = heads("key", value if key is None else key)
        value = heads("value", value)
        # Scaled here, the query costs no operation of its own.
        query = heads("query", query, factor=self._inverse_sqrt_key_dim)
        scores = rounded("scores", ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))))
        attention = self.attention_range(ops.softmax(scores))
        attention = self._dropout_layer(attention, training=training)
        context = rounded("context", ops.transpose(ops.matmul(attention, value), (0, 2, 1, 3)))
        context = ops.reshape(context, (*ops.shape(context)[:2], -1))
        kernel = self.rounded("output")
        outputs = ops.matmul(context, ops.reshape(kernel, (-1, kernel.shape[-1])))
        return outputs if self.output_dense.bias is None else outputs + self.output_dense.bias
