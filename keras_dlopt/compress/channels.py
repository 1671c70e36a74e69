"""Channels that must go together: read from a functional graph, so that removing them leaves a working model.

Every tensor of the graph is followed by the labels of its channels, the entries of its last axis. A kernel gives its
outputs new labels and reads those of its inputs; a bias, a normalization, an activation passes them on; an addition
says that two labels are one; a concatenation puts them side by side; `Flatten` repeats them. In the end a label knows
every slice of every weight that makes or reads it. What reads channels in a way that is not known here keeps them all.

Reference:
    Fang, Ma, Song, Mi, Wang, "DepGraph: towards any structural pruning", arXiv 2301.12900.
"""

import dataclasses

import keras
import numpy as np
from keras import layers, ops

from keras_dlopt.arguments import invalid
from keras_dlopt.compress import graph as graphs
from keras_dlopt.compress.prunable import TRANSPOSED, as_choices, layer_matches

CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
# Layers that compute every channel by itself, and make zeros of zeros.
BY_CHANNEL = (
    layers.ActivityRegularization,
    *(getattr(layers, f"{kind}Pooling{n}D") for kind in ("Average", "Max") for n in (1, 2, 3)),
    *(getattr(layers, f"Global{kind}Pooling{n}D") for kind in ("Average", "Max") for n in (1, 2, 3)),
    *(getattr(layers, f"{kind}{n}D") for kind in ("ZeroPadding", "Cropping", "UpSampling") for n in (1, 2, 3)),
    layers.AlphaDropout,
    layers.Dropout,
    layers.ELU,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.LeakyReLU,
    layers.ReLU,
    *(getattr(layers, f"SpatialDropout{n}D") for n in (1, 2, 3)),
)
MERGES = (layers.Add, layers.Average, layers.Maximum, layers.Minimum, layers.Multiply, layers.Subtract)
# Activations with f(0) = 0, and others that compute every channel by itself.
ZERO_AT_ZERO = (
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "swish", "tanh", "softsign", "mish"),
    *("hard_silu", "hard_swish", "hard_tanh", "celu", "tanh_shrink", "soft_shrink", "hard_shrink"),
)
NOT_ZERO_AT_ZERO = ("sigmoid", "hard_sigmoid", "softplus", "exponential")


