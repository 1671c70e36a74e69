"""Clustering (weight sharing): kernels of few different values, at once, and kept so while training."""

import copy
import warnings

import keras
import numpy as np
from keras import ops

from keras_dlopt.arguments import check_choice, check_number, invalid
from keras_dlopt.compress.engines import or_tfmot
from keras_dlopt.compress.prunable import prunable_weights
from keras_dlopt.step import Observer

STARTS = ("kmeans++", "density", "linear", "random")


@or_tfmot
def cluster(model, clusters=16, *, start="kmeans++", skip=(), only=(), keep_zeros=False, seed=0):
    r"""A copy of a trained model whose kernels have few different values each, at once and without training.

    Every weight becomes the nearest of the kernel's centroids $c_1 \ldots c_k$, which k-means puts where

    $$\sum_i \min_j (w_i - c_j)^2$$

    is small. What that costs in accuracy `callbacks.Cluster` heals, which trains the centroids. A kernel of 16 values
    needs 4 bits a weight after compression; nothing becomes faster.

    Args:
        model: a built `keras.Model` of any kind. A class of your own must be one that `keras.models.load_model` finds.
        clusters: how many values each kernel may have, 2 or more. Defaults to 16.
        start: where k-means starts: "kmeans++"; "density", at equal shares of the weights; "linear", at equal
            distances; "random", at weights drawn.
        skip, only: what to leave as it is, and what to cluster: patterns, layer types, callables, as in
            `callbacks.Prune`.
        keep_zeros: whether weights that are zero stay so; zero is then one of the values.
        seed: of "kmeans++" and "random".
        engine: "native", or "tfmot" for a model that real tfmot clusters while it trains; without `seed`, and with
            `per_channel=True` for a filter's own values.

    Returns:
        The clustered copy, a model of the same class; by tfmot, a `compress.tfmot.Wrapped` to compile and `fit`, whose
        `strip()` is the clustered Keras 3 model.

    Raises:
        ValueError: if nothing can be clustered.

    Reference:
        Han, Mao, Dally, "Deep compression", arXiv 1510.00149.

    Example:

    >>> model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(10)])
    >>> [len(np.unique(m.layers[0].kernel)) for m in (model, cluster(model, 4))]
    [100, 4]
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise invalid("cluster", "model", model, "a built keras.Model")
    check_clusters("cluster", clusters, start, keep_zeros)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")  # one that made no step yet
        clustered = copy.deepcopy(model)
    for weight in prunable_weights(clustered, skip, only, where="cluster"):
        values = ops.convert_to_numpy(weight)
        centroids, members = centroids_of(values, clusters, start, keep_zeros, seed)
        weight.assign(centroids[members].reshape(values.shape))
    return clustered


def check_clusters(where, clusters, start, keep_zeros):
    """Refuses what is no number of clusters, or no way to start."""
    check_number(where, "clusters", clusters, low=3 if keep_zeros else 2, integer=True)
    check_choice(where, "start", start, STARTS)


def centroids_of(values, clusters, start="kmeans++", keep_zeros=False, seed=0):
    """K-means of one kernel; values that are few enough already are their own centroids.

    Returns:
        The centroids, ascending but for zero, which comes first with `keep_zeros`; and the place of each weight's among
        them, int32, for the flattened kernel.

    Example:

    >>> centroids, members = centroids_of(np.array([0.0, 1.0, 1.1, 5.0], "float32"), 3, keep_zeros=True)
    >>> [round(float(c), 2) for c in centroids], members.tolist()
    ([0.0, 1.05, 5.0], [0, 1, 1, 2])
    """
    from sklearn.cluster import KMeans

    flat = np.asarray(values, "float32").ravel()
    kept = flat == 0 if keep_zeros else np.zeros(flat.shape, bool)
    rest = flat[~kept]
    count = clusters - bool(kept.any())
    centroids, members = np.unique(rest, return_inverse=True)
    if len(centroids) > count:
        places = {
            "kmeans++": "k-means++",
            "random": "random",
            "linear": np.linspace(rest.min(), rest.max(), count)[:, None],
            "density": np.quantile(rest, (np.arange(count) + 0.5) / count)[:, None],
        }
        found = KMeans(count, init=places[start], n_init=1, random_state=seed).fit(rest[:, None])
        centroids = np.sort(found.cluster_centers_.ravel())
        # Not its labels: where it moves an empty cluster last, they are older than the centroids.
        members = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, rest)
    places = np.zeros(flat.shape, "int32")
    places[~kept] = members + bool(kept.any())
    zero = [0.0] if kept.any() else []
    return np.array([*zero, *centroids], "float32"), places


class Centroids(Observer):
    r"""Weights that share a value move together: a step moves a centroid by the mean of what its weights would move.

    The gradient becomes its orthogonal projection on kernels in which they are equal, so that the learning rate means
    what it did before. The step that the optimizer makes is projected in the same way, since its state may differ
    between weights that share a value.

    Args:
        weights: the kernels.
        found: for each, what `centroids_of` returned.
        keep_zeros: whether a first centroid of zero stays.
    """

    def __init__(self, weights, found, keep_zeros):
        self.weights, self._found, self._keep_zeros = weights, found, keep_zeros

    def build(self, optimizer, variables):
        self.centroids, self.members, self._shares = [], [], []
        for centroids, members in self._found:
            counts = np.maximum(np.bincount(members, minlength=len(centroids)), 1)
            moving = np.ones(len(centroids)) if not (self._keep_zeros and centroids[0] == 0) else centroids != 0
            self._shares.append((moving / counts).astype("float32"))
            self.centroids.append(self._variable(centroids, "float32", "centroids"))
            self.members.append(self._variable(members, "int32", "members"))
        self._found = None
        self.apply()

    def _variable(self, values, dtype, name):
        variable = self.add_variable(values.shape, dtype, name=name)
        variable.assign(values)
        return variable

    def before_apply(self, gradients, variables):
        places = {id(variable): i for i, variable in enumerate(variables)}
        gradients = list(gradients)
        self.carry.before = [ops.copy(weight) for weight in self.weights]
        for i, weight in enumerate(self.weights):
            place = places.get(id(weight))
            if place is not None and gradients[place] is not None:
                gradient = ops.convert_to_tensor(gradients[place])
                shared = self._shared(i, self._mean(i, gradient), weight)
                gradients[place] = ops.cast(shared, gradient.dtype)
        return gradients

    def after_apply(self, gradients, variables):
        for i, (weight, centroids) in enumerate(zip(self.weights, self.centroids, strict=True)):
            # Of the differences, which are small: a mean of the weights would be rounded at their size.
            moved = ops.cast(weight, "float32") - ops.cast(self.carry.before[i], "float32")
            centroids_now = ops.convert_to_tensor(centroids) + self._mean(i, moved)
            self.assign(centroids, centroids_now)
            self.assign(weight, ops.cast(self._shared(i, centroids_now, weight), weight.dtype))

    def settle(self):
        """Centroids become the means of their weights, which something else has written, and weights the centroids."""
        for i, (weight, centroids) in enumerate(zip(self.weights, self.centroids, strict=True)):
            # Of the differences: weights that have their centroid keep it to the last bit.
            away = ops.cast(weight, "float32") - ops.cast(self._shared(i, centroids, weight), "float32")
            centroids.assign(ops.convert_to_tensor(centroids) + self._mean(i, away))
        self.apply()

    def apply(self):
        """Puts the centroids into the weights, between steps."""
        for i, (weight, centroids) in enumerate(zip(self.weights, self.centroids, strict=True)):
            weight.assign(self._shared(i, centroids, weight))

    def _mean(self, i, values):
        flat = ops.cast(ops.reshape(values, (-1,)), "float32")
        members = ops.convert_to_tensor(self.members[i])
        return _sums(flat, members, len(self._shares[i])) * self._shares[i]

    def _shared(self, i, centroids, weight):
        members = ops.convert_to_tensor(self.members[i])
        return ops.reshape(ops.take(ops.convert_to_tensor(centroids), members), weight.shape)


def _sums(values, members, count):
    """The sum of the values of each of `count` clusters."""
    if keras.backend.backend() == "tensorflow":  # whose `segment_sum` takes ten times as long without XLA
        import tensorflow as tf

        return tf.raw_ops.DenseBincount(input=members, size=tf.constant(count), weights=values, binary_output=False)
    return ops.segment_sum(values, members, count)
