"""Clustering by tfmot: kernels of few different values."""

import tf_keras

from keras_dlopt.arguments import check_choice, check_number
from keras_dlopt.compress.tfmot.choice import chosen_layers
from keras_dlopt.compress.tfmot.package import internal, load
from keras_dlopt.compress.tfmot.wrapped import Wrapped, enter

STARTS = {"kmeans++": "KMEANS_PLUS_PLUS", "density": "DENSITY_BASED", "linear": "LINEAR", "random": "RANDOM"}


def cluster(model, clusters=16, *, start="kmeans++", only=(), skip=(), per_channel=False, keep_zeros=False):
    """`compress.cluster` with `engine="tfmot"`: the model with tfmot's wrappers, for training.

    Args:
        model: a Keras 3 model that the bridge takes, or a tf_keras model; it is not changed.
        clusters: how many values each kernel may have, 2 or more; 3 or more with `keep_zeros`.
        start: where the centroids begin: "kmeans++", "density", "linear", or "random".
        only, skip: which layers, as in the native call.
        per_channel: whether each filter of a `Conv2D` has values of its own, for CQAT.
        keep_zeros: whether zeros stay zero, for PCQAT.

    Returns:
        A `Clustered`: compile and `fit` it, then `strip()` gives the clustered Keras 3 model.
    """
    check_number("cluster", "clusters", clusters, low=3 if keep_zeros else 2, integer=True)
    check_choice("cluster", "start", start, STARTS)
    keras = load().clustering.keras
    how = {
        "cluster_centroids_init": getattr(keras.CentroidInitialization, STARTS[start]),
        "preserve_sparsity": keep_zeros,
        "cluster_per_channel": per_channel,
    }
    flat = enter(model, "cluster")
    chosen = chosen_layers("cluster", flat, _clusterable, only, skip)
    wrap = internal("clustering.keras.cluster")._cluster_weights
    twin = tf_keras.models.clone_model(
        flat.model,
        clone_function=lambda layer: wrap(layer, int(clusters), **how) if layer.name in chosen else layer,
    )
    return Clustered(model, flat, twin)


class Clustered(Wrapped):
    """A model whose weights tfmot keeps at few values while it trains."""

    def _stripped(self):
        return load().clustering.keras.strip_clustering(self.tf_keras_model)


def _clusterable(layer):
    """Whether tfmot has weights of this layer to cluster; its registry also takes layers that have none."""
    registry = internal("clustering.keras.clustering_registry").ClusteringRegistry
    if isinstance(layer, tf_keras.layers.InputLayer) or not layer.weights or not registry.supports(layer):
        return False
    return bool(registry._LAYERS_WEIGHTS_MAP.get(type(layer), True))
