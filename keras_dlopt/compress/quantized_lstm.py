"""An LSTM as an 8-bit integer model computes it."""

from keras import layers, ops
from keras.src import backend  # the loop of `keras.layers.RNN`, which has no public name

from keras_dlopt.compress.fake_quant import FakeQuant
from keras_dlopt.compress.quantized_layers import QuantizedKernels, serializable


@serializable
class QuantizeAwareLSTM(QuantizedKernels, layers.LSTM):
    r"""`LSTM` with rounded kernels, gates and states.

    `z_t = round(round(W x_t + b) + round(U h_{t-1}))`, `c_t = round(round(f * c_{t-1}) + round(i * g))`,
    `h_t = round(o * round(tanh c_t))`. Gates and `h` have the ranges that LiteRT prescribes for sigmoid and tanh; those
    of `z`, of its second term and of `c` are learned over all time steps of a batch, and hold from the next one.
    """

    kernels = ("kernel", "recurrent_kernel")
    steps = ("recurrent", "gates", "carry")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.projected_range = FakeQuant(name="projected_range")
        self.ranges = [FakeQuant(name=f"{step}_range") for step in self.steps]
        self.sigmoid_range = FakeQuant(limits=(0.0, 255 / 256), name="sigmoid_range")
        self.tanh_range = FakeQuant(limits=(-1.0, 127 / 128), name="tanh_range")

    def build(self, sequences_shape, initial_state_shape=None):
        layers.LSTM.build(self, sequences_shape, initial_state_shape)
        for statistics in (self.projected_range, *self.ranges):
            statistics.build(sequences_shape)
        self.build_groups()

    def variable(self, name):
        return getattr(self.cell, name)

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if training and self.cell.dropout:
            sequences = sequences * ops.expand_dims(self.cell.get_dropout_mask(sequences[:, 0, :]), 1)
        projected = ops.matmul(sequences, self.rounded("kernel"))
        if self.cell.use_bias:
            projected = projected + self.cell.bias
        projected = self.projected_range(projected, training=training)
        recurrent_kernel = self.rounded("recurrent_kernel")
        observing = training or self.ranges[0].observing

        def step(inputs, states):
            hidden, carry = states[:2]
            recurrent = ops.matmul(hidden, recurrent_kernel)
            gates = inputs + self.ranges[0].rounded(recurrent)
            # Not `ops.split`: the converter leaves its four results in float32 now and then.
            rounded = self.ranges[1].rounded(gates)
            into, forget, new, out = (rounded[:, i * self.units : (i + 1) * self.units] for i in range(4))
            into, forget, out = (self.sigmoid_range(ops.sigmoid(gate)) for gate in (into, forget, out))
            new = self.tanh_range(ops.tanh(new))
            unrounded = self.ranges[2].rounded(forget * carry) + self.tanh_range(into * new)
            carry = self.ranges[2].rounded(unrounded)
            hidden = self.tanh_range(out * self.tanh_range(ops.tanh(carry)))
            # Ranges are variables, which a compiled loop cannot assign: the extremes travel with the state instead.
            seen = _seen(states[2:], (recurrent, gates, unrounded))
            return hidden, [hidden, carry, *seen]

        start = [ops.zeros_like(initial_state[0][:, :1]) for _ in range(6)] if observing else []
        last, outputs, states = backend.rnn(
            step,
            projected,
            [*initial_state, *start],
            go_backwards=self.go_backwards,
            mask=mask[0] if isinstance(mask, (list, tuple)) else mask,
            unroll=self.unroll,
            input_length=projected.shape[1],
            zero_output_for_mask=self.zero_output_for_mask,
            return_all_outputs=self.return_sequences,
        )
        for i, statistics in enumerate(self.ranges if observing else ()):
            statistics.update(ops.min(states[2 + 2 * i]), ops.max(states[3 + 2 * i]))
        return last, outputs, states[:2]


def _seen(extremes, values):
    """Lows and highs, in turns, of each row so far, `values` included; nothing if none are kept."""
    return [
        (ops.minimum, ops.maximum)[i % 2](
            extreme, (ops.min, ops.max)[i % 2](ops.stop_gradient(values[i // 2]), axis=-1, keepdims=True)
        )
        for i, extreme in enumerate(extremes)
    ]
