"""Which weights of a model pruning may zero, and how a user chooses among them."""

import re

import keras
from keras import layers

from keras_dlopt.arguments import invalid

TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
# The weights that pruning may zero. Never biases or normalization.
PRUNABLE = {
    layers.Dense: ("kernel",),
    layers.EinsumDense: ("kernel",),  # attention's projections, too
    layers.Conv1D: ("kernel",),
    layers.Conv2D: ("kernel",),
    layers.Conv3D: ("kernel",),
    layers.Conv1DTranspose: ("kernel",),
    layers.Conv2DTranspose: ("kernel",),
    layers.Conv3DTranspose: ("kernel",),
    layers.SeparableConv1D: ("pointwise_kernel",),
    layers.SeparableConv2D: ("pointwise_kernel",),
    layers.Embedding: ("embeddings",),
    layers.LSTMCell: ("kernel", "recurrent_kernel"),
    layers.GRUCell: ("kernel", "recurrent_kernel"),
    layers.SimpleRNNCell: ("kernel", "recurrent_kernel"),
}
# Few weights, and each is a whole filter's share: only on request.
DEPTHWISE = {
    layers.DepthwiseConv1D: ("kernel",),
    layers.DepthwiseConv2D: ("kernel",),
    layers.SeparableConv1D: ("depthwise_kernel",),
    layers.SeparableConv2D: ("depthwise_kernel",),
}


def prunable_weights(model, skip=(), only=(), depthwise=False, where="Prune"):
    """The trainable variables of `model` that pruning may zero.

    A choice is a pattern, searched for in the variables' paths, a layer type, a callable that is given the layer and
    says yes or no, or a list of such.

    Args:
        model: a built `keras.Model` of any kind.
        skip: the choice of what stays dense, even if `only` has it.
        only: the choice of what to prune; empty for all that can be.
        depthwise: whether depthwise kernels are among what can be pruned.
        where: name of what the user called, for messages.

    Raises:
        ValueError: if a choice matches nothing, or nothing is left.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="body"), layers.Dense(2, name="head")])
    >>> [weight.path.split("/", 1)[1] for weight in prunable_weights(model, skip="head")]
    ['body/kernel']
    """
    found = {}
    for layer in model._flatten_layers():
        for kind, names in [*PRUNABLE.items(), *(DEPTHWISE.items() if depthwise else ())]:
            if isinstance(layer, kind) and layer.built:
                for name in names:
                    weight = getattr(layer, name)
                    # The kernel of a layer with LoRA or a quantized kernel is computed, not a variable.
                    if isinstance(weight, keras.Variable) and weight.trainable:
                        found.setdefault(id(weight), (layer, weight))
    candidates = list(found.values())
    chosen, skipped = _chosen(where, "only", only, candidates), _chosen(where, "skip", skip, candidates)
    kept = [weight for _, weight in candidates if (not chosen or id(weight) in chosen) and id(weight) not in skipped]
    if not kept:
        kinds = ", ".join(kind.__name__ for kind in PRUNABLE)
        raise invalid(where, "model", model, f"a model with weights to prune: trainable kernels of {kinds}")
    return kept


def matrix_axes(model):
    """What the axes of a kernel are, by its `id`, where the last two are not its inputs and its outputs.

    Returns:
        A dict of `(positions, inputs, outputs)`, each a tuple of axes: a layer sums over inputs, and has the same
        positions in what it reads and makes, or, a convolution, sums over these, too.

    Example:

    >>> attention = layers.MultiHeadAttention(2, 4)
    >>> attention.build((None, 6, 8), (None, 6, 8))
    >>> list(matrix_axes(attention).values())[0]
    ((), (0,), (1, 2))
    """
    found = {}
    for layer in model._flatten_layers():
        if not isinstance(layer, (layers.EinsumDense, *TRANSPOSED)) or not layer.built:
            continue
        if isinstance(layer, TRANSPOSED):
            rank = len(layer.kernel.shape)
            axes = tuple(range(rank - 2)), (rank - 1,), (rank - 2,)
        else:
            read, kernel, made = re.split(",|->", layer.equation)
            places = [(i, axis in read, axis in made) for i, axis in enumerate(kernel)]
            inputs = tuple(i for i, in_read, in_made in places if in_read and not in_made)
            outputs = tuple(i for i, in_read, in_made in places if in_made and not in_read)
            axes = tuple(i for i, in_read, in_made in places if in_read == in_made), inputs, outputs
        if isinstance(layer.kernel, keras.Variable):
            found[id(layer.kernel)] = axes
    return found


def as_choices(where, name, choices):
    """A user's `only` or `skip` as a list; refuses what is no choice."""
    choices = list(choices) if isinstance(choices, (list, tuple, set)) else [choices]
    for choice in choices:
        if isinstance(choice, str):
            try:
                re.compile(choice)
                continue
            except re.error:
                pass
        if isinstance(choice, str) or not callable(choice):  # a type is callable, too
            raise invalid(where, name, choice, "a pattern (that compiles), a layer type, a callable, or a list of such")
    return choices


def _chosen(where, name, choices, candidates):
    """The `id`s of the weights that any of `choices` matches."""
    chosen = set()
    for choice in as_choices(where, name, choices):
        matched = {id(weight) for layer, weight in candidates if _matches(choice, layer, weight)}
        if not matched:
            known = ", ".join(weight.path for _, weight in candidates)
            raise invalid(where, name, choice, f"a choice that matches a prunable weight (there are: {known})")
        chosen |= matched
    return chosen


def layer_matches(choices, layer):
    """Whether a layer is chosen, or a weight of it is."""
    paths = [weight.path for weight in layer.weights] or [layer.path or layer.name]
    return any(
        any(re.search(choice, path) for path in paths) if isinstance(choice, str) else _matches(choice, layer, None)
        for choice in choices
    )


def _matches(choice, layer, weight):
    if isinstance(choice, str):
        return re.search(choice, weight.path) is not None
    if isinstance(choice, type):
        return isinstance(layer, choice)
    return bool(choice(layer))
