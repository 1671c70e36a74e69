"""Clustering: k-means of kernels, and centroids that train as what they are."""

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from keras import layers, ops

from keras_dlopt import callbacks, compress, optimizers
from keras_dlopt.compress.clustering import STARTS, centroids_of

JIT = keras.backend.backend() == "jax"
rng = np.random.default_rng(0)
X = rng.normal(size=(64, 6)).astype("float32")
Y = rng.normal(size=(64, 3)).astype("float32")


def net():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [layers.Input((6,)), layers.Dense(12, activation="tanh", name="hidden"), layers.Dense(3, name="head")]
    )


def train(model, optimizer, *used, **kwargs):
    model.compile(optimizer, "mse", jit_compile=JIT)
    return model.fit(X, Y, batch_size=8, shuffle=False, verbose=0, callbacks=list(used), **kwargs)


def kernel(model, name="hidden"):
    return ops.convert_to_numpy(model.get_layer(name).kernel)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=40),
    st.integers(3, 6),
    st.sampled_from(STARTS),
    st.booleans(),
)
@example([0.0, 0.0, 0.0, 0.25, -1.0, -1.0, -2.0, -2.0, -2.0, -1.75], 4, "density", False)
def test_every_weight_has_its_nearest_centroid(values, clusters, start, keep_zeros):
    values = np.array(values, "float32")
    centroids, members = centroids_of(values, clusters, start, keep_zeros)
    assert len(centroids) <= clusters and members.shape == values.shape
    rest = values != 0 if keep_zeros else np.ones(values.shape, bool)
    assert not centroids[members[~rest]].any()
    reachable = centroids if not keep_zeros or rest.all() else centroids[1:]
    nearest = np.abs(values[rest, None] - reachable).min(1) if rest.any() else np.zeros(0)
    np.testing.assert_allclose(np.abs(values[rest] - centroids[members[rest]]), nearest, atol=1e-4)


def test_values_that_are_few_stay():
    values = np.array([[0.5, -1.0], [2.0, 0.5]], "float32")
    centroids, members = centroids_of(values, 3)
    np.testing.assert_array_equal(centroids[members].reshape(2, 2), values)


@pytest.mark.both_backends
@pytest.mark.parametrize("start", STARTS)
def test_at_once(start):
    model = net()
    clustered = compress.cluster(model, 4, start=start, skip="head")
    assert len(np.unique(kernel(clustered))) == 4
    assert len(np.unique(kernel(model))) == 72
    np.testing.assert_array_equal(kernel(clustered, "head"), kernel(model, "head"))
    np.testing.assert_array_equal(clustered.layers[0].bias, model.layers[0].bias)


@pytest.mark.both_backends
def test_every_step_is_numpys():
    """Gradient descent on weights that are equal within a cluster is gradient descent projected."""
    model = keras.Sequential([layers.Input((6,)), layers.Dense(3, use_bias=False, name="hidden")])
    centroids, members = centroids_of(kernel(model), 4)
    w = centroids[members].reshape(6, 3).astype("float64")
    train(model, keras.optimizers.SGD(0.1), callbacks.Cluster(4), epochs=2)
    for _ in range(2):
        for i in range(0, 64, 8):
            x, y = X[i : i + 8], Y[i : i + 8]
            gradient = (2 / 24 * x.T @ (x @ w - y)).ravel()
            for cluster in range(4):
                gradient[members == cluster] = gradient[members == cluster].mean()
            w -= 0.1 * gradient.reshape(6, 3)
    np.testing.assert_allclose(kernel(model), w, atol=2e-6)


@pytest.mark.both_backends
@pytest.mark.parametrize(
    "make",
    [
        lambda: optimizers.AdamW(0.01, use_ema=True),
        lambda: optimizers.Muon(0.01, gradient_accumulation_steps=2),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), initial_scale=8.0),
    ],
)
def test_few_values_remain_and_they_train(make):
    model = net()
    history = train(model, make(), callbacks.Cluster(5), epochs=4)
    for name in ("hidden", "head"):
        assert 1 < len(np.unique(kernel(model, name))) <= 5
    assert history.history["loss"][-1] < history.history["loss"][0]