def channel_units(model, skip=()):
    """The channels of `model` as units for pruning, in groups of those that the same weights make.

    Raises:
        ValueError: if the model has no graph, or no channel may go.
    """
    normalized = [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    averages = {id(layer.moving_mean) for layer in normalized if layer.built and layer.trainable}

    def stays(weight):
        return not weight.trainable and id(weight) not in averages

    couplings = Couplings(model, skip, stays) if graphs.functional(model) is not None else None
    if couplings is None or not couplings.groups():
        raise invalid("Prune", "model", model, 'a functional model with channels that may go, for pattern="channels"')
    return [ChannelUnits(couplings, group) for group in couplings.groups()]


class ChannelUnits:
    """Channels that the same weights make: each with its slice of every kernel, bias, gain and offset.

    A channel's importance is the mean over kernels and gains of the squared norm of its slice, next to the others'.
    """

    noun = "channels"

    def __init__(self, couplings, group):
        self.size = len(group)
        places = {label: i for i, label in enumerate(group)}
        # Entry i of the axis belongs to unit `place[i]`; to none, -1, if other weights make it, too.
        entries = [
            (entry, np.array([places.get(label, -1) for label in entry.labels]))
            for entry in couplings.slices
            if entry.makes and not places.keys().isdisjoint(entry.labels)
        ]
        self._entries = [(entry, place) for entry, place in entries if entry.weight.trainable]
        self._averages = [(entry.weight, place) for entry, place in entries if entry.weight.name == "moving_mean"]
        self.weights = [entry.weight for entry, _ in self._entries]

    def scores(self, importances):
        """One number a channel, from the magnitude of every weight."""
        total = 0.0
        for (entry, place), importance in zip(self._entries, importances, strict=True):
            if entry.scored:
                rows = ops.reshape(ops.moveaxis(ops.square(importance), entry.axis, 0), (len(place), -1))
                # Row sums, added up by unit: a matrix product, for an entry may have several rows, or none.
                found = ops.matmul((place == np.arange(self.size)[:, None]).astype("float32"), ops.sum(rows, axis=1))
                total = total + found / (ops.mean(found) + 1e-30)
        return total

    def masks(self, kept):
        """The mask of every weight, from which channels are kept."""
        kept = ops.concatenate([ops.convert_to_tensor(kept), ops.ones((1,), "bool")])
        masks = []
        for entry, place in self._entries:
            shape = entry.weight.shape
            along = [1] * len(shape)
            along[entry.axis] = shape[entry.axis]
            masks.append(ops.broadcast_to(ops.reshape(ops.take(kept, place % (self.size + 1)), along), shape))
        return masks

    def alive(self, arrays):
        """Which channels have a weight that is not zero, from the values of the weights."""
        alive = np.zeros(self.size + 1, bool)
        for (entry, place), array in zip(self._entries, arrays, strict=True):
            np.logical_or.at(alive, place, np.moveaxis(array, entry.axis, 0).reshape(len(place), -1).any(1))
        return alive[:-1]

    def zero_averages(self):
        """Zeroes the moving means of channels that are zero otherwise: by themselves they only approach that."""
        gone = np.flatnonzero(~self.alive([ops.convert_to_numpy(weight) for weight in self.weights]))
        for average, place in self._averages:
            average.assign(ops.where(np.isin(place, gone), 0.0, ops.convert_to_tensor(average)))


class Channels:
    """The labels of a tensor's channels, and for each whether it is zero once what makes it is zero."""

    def __init__(self, labels, zero):
        self.labels, self.zero = np.asarray(labels), np.broadcast_to(zero, np.shape(labels)).copy()


@dataclasses.dataclass
class Slices:
    """One axis of a weight, whose entry i belongs to `labels[i]`; it makes the channel, or reads it."""

    weight: keras.Variable
    axis: int
    labels: np.ndarray
    makes: bool

    @property
    def scored(self):
        """Whether its size says how important a channel is: kernels and gains, not offsets and averages."""
        return self.weight.trainable and (len(self.weight.shape) > 1 or self.weight.name == "gamma")


class Couplings:
    """What a model's channels are coupled to.

    Args:
        model: a built Sequential or functional model, which may have such models inside.
        skip: the choice of layers whose outputs keep all their channels, as in `callbacks.Prune`.
        stays: a function from a weight to whether it stays as it is: what it makes is zero only if it is zero now. By
            default all weights may become zero.

    Attributes:
        slices: list of `Slices`.
        frozen: set of the labels that must stay.
        resized: maps the `id` of a layer to the name in its configuration, and the labels, of its outputs.
    """

    def __init__(self, model, skip=(), stays=lambda weight: False):
        self._skip = as_choices("remove_channels", "skip", skip)
        known = [
            layer for layer in model._flatten_layers(include_self=False) if not isinstance(layer, layers.InputLayer)
        ]
        for choice in self._skip:
            if not any(layer_matches([choice], layer) for layer in known):
                names = ", ".join(layer.name for layer in known)
                raise invalid("remove_channels", "skip", choice, f"a choice that matches a layer (there are: {names})")
        self._stays = stays
        self._parent = []
        self.slices, self.resized = [], {}
        self._frozen, self._outputs = set(), {}
        graph = graphs.functional(model)
        inputs = [self._fixed(tensor.shape) for tensor in graph.inputs]
        for channels in self._follow(graph, inputs):
            self._freeze(channels)
        for entry in self.slices:
            entry.labels = self.roots(entry.labels)
        self.frozen = {self._root(label) for label in self._frozen}

    def roots(self, labels):
        """One label for all that are coupled."""
        return np.array([self._root(label) for label in labels], int)

    def groups(self):
        """Lists of labels of the same kind, those made by the same weights, that may be removed."""
        makers = {}
        for entry in self.slices:
            if entry.makes:
                for label in entry.labels:
                    makers.setdefault(label, set()).add((id(entry.weight), entry.axis))
        kinds = {}
        for label, made_by in makers.items():
            if label not in self.frozen:
                kinds.setdefault(frozenset(made_by), []).append(label)
        return list(kinds.values())

    # Labels

    def _new(self, number):
        start = len(self._parent)
        self._parent += range(start, start + number)
        return np.arange(start, start + number)

    def _root(self, label):
        while self._parent[label] != label:
            self._parent[label] = self._parent[self._parent[label]]
            label = self._parent[label]
        return int(label)

    def _couple(self, one, other):
        for a, b in zip(one, other, strict=True):
            self._parent[self._root(b)] = self._root(a)

    def _freeze(self, channels):
        if channels is not None:
            self._frozen.update(channels.labels.tolist())

    def _fixed(self, shape):
        if not shape or shape[-1] is None:
            return None
        channels = Channels(self._new(shape[-1]), False)
        self._freeze(channels)
        return channels

    def _is_zero(self, weight, axis):
        """For every entry along `axis` whether the weight is, or may be made, zero."""
        if not self._stays(weight):
            return np.ones(weight.shape[axis], bool)
        array = np.moveaxis(ops.convert_to_numpy(weight), axis, 0)
        return ~array.reshape(len(array), -1).any(1)

    # The graph

    def _follow(self, graph, inputs):
        """The channels of the graph's outputs."""
        known = {id(tensor): channels for tensor, channels in zip(graph.inputs, inputs, strict=True)}
        for node in graphs.nodes(graph):
            found = self._node(node, [known[id(tensor)] for tensor in node.input_tensors])
            if not isinstance(found, list):
                found = [found]
            known.update((id(tensor), channels) for tensor, channels in zip(node.outputs, found, strict=True))
        return [known[id(tensor)] for tensor in graph.outputs]

    def _node(self, node, inputs):
        operation, others = node.operation, node.outputs[1:]
        if isinstance(operation, keras.Model) and (graph := graphs.functional(operation)) is not None:
            return self._follow(graph, inputs)
        found = None
        if not others and all(channels is not None for channels in inputs):
            found = self._layer(operation, inputs, node)
        if found is None:  # not known: all that goes in and out stays
            for channels in inputs:
                self._freeze(channels)
            return [self._fixed(tensor.shape) for tensor in node.outputs]
        if self._skip and isinstance(operation, layers.Layer) and layer_matches(self._skip, operation):
            self._freeze(found)
        return found

    def _layer(self, layer, inputs, node):
        kind, first = type(layer), inputs[0] if inputs else None
        if getattr(layer, "data_format", None) == "channels_first":
            return None
        if kind is layers.Dense or (kind in CONVOLUTIONS and layer.groups == 1):
            name = "units" if kind is layers.Dense else "filters"
            return self._kernel(layer, layer.kernel, first, -2, -1, name)
        if kind in TRANSPOSED:
            return self._kernel(layer, layer.kernel, first, -1, -2, "filters")
        if kind in DEPTHWISE:
            return self._after(layer, self._depthwise(layer.kernel, layer.bias, first))
        if kind in SEPARABLE:
            middle = self._depthwise(layer.depthwise_kernel, None, first)
            return self._kernel(layer, layer.pointwise_kernel, middle, -2, -1, "filters")
        if kind is layers.Embedding and isinstance(layer._embeddings, keras.Variable):
            return self._outputs_of(layer, layer._embeddings, 1, None, "output_dim")
        if kind is layers.BatchNormalization:
            return self._normalized(layer, first, node)
        if kind in BY_CHANNEL:
            return first
        if kind is layers.PReLU:
            self._add(layer.alpha, -1, first, makes=False)
            return first if layer.alpha.shape[-1] == len(first.labels) else None
        if kind is layers.Activation:
            return self._activated(layer.activation, first)
        if kind is layers.Flatten:
            times = node.outputs[0].shape[-1] // len(first.labels)
            return Channels(np.tile(first.labels, times), np.tile(first.zero, times))
        if kind is layers.Reshape and node.outputs[0].shape[-1] == len(first.labels):
            return first if layer.target_shape[-1] == len(first.labels) else None
        if kind in MERGES:
            return self._merged(inputs, any_zero=kind is layers.Multiply)
        if kind is layers.Concatenate:
            return self._concatenated(inputs, layer.axis, len(node.outputs[0].shape))
        return self._operation(kind.__name__, inputs, node)

    def _operation(self, name, inputs, node):
        """Of `keras.ops`: arithmetic with a tensor or a number, and functions of every element."""
        if name in ("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum"):
            if len(inputs) == 2:
                return None if "Divide" in name else self._merged(inputs, any_zero=name == "Multiply")
            numbers = [a for a in keras.tree.flatten((node.arguments.args, node.arguments.kwargs)) if np.isscalar(a)]
            if len(numbers) != 1 or (name in ("Divide", "TrueDivide") and node.arguments.args[0] is numbers[0]):
                return None
            stays = name in ("Multiply", "Divide", "TrueDivide") or numbers[0] == 0
            return Channels(inputs[0].labels, inputs[0].zero & stays)
        if name.lower() in ("relu", "relu6", "silu", "gelu", "tanh", "hardsilu", "elu", "leakyrelu"):
            return inputs[0]
        return None

    # Layers

    def _add(self, weight, axis, channels, makes):
        axis %= len(weight.shape)
        if weight.shape[axis] != len(channels.labels):
            self._freeze(channels)
            return
        for entry in self.slices:
            if entry.weight is weight and entry.axis == axis:
                self._couple(entry.labels, channels.labels)  # a layer that is called again
                return
        self.slices.append(Slices(weight, axis, channels.labels, makes))

    def _read(self, weight, axis, channels):
        self._frozen.update(channels.labels[~channels.zero].tolist())  # its constant would be missed
        self._add(weight, axis, channels, makes=False)

    def _kernel(self, layer, kernel, channels, inputs, outputs, name):
        if not isinstance(kernel, keras.Variable):  # LoRA or quantized
            return None
        self._read(kernel, inputs, channels)
        return self._outputs_of(layer, kernel, outputs, layer.bias, name)

    def _outputs_of(self, layer, kernel, axis, bias, name):
        axis %= len(kernel.shape)
        if id(layer) not in self._outputs:
            self._outputs[id(layer)] = made = Channels(self._new(kernel.shape[axis]), self._is_zero(kernel, axis))
            self.resized[id(layer)] = (name, made.labels)
            self._add(kernel, axis, made, makes=True)
            self._shift(bias, made)
        made = self._outputs[id(layer)]
        return self._after(layer, Channels(made.labels, made.zero))

    def _shift(self, bias, channels):
        if bias is not None:
            channels.zero &= self._is_zero(bias, 0)
            self._add(bias, 0, channels, makes=True)

    def _after(self, layer, channels):
        found = self._activated(layer.activation, channels) if hasattr(layer, "activation") else channels
        if found is None:
            self._freeze(channels)
        return found or Channels(channels.labels, False)

    def _depthwise(self, kernel, bias, channels):
        multiplier = kernel.shape[-1]
        self._add(kernel, -2, channels, makes=True)
        zero = channels.zero | self._is_zero(kernel, -2)
        made = Channels(np.repeat(channels.labels, multiplier), np.repeat(zero, multiplier))
        self._shift(bias, made)
        return made

    def _normalized(self, layer, channels, node):
        if layer.axis not in (-1, len(node.outputs[0].shape) - 1):
            return None
        zero = channels.zero & self._is_zero(layer.moving_mean, 0)
        if layer.gamma is not None:
            zero |= self._is_zero(layer.gamma, 0)
        made = Channels(channels.labels, zero)
        for weight in (layer.gamma, layer.moving_mean, layer.moving_variance):
            if weight is not None:
                self._add(weight, 0, made, makes=weight is not layer.moving_variance)
        self._shift(layer.beta, made)
        return made

    def _activated(self, activation, channels):
        name = "linear" if activation is None else getattr(activation, "__name__", "")
        if name in ZERO_AT_ZERO:
            return channels
        return Channels(channels.labels, False) if name in NOT_ZERO_AT_ZERO else None

    def _merged(self, inputs, any_zero):
        widths = [len(channels.labels) for channels in inputs]
        wide = [channels for channels in inputs if len(channels.labels) == max(widths)]
        for channels in inputs:
            if len(channels.labels) != max(widths):  # one number for all channels
                self._freeze(channels)
        for channels in wide[1:]:
            self._couple(wide[0].labels, channels.labels)
        zeros = [channels.zero for channels in wide]
        zero = np.any(zeros, 0) if any_zero else np.all(zeros, 0) & (len(wide) == len(inputs))
        return Channels(wide[0].labels, zero)

    def _concatenated(self, inputs, axis, rank):
        if axis % rank == rank - 1:
            return Channels(*(np.concatenate([getattr(c, name) for c in inputs]) for name in ("labels", "zero")))
        return self._merged(inputs, any_zero=False)
