"""Structured pruning: whole channels leave, and a smaller dense model remains."""

import keras
import numpy as np
from keras import layers, ops

from keras_dlopt.arguments import check_choice, check_number, invalid
from keras_dlopt.compress import graph as graphs
from keras_dlopt.compress.channels import ChannelUnits, Couplings
from keras_dlopt.compress.masks import RANKINGS
from keras_dlopt.compress.sparsity import kept_counts


def remove_channels(model, share=None, *, ranking="layer", skip=()):
    r"""A smaller dense model: `model` without some of its channels.

    What is coupled goes together: the filters of every convolution that ends in the same addition, their biases and
    normalizations, the depthwise filters that follow, and in the layers after them the rows that read these channels;
    through nested models, concatenations and `Flatten`. The new model is faster wherever it runs. It gives what the old
    one gave with the removed channels at zero, to rounding: outputs do not change if they were.

    The inputs and outputs of the model stay, and channels that are read in a way that is not known here (by a
    recurrent layer, attention, a normalization over channels, a layer of your own), or whose zeros an activation turns
    into something else.

    A channel's importance is the mean, over the weights $W_k$ that make it (kernels, and the gains of normalizations),
    of its squared norm beside that of its group: $\frac1K \sum_k \|W_{k,c}\|^2 / \overline{\|W_k\|^2}$.

    Args:
        model: a built Sequential or functional model, channels last, which may have such models inside.
        share: share of the channels to remove, in (0, 1): of those that may be. `None` removes those that are zero and
            only those: their kernels, biases, gains and offsets, as `callbacks.Prune(..., pattern="channels")` leaves
            them, so that the outputs stay.
        ranking: "layer" removes the same share everywhere, "global" the least important of the whole model.
        skip: layers whose output channels stay, chosen as in `callbacks.Prune`.

    Returns:
        A functional model that is not compiled, with layers of the same names.

    Raises:
        ValueError: if the model has no graph, or no channel can be removed.

    Reference:
        Fang et al., "DepGraph: towards any structural pruning", arXiv 2301.12900. Li et al., "Pruning filters for
        efficient ConvNets", arXiv 1608.08710.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(2)])
    >>> smaller = remove_channels(model, 0.5)
    >>> [layer.units for layer in smaller.layers[1:]], smaller.count_params(), model.count_params()
    ([4, 2], 30, 58)
    """
    if not isinstance(model, keras.Model) or graphs.functional(model) is None:
        raise invalid("remove_channels", "model", model, "a built Sequential or functional keras.Model")
    if share is not None:
        check_number("remove_channels", "share", share, low=0, high=1, ends="()")
    check_choice("remove_channels", "ranking", ranking, RANKINGS)
    couplings = Couplings(model, skip)
    groups = couplings.groups()
    if share is None:
        zero = set().union(*Couplings(model, skip, stays=lambda weight: True).groups())
        # No layer can be without channels: a group that is zero throughout keeps one.
        removed = {label for group in groups for label in group[zero.issuperset(group) :] if label in zero}
        what = "a model with zero channels"
    else:
        removed = _least_important(couplings, groups, share, ranking)
        what = "a model with more channels that may be removed"
    if not removed:
        raise invalid("remove_channels", "model", model, what)
    return _Smaller(couplings, removed).model(model)


def _least_important(couplings, groups, share, ranking):
    if not groups:
        return set()
    units = [ChannelUnits(couplings, group) for group in groups]
    scores = [ops.convert_to_numpy(unit.scores([ops.abs(weight) for weight in unit.weights])) for unit in units]
    if ranking == "global":
        (kept,) = kept_counts([sum(map(len, groups))], share)
        worst = np.sort(np.concatenate(scores))[-kept]
        removed = [np.flatnonzero((score < worst) & (score < score.max())) for score in scores]
    else:
        kept = kept_counts([len(group) for group in groups], share)
        removed = [np.argsort(s, kind="stable")[: len(s) - k] for s, k in zip(scores, kept, strict=True)]
    return {group[i] for group, chosen in zip(groups, removed, strict=True) for i in chosen}


class _Smaller:
    """Rebuilds a graph without the `removed` labels."""

    def __init__(self, couplings, removed):
        self._removed = np.array(sorted(removed))
        self._resized = {
            layer: (name, int(self._kept(couplings.roots(labels)).sum()))
            for layer, (name, labels) in couplings.resized.items()
        }
        self._axes = {}
        for entry in couplings.slices:
            self._axes.setdefault(id(entry.weight), []).append((entry.axis, self._kept(entry.labels)))
        self._made = {}

    def _kept(self, labels):
        return ~np.isin(labels, self._removed)

    def model(self, old, inputs=None):
        return graphs.rebuild(graphs.functional(old), lambda tensor: tensor, self._convert, name=old.name, like=inputs)

    def _convert(self, node, args, kwargs):
        old = node.operation
        if id(old) not in self._made:
            self._made[id(old)] = self._operation(old, node, args)
            outputs = self._made[id(old)](*args, **kwargs)
            if isinstance(old, layers.Layer) and not isinstance(old, keras.Model):
                for was, weight in zip(old.weights, self._made[id(old)].weights, strict=True):
                    weight.assign(self._smaller(was))
            return outputs
        return self._made[id(old)](*args, **kwargs)

    def _operation(self, old, node, args):
        if isinstance(old, keras.Model) and graphs.functional(old) is not None:
            return self.model(old, keras.tree.flatten(args[0]))
        config = old.get_config()
        if id(old) in self._resized:
            name, size = self._resized[id(old)]
            config[name] = size
        if type(old) is layers.Reshape and args[0].shape[-1] != node.input_tensors[0].shape[-1]:
            config["target_shape"] = (*old.target_shape[:-1], args[0].shape[-1])
        return type(old).from_config(config)

    def _smaller(self, weight):
        array = ops.convert_to_numpy(weight)
        for axis, kept in self._axes.get(id(weight), ()):
            array = np.compress(kept, array, axis)
        return array
