"""Callbacks of every kind in one run."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt import callbacks, tensorboard


def network():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(inputs)
    x = layers.Add()([x, layers.Conv2D(6, 3, padding="same")(x)])
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x))
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    model.compile("adam", "mse", jit_compile=keras.backend.backend() == "jax")
    return model


@pytest.mark.both_backends
def test_a_run_with_nearly_all_of_them(tmp_path):
    x = np.random.default_rng(0).normal(size=(32, 8, 8, 3)).astype("float32")
    x[5, 0, 0] = np.nan  # in one batch of four
    model = network()
    used = [
        callbacks.WarmupCosine(1e-2),
        callbacks.FreezeLayers(begin=0.6, groups=2),
        callbacks.StochasticDepth(0.2),
        callbacks.NonFiniteGuard(),
        callbacks.ProgressiveResizing((4,), multiple=4, end=0.5),
        callbacks.SelectiveBackprop(0.5, begin=0.5),
        callbacks.AverageWeights("ema", 0.5),
        callbacks.Prune(0.5, end=0.75),
        callbacks.RecordOptimizer(tmp_path, every=4),
        callbacks.Throughput(),
    ]
    history = model.fit(x, x[:, 1, 1, :2], 8, 3, shuffle=False, callbacks=used, verbose=0).history
    assert history["non_finite"][:2] == [1, 2]  # later the row may not be among the half that is kept
    assert history["sparsity"][-1] == pytest.approx(0.5, abs=1e-3) and history["frozen"][-1] > 0.5
    kernels = [ops.convert_to_numpy(weight) for weight in model.trainable_weights if "kernel" in weight.path]
    assert sum((kernel == 0).sum() for kernel in kernels) == sum(kernel.size for kernel in kernels) // 2
    assert all(np.isfinite(kernel).all() for kernel in kernels)
    assert len(tensorboard.read(tmp_path)["."].steps) > 0
    assert not {"train_step", "make_train_function", "_endings", "_batch_changes"} & vars(model).keys()