@pytest.mark.both_backends
def test_zeros_stay_and_a_second_run_keeps_the_clusters(tmp_path):
    pruned = compress.prune(net(), 0.5)
    train(pruned, keras.optimizers.Adam(0.01), callbacks.Cluster(6, keep_zeros=True))
    assert (kernel(pruned) == 0).mean() == 0.5 and len(np.unique(kernel(pruned))) == 6
    pruned.save(tmp_path / "clustered.keras")
    loaded = keras.models.load_model(tmp_path / "clustered.keras")
    groups = np.unique(kernel(loaded), return_inverse=True)[1]
    train(loaded, keras.optimizers.Adam(0.001), callbacks.Cluster(6, keep_zeros=True))
    np.testing.assert_array_equal(np.unique(kernel(loaded), return_inverse=True)[1], groups)
    assert (kernel(loaded) != kernel(pruned)).any()


def test_two_of_them_share_a_run_but_not_a_weight():
    model = net()
    start = kernel(compress.cluster(model, 4))
    seen = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: counts.append([len(np.unique(kernel(model, name))) for name in ("hidden", "head")])
    )
    counts = []
    pair = [callbacks.Cluster(4, only="hidden"), callbacks.Cluster(5, only="head")]
    train(model, keras.optimizers.SGD(0.1), *pair, seen, epochs=2)
    assert counts == [[4, 5]] * 2
    assert len(np.unique(kernel(model))) == 4 and (kernel(model) != start).mean() > 0.5
    with pytest.raises(ValueError, match="two of them have `.*head/kernel`"):
        train(model, "sgd", callbacks.Cluster(4), callbacks.Cluster(4, only="head"))


def test_restored_weights_stay():
    """Those of the first epoch, which is best where more loss is better."""
    model, first = net(), []
    seen = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: first.append(kernel(model)))
    stop = keras.callbacks.EarlyStopping("loss", mode="max", patience=9, restore_best_weights=True)
    train(model, keras.optimizers.SGD(0.1), seen, stop, callbacks.Cluster(4, only="hidden"), epochs=3)
    assert stop.best_epoch == 0 and (first[-1] != first[0]).mean() > 0.5
    np.testing.assert_allclose(kernel(model), first[0], atol=1e-7)
    assert len(np.unique(kernel(model))) == 4
    with pytest.raises(ValueError, match="Cluster comes after EarlyStopping"):
        train(model, "sgd", callbacks.Cluster(4), stop)


def test_replicas_cluster_alike(mirrored):
    alone = net()
    train(alone, keras.optimizers.Adam(0.01), callbacks.Cluster(4))
    with mirrored.scope():
        together = net()
        train(together, keras.optimizers.Adam(0.01), callbacks.Cluster(4))
    np.testing.assert_allclose(kernel(together), kernel(alone), atol=1e-6)
    assert len(np.unique(kernel(together))) == 4


def test_repeated_rows_of_a_table():
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [layers.Input((4,), dtype="int32"), layers.Embedding(9, 4), layers.Flatten(), layers.Dense(3)]
    )
    model.compile("adam", "mse", jit_compile=False)
    model.fit(rng.integers(0, 9, (64, 4)), Y, verbose=0, callbacks=[callbacks.Cluster(4)])
    assert len(np.unique(model.layers[0].embeddings)) == 4


def test_tfmot_clusters_the_same_call():
    model = net()
    wrapped = compress.cluster(model, 4, engine="tfmot", skip="head")
    train(wrapped, keras.optimizers.Adam(0.001))
    assert len(np.unique(kernel(wrapped.strip()))) <= 4
    assert len(np.unique(kernel(wrapped.strip(), "head"))) == 36


REFUSED = {
    "clusters": (lambda: callbacks.Cluster(1), r"Cluster\(clusters=.*1"),
    "zeros": (lambda: compress.cluster(net(), 2, keep_zeros=True), r"cluster\(clusters=.*2"),
    "start": (lambda: callbacks.Cluster(start="k"), r"Cluster\(start=.*kmeans\+\+.*'k'"),
    "model": (lambda: compress.cluster(3), r"cluster\(model=.*a built keras.Model.*3"),
    "skip": (lambda: compress.cluster(net(), skip="tail"), r"cluster\(skip=.*hidden/kernel.*'tail'"),
    "engine": (lambda: compress.cluster(net(), engine="torch"), r"cluster\(engine=.*'torch'"),
    "unbuilt": (lambda: train(keras.Sequential([layers.Dense(3)]), "sgd", callbacks.Cluster()), "has no weights to"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    make, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        make()
