"""Every callback of ours gives its configuration and is made from it; a wrong order in `fit` is refused."""

import json
import pathlib
import pickle

import keras
import numpy as np
import pytest

from keras_dlopt import callbacks
from keras_dlopt.callbacks.callback import EVERY_OTHER, Callback


class Early(Callback):
    def __init__(self, path="a", schedule=None, *, names=()):
        super().__init__()
        self.schedule = schedule


class Late(Callback):
    after = ("Early", "EarlyStopping")


class Last(Callback):
    after = EVERY_OTHER


def test_config_is_the_constructors_arguments_as_json():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    config = json.loads(json.dumps(Early(pathlib.Path("x"), schedule, names=("a", "b")).get_config()))
    assert (config["path"], config["names"]) == ("x", ["a", "b"])
    made = Early.from_config(config)
    assert made.get_config() == config
    assert made.schedule.get_config() == schedule.get_config()


def test_a_pickled_callback_keeps_its_config():
    assert pickle.loads(pickle.dumps(callbacks.Prune(0.5, skip="x"))).get_config()["skip"] == "x"


@pytest.mark.parametrize(
    "callback",
    [
        callbacks.Prune(0.5, end=100),
        callbacks.Prune.keep(),
        callbacks.RecordOptimizer("logs", every=3),
        callbacks.AverageWeights("swa", begin=0.75),
        callbacks.BatchSizeSchedule({0: 64, 0.5: 128}, "sqrt"),
        callbacks.FreezeLayers("change", groups=3),
        callbacks.GradualUnfreeze({0: 2, 0.3: "block_3", 4: None}),
        callbacks.LearningRateFinder(1e-4, steps=50),
        callbacks.StochasticDepth(0.2, "block", per="sample"),
        callbacks.NonFiniteGuard("rollback", every=10),
        callbacks.ProgressBar(),
        callbacks.Throughput("v5e-8"),
        callbacks.TimeBudget(minutes=5, reserve=2.0),
        callbacks.ProgressiveResizing((0.5, 24), end=0.6, multiple=4),
        callbacks.SelectiveBackprop(0.25, select="top"),
        callbacks.SequenceLengthWarmup((8, 0.5), end=100),
        callbacks.OneCycle(0.1),
        callbacks.WarmupCosine(0.1, warmup=0.2, of="weight_decay"),
        callbacks.ReduceLROnPlateau("loss", 0.5, patience=3, warmup=2),
        callbacks.StopOnTarget("accuracy", 0.9),
        callbacks.Cluster(8, only="kernel", keep_zeros=True),
        callbacks.ResumeExactly(pathlib.Path("run"), every_steps=100),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_round_trip(callback):
    config = json.loads(json.dumps(callback.get_config()))
    made = type(callback).from_config(config)
    assert type(made) is type(callback) and made.get_config() == config
    assert getattr(made, "_keeping", None) == getattr(callback, "_keeping", None)


def fit(*used):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((2, 1)), np.ones((2, 1)), callbacks=list(used), verbose=0)


def test_a_wrong_order_names_the_right_one():
    with pytest.raises(ValueError, match=r"Late comes after Early, \[Early, Late\]"):
        fit(Late(), Early())
    with pytest.raises(ValueError, match=r"Late comes after EarlyStopping"):
        fit(Late(), keras.callbacks.EarlyStopping("loss", restore_best_weights=True))
    with pytest.raises(ValueError, match=r"Last comes after Late"):
        fit(Early(), Last(), Late())


def test_the_right_order_trains():
    fit(Early(), Late(), keras.callbacks.TerminateOnNaN(), Last())


@pytest.mark.both_backends
@pytest.mark.parametrize("last", [callbacks.Prune(0.5, end=0.5), callbacks.Cluster(3)], ids=["Prune", "Cluster"])
def test_averages_are_pruned_and_clustered_too(last):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="dense")])
    model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=keras.backend.backend() == "jax")
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    average = callbacks.AverageWeights("ema")
    with pytest.raises(ValueError, match=f"{type(last).__name__} comes after AverageWeights"):
        model.fit(x, x, batch_size=4, callbacks=[last, average], verbose=0)
    model.fit(x, x, batch_size=4, epochs=2, callbacks=[average, last], verbose=0)
    kernel = keras.ops.convert_to_numpy(model.get_layer("dense").kernel)
    if isinstance(last, callbacks.Prune):
        assert (kernel == 0).mean() == 0.5
    else:
        assert len(np.unique(kernel)) == 3
