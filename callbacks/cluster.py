"""Clustering during `fit`."""

from keras import ops

from keras_dlopt import step
from keras_dlopt.arguments import invalid
from keras_dlopt.callbacks.callback import Callback
from keras_dlopt.compress.clustering import Centroids, centroids_of, check_clusters
from keras_dlopt.compress.prunable import as_choices, prunable_weights


class Cluster(Callback):
    r"""Gives every kernel few different values when training starts, and trains these values.

    K-means finds each kernel's centroids in the weights that it has; so start from a trained model, with a small
    learning rate. From then on the weights of a cluster move together, inside the compiled step, under any optimizer:
    a centroid moves by the mean of what its weights would move,

    $$c_j \leftarrow c_j + \frac{1}{|C_j|} \sum_{i \in C_j} \Delta w_i .$$

    ("Deep compression" takes the sum: a learning rate for it must be smaller by the size of a cluster.) At no time is
    there a model to save that is not clustered. A kernel that has few enough values already keeps them: a run that goes
    on from a saved model goes on with its clusters.

    Args:
        clusters: how many values each kernel may have, 2 or more. Defaults to 16, which are 4 bits a weight.
        start: where k-means starts: "kmeans++", "density", "linear", "random"; see `compress.cluster`.
        skip: what is left as it is: a pattern, searched for in the variables' paths (`"logits"`), a layer type, a
            callable that is given a layer and says whether, or a list of such.
        only: what to cluster, chosen like `skip`. Defaults to all kernels, as in `Prune`.
        keep_zeros: whether weights that are zero stay so, for a model that was pruned; zero is then one of the values.
        seed: of "kmeans++" and "random".

    Raises:
        ValueError: before the first step, if there is nothing to cluster, the model has no weights yet, or another
            `Cluster` has the same weights.

    Reference:
        Han, Mao, Dally, "Deep compression", arXiv 1510.00149.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(10)])
    >>> model.compile("adam", "mse")
    >>> history = model.fit(np.ones((32, 10)), np.ones((32, 10)), callbacks=[callbacks.Cluster(4)], verbose=0)
    >>> len(np.unique(model.layers[0].kernel))
    4
    """

    # AverageWeights: its averages are clustered, too, when training ends. The others change what an update does.
    # EarlyStopping: what it restores has this form, too.
    after = ("AverageWeights", "EarlyStopping", "FreezeLayers", "GradualUnfreeze", "NonFiniteGuard")

    def __init__(self, clusters=16, start="kmeans++", skip=(), *, only=(), keep_zeros=False, seed=0):
        super().__init__()
        check_clusters("Cluster", clusters, start, keep_zeros)
        self._clusters, self._start, self._keep_zeros, self._seed = clusters, start, keep_zeros, seed
        self._choice = as_choices("Cluster", "skip", skip), as_choices("Cluster", "only", only)

    def on_train_begin(self, logs=None):
        self.end_run()
        if not self.model.built:
            raise ValueError(
                f'`Cluster`: "{self.model.name}" has no weights to cluster before the first step; build it.'
            )
        weights = prunable_weights(self.model, *self._choice, where="Cluster")
        found = [
            centroids_of(ops.convert_to_numpy(w), self._clusters, self._start, self._keep_zeros, self._seed)
            for w in weights
        ]
        self._centroids = Centroids(weights, found, self._keep_zeros)
        self._centroids.run = self.params  # all callbacks of a run are given the same object
        self._leave_one_to_a_weight()
        step.attach(self.model.optimizer, self._centroids, self.model)
        self.at_end(_detach, self._centroids)

    def on_train_end(self, logs=None):
        self._centroids.settle()  # weight averaging and EarlyStopping end by overwriting the weights
        self.end_run()

    def _leave_one_to_a_weight(self):
        """Ends a run of another `Cluster` that broke off, and refuses one that is in this run with the same weights."""
        weights = {id(weight) for weight in self._centroids.weights}
        for other in step.observers(self.model.optimizer):
            if not isinstance(other, Centroids):
                continue
            if other.run is not self.params:
                step.detach(self.model.optimizer, other)
            for weight in other.weights if other.run is self.params else ():
                if id(weight) in weights:
                    accepted = f"one that no other `Cluster` of this run has; two of them have `{weight.path}`"
                    raise invalid("Cluster", "model", self.model, accepted)


def _detach(centroids):
    if centroids.optimizer is not None:
        step.detach(centroids.optimizer, centroids)
