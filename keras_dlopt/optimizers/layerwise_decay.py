"""Learning rates that fall towards the input, as parameter groups."""

import re

import keras
from keras.src.models.functional import Functional

from keras_dlopt.arguments import check_number, invalid


def layerwise_decay(model, decay=0.9, depth_of=None):
    r"""Parameter groups whose learning rate falls by a factor a block from the output to the input.

    $$\eta_\ell = \eta\, \xi^{L - \ell}$$

    for depth $\ell$, from 0 at the input (embeddings) to $L$ at the output. For fine-tuning: early layers hold what
    transfers and should move least. With embeddings at 0, block $i$ of $n$ at $i$ and the head at $n + 1$, these are
    BEiT's rates; ELECTRA, who had the idea, starts at $\xi^2$ below the head. Usual are 0.65 to 0.9 for transformers.

    Without `depth_of` every layer with weights is one block, those of nested Sequential and functional models one
    each. In a functional model $L - \ell$ is the number of layers with weights on the longest way to an output, so
    that branches side by side have equal rates and a shared layer that of its earliest use; in other models it is
    the place in `model.layers`. Where normalization layers stand between the blocks, that is too deep: give
    `depth_of`.

    Use the groups alone or after groups of your own: the first match wins, and it wins whole. To spare biases from
    weight decay and keep their rates, call `optimizer.exclude_from_weight_decay(var_names=["bias"])`.

    Args:
        model: the model to train, built.
        decay: xi, in (0, 1].
        depth_of: which block a variable belongs to, instead of the layers: a function `variable -> int`, 0 or more
            and the smaller the nearer to the input; or a pattern with one group, such as `r"block_(\d+)"`, searched
            for in `variable.path`: one block for each text that the group matches, in the model's order. Variables
            before the first of them are the embeddings, those after the last the head, those between belong to the
            block before them.

    Returns:
        A list of groups, dictionaries for the argument `groups` of any optimizer, from the input to the output.

    Source: Clark et al. (ELECTRA), arXiv 2003.10555, section A.2; Bao et al. (BEiT), arXiv 2106.08254, and their code.

    Example:

    >>> import keras
    >>> layers = [keras.layers.Dense(2, name=name) for name in ("stem", "body", "head")]
    >>> model = keras.Sequential([keras.Input((2,)), *layers])
    >>> [group["learning_rate"] for group in layerwise_decay(model, 0.5)]
    [0.25, 0.5, 1.0]
    """
    where = "layerwise_decay"
    check_number(where, "decay", decay, 0, 1, "(]")
    if not isinstance(model, keras.Model) or not model.built or not model.trainable_variables:
        raise invalid(where, "model", model, "a Keras model that is built and has trainable variables")
    if depth_of is None:
        below_top = _layers_above(model)
    else:
        depths = _depths_by_pattern(model, depth_of) if isinstance(depth_of, str) else _depths_by(model, depth_of)
        top = max(depths)
        below_top = {id(v): top - d for v, d in zip(model.trainable_variables, depths, strict=True)}
    return _groups(model, decay, below_top)


def _groups(model, decay, below_top):
    # Patterns and not functions, so that the optimizer can be saved with its model. Of the models that a variable is
    # in, paths name some or none: those of a Sequential model change when it is loaded from a file.
    models = {layer.name for layer in model._flatten_layers() if isinstance(layer, keras.Model)}
    paths, found = {}, {}
    for variable in model.trainable_variables:
        parts = variable.path.split("/")
        while parts[0] in models and len(parts) > 1:
            parts.pop(0)
        path, steps = "/".join(parts), below_top[id(variable)]
        if found.setdefault(path, steps) != steps:
            accepted = f"a model whose layers have different names: at different depths there are two {path!r}"
            raise invalid("layerwise_decay", "model", model.name, accepted)
        paths.setdefault(steps, {})[re.escape(path)] = None
    start = "|".join(map(re.escape, sorted(models)))
    return [
        {"match": f"^(?:(?:{start})/)*(?:{'|'.join(paths[steps])})$", "learning_rate": float(decay**steps)}
        for steps in sorted(paths, reverse=True)
    ]


def _depths_by(model, depth_of):
    if not callable(depth_of):
        raise invalid("layerwise_decay", "depth_of", depth_of, "a function, a pattern or None")
    return [
        check_number("layerwise_decay", f"depth_of({v.path!r})", depth_of(v), low=0, integer=True)
        for v in model.trainable_variables
    ]


def _depths_by_pattern(model, pattern):
    accepted = "a pattern with one group that is found in some variable's path"
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise invalid("layerwise_decay", "depth_of", pattern, f"{accepted} ({error})") from None
    found = [compiled.search(variable.path) for variable in model.trainable_variables]
    if compiled.groups != 1 or not any(found):
        raise invalid("layerwise_decay", "depth_of", pattern, accepted)
    blocks = list(dict.fromkeys(match[1] for match in found if match))
    last = max(i for i, match in enumerate(found) if match)
    depths, depth = [], 0
    for i, match in enumerate(found):
        if match:
            depth = 1 + blocks.index(match[1])
        depths.append(depth if i <= last else 1 + len(blocks))
    return depths


def _layers_above(model):
    """The id of each variable -> how many layers with weights stand between its own and the output."""
    above = {}
    _walk(model, 0, above)
    found = {id(v): steps for steps, layer in above.values() for v in layer.trainable_variables}
    first = max(steps for steps, _ in above.values()) if above else 0
    return {id(v): found.get(id(v), first) for v in model.trainable_variables}  # weights of the model itself: first


def _walk(model, start, above):
    """Notes id -> (layers above its output, layer) for the layers of `model`, whose output has `start` above it.

    Returns:
        How many layers stand above the input of `model`.
    """
    if not isinstance(model, Functional):
        for layer in reversed(model.layers):
            start = _pass(layer, start, above)
        return start
    heights, highest = {}, start
    for _, nodes in sorted(model._nodes_by_depth.items()):  # from the outputs; parents are nearer to the inputs
        for node in nodes:
            below = _pass(node.operation, heights.get(id(node), start), above)
            highest = max(highest, below)
            for parent in node.parent_nodes:
                heights[id(parent)] = max(below, heights.get(id(parent), start))
    return highest


def _pass(layer, steps, above):
    """Notes a layer whose output has `steps` layers above it; returns how many its input has."""
    if isinstance(layer, keras.Sequential | Functional):
        return _walk(layer, steps, above)
    if not getattr(layer, "weights", ()):
        return steps
    steps = max(steps, above.get(id(layer), (0,))[0])
    above[id(layer)] = (steps, layer)
    return steps + 1
