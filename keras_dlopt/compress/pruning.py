"""Pruning in one shot."""

import copy
import warnings

import keras
from keras import ops

from keras_dlopt.arguments import check_choice, check_number, invalid
from keras_dlopt.compress import patterns
from keras_dlopt.compress.engines import or_tfmot
from keras_dlopt.compress.masks import RANKINGS, cut_into_units, kept_table, masked, refuse_pruned


@or_tfmot
def prune(model, sparsity, *, pattern="unstructured", ranking="layer", skip=(), only=(), depthwise=False):
    """A copy of a trained model whose smallest weights are zero, all at once and without training.

    What that costs in accuracy, `callbacks.Prune` heals, which prunes bit by bit while the model trains; continue with
    `callbacks.Prune.keep()` to fine-tune what this returns.

    Args:
        model: a built `keras.Model` of any kind. A class of your own must be one that `keras.models.load_model` finds.
        sparsity: share of zeros to reach in the weights that are pruned, in [0, 1).
        pattern: "unstructured", "m:n" such as "2:4", or the rows and columns of a block; as in `callbacks.Prune`. To
            remove channels, see `remove_channels`.
        ranking: "layer" takes the same share of every kernel, "global" the smallest of all kernels together.
        skip, only: what to leave dense, and what to prune; as in `callbacks.Prune`.
        depthwise: whether to prune depthwise kernels, too.
        engine: "native", or "tfmot" for a model that real tfmot prunes while it trains, here or in tf_keras: its
            arguments are `pattern`, `skip`, `only`, and `begin`, `end` and `frequency` of `callbacks.Prune`.

    Returns:
        The pruned copy, a model of the same class; by tfmot, a `compress.tfmot.Wrapped` to compile and `fit`, whose
        `strip()` is the pruned Keras 3 model.

    Raises:
        ValueError: if nothing can be pruned, the share cannot be met within 0.001, or the model has more zeros already.

    Example:

    >>> model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(10)])
    >>> pruned = prune(model, 0.8)
    >>> [int(ops.count_nonzero(m.layers[0].kernel)) for m in (pruned, model)]
    [20, 100]
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise invalid("prune", "model", model, "a built keras.Model")
    check_number("prune", "sparsity", sparsity, low=0, high=1, ends="[)")
    check_choice("prune", "ranking", ranking, RANKINGS)
    cut = patterns.parse(pattern, "prune")
    if cut is None:
        raise invalid("prune", "pattern", pattern, "a pattern of zeros; `remove_channels` takes channels out at once")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")  # one that made no step yet
        pruned = copy.deepcopy(model)
    units = cut_into_units(pruned, cut, skip, only, depthwise, where="prune")
    (kept,) = kept_table(units, [sparsity], ranking, where="prune")
    weights = patterns.weights_of(units)
    refuse_pruned(weights, sparsity, where="prune")
    importances = [[ops.abs(weight) for weight in unit.weights] for unit in units]
    for weight, mask in zip(weights, patterns.choose(units, importances, kept), strict=True):
        weight.assign(masked(weight, mask))
    return pruned
