"""Low rank: a dense layer or a convolution becomes two thinner ones."""

import math

import keras
import numpy as np
from keras import layers

from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.compress import graph as graphs
from keras_dlopt.compress.prunable import prunable_weights

CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)


def factorize(model, energy=0.9, *, rank=None, skip=(), only=()):
    r"""A model whose dense layers and convolutions of low rank are two thinner layers each.

    The kernel as a matrix, inputs times outputs (of a convolution: positions and input channels times filters), is cut
    to its $r$ largest singular values and shared between two layers,

    $$W \approx (U_r \Sigma_r^{1/2})(\Sigma_r^{1/2} V_r^\top),$$

    the first without bias or activation, a convolution of the same size with $r$ filters; the second dense, or a
    convolution of size 1, with the bias and the activation of the old one, and its name. The rank is the smallest with

    $$\sum_{i \le r} \sigma_i^2 \ge \text{energy} \cdot \sum_i \sigma_i^2.$$

    Only layers for which two are less work than one, $r (m + n) < m n$ for $m$ inputs and $n$ outputs, are replaced; at
    full energy the model gives what it gave. Train on afterwards, with a small learning rate, to make up for the rest.

    Args:
        model: a built Sequential or functional model, which may have such models inside. It stays as it is.
        energy: share of the squared singular values that each kernel keeps, in (0, 1]. Defaults to 0.9.
        rank: instead of `energy`, the rank itself, >= 1, or a share in (0, 1) of a kernel's full rank.
        skip, only: what to leave as it is, and what to factorize: patterns, layer types, callables, as in
            `callbacks.Prune`.

    Returns:
        A functional model that is not compiled.

    Raises:
        ValueError: if an argument is out of its range, the model has no graph, a choice matches nothing, or no layer
            would get cheaper.

    Source: Denil et al., "Predicting parameters in deep learning", arXiv 1306.0543; for convolutions Zhang, Zou, He and
    Sun, "Accelerating very deep convolutional networks", arXiv 1505.06798.

    Example:

    >>> kernel = np.outer(np.arange(8), np.ones(6))  # of rank 1
    >>> model = keras.Sequential([keras.Input((8,)), layers.Dense(6, use_bias=False)])
    >>> model.set_weights([kernel])
    >>> thin = factorize(model, 0.99)
    >>> model.count_params(), thin.count_params(), np.allclose(thin(np.eye(8)), kernel, atol=1e-5)
    (48, 14, True)
    """
    where = "factorize"
    if not isinstance(model, keras.Model) or graphs.functional(model) is None:
        raise invalid(where, "model", model, "a built Sequential or functional keras.Model")
    check_number(where, "energy", energy, 0, 1, "(]")
    if rank is not None and not 0 < check_number(where, "rank", rank, 0, ends="()") < 1:
        check_number(where, "rank", rank, 1, integer=True)
    copy = graphs.inlined(model)
    chosen = {id(weight) for weight in prunable_weights(copy, skip, only, where=where)}
    made = {}

    def convert(node, args, kwargs):
        layer = node.operation
        if id(layer) not in made:
            made[id(layer)] = _factors(layer, energy, rank) if _may(layer, chosen) else None
        if made[id(layer)] is None:
            return layer(*args, **kwargs)
        (first, second), weights = made[id(layer)]
        output = second(first(*args, **kwargs))
        for factor, kernel in zip((first, second), weights, strict=True):
            factor.kernel.assign(kernel)
        if layer.use_bias:
            second.bias.assign(layer.bias)
        return output

    thin = graphs.rebuild(graphs.functional(copy), lambda tensor: tensor, convert, name=model.name)
    if not any(made.values()):
        raise invalid(where, "model", model.name, "one with a chosen layer whose two factors are less work than itself")
    return thin


def _may(layer, chosen):
    exact = type(layer) is layers.Dense or (type(layer) in CONVOLUTIONS and layer.groups == 1)
    return exact and id(layer.kernel) in chosen


def _factors(layer, energy, rank):
    """Two layers and their kernels in the place of one, or `None` if they are no less work."""
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype("float64")
    m, n = math.prod(kernel.shape[:-1]), kernel.shape[-1]
    u, s, vt = np.linalg.svd(kernel.reshape(m, n), full_matrices=False)
    r = _rank(s, energy, rank)
    if r * (m + n) >= m * n:
        return None
    config = layer.get_config()
    plain = {"activation": None, "use_bias": False, "bias_regularizer": None, "bias_constraint": None}
    thin = {"kernel_constraint": None, "name": f"{layer.name}_factor"}
    if isinstance(layer, layers.Dense):
        first, second = config | plain | thin | {"units": r}, config
        shapes = (m, r), (r, n)
    else:
        ones = (1,) * layer.rank
        first = config | plain | thin | {"filters": r}
        second = config | {"kernel_size": ones, "strides": ones, "dilation_rate": ones, "padding": "valid"}
        shapes = (*kernel.shape[:-1], r), (*ones, r, n)
    root = np.sqrt(s[:r])
    weights = (u[:, :r] * root).reshape(shapes[0]), (root[:, None] * vt[:r]).reshape(shapes[1])
    return [type(layer).from_config(c) for c in (first, second)], weights


def _rank(s, energy, rank):
    if rank is not None:
        return max(1, round(rank * len(s))) if rank < 1 else min(rank, len(s))
    kept = np.cumsum(s**2)
    return int(np.searchsorted(kept, energy * kept[-1] * (1 - 1e-12))) + 1
