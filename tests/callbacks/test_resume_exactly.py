"""A run that breaks off anywhere and is started again ends, bit for bit, as one that did not."""

import importlib.util
import os
import pathlib
import random
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_dlopt import callbacks
from keras_dlopt.callbacks.callback import Callback

JAX = keras.backend.backend() == "jax"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(44, 3)).astype("float32")
Y = X[:, :1] - X[:, 1:2] ** 2


class PowerCut(Callback):
    """Breaks off after a number of batches; counts what it sees, which must go on after it."""

    def __init__(self, limit=None):
        super().__init__()
        self.limit, self.seen = limit, 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        if self.limit is not None and int(keras.ops.convert_to_numpy(self.model.optimizer.iterations)) >= self.limit:
            raise KeyboardInterrupt

    def get_state(self):
        return {"seen": self.seen}

    def set_state(self, state):
        self.seen = state["seen"]


class Squares(keras.utils.PyDataset):
    """Batches that NumPy's generator draws."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        chosen = np.random.permutation(44)[:8]
        return X[chosen], Y[chosen]


def dataset(kind):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(20).batch(8)
    if kind == "unknown":
        data = data.filter(lambda x, y: True)
    if kind == "random":
        data = data.map(lambda x, y: (x + tf.random.normal(tf.shape(x)), y))
    return data


def run(path, data="arrays", cut=None, fit=None, optimizer=None, others=(), **settings):
    """Trains; returns all that must be the same, or `None` if the power was cut."""
    keras.utils.set_random_seed(5)
    layers = [keras.Input((3,)), keras.layers.Dense(4, "relu"), keras.layers.Dropout(0.3), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(optimizer or keras.optimizers.Adam(0.01), "mse", metrics=["mae"], **{"jit_compile": JAX, **settings})
    data = (
        {"x": X, "y": Y, "batch_size": 8} if data == "arrays" else {"x": Squares() if data == "py" else dataset(data)}
    )
    power = PowerCut(cut)
    used = [*(other() for other in others), power, callbacks.ResumeExactly(path, every_steps=1)]
    try:
        history = model.fit(**data, epochs=4, verbose=0, callbacks=used, **(fit or {})).history
    except KeyboardInterrupt:
        return None
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables], history, power.seen


def assert_resumes(tmp_path, cuts=(9, 12, 20), rtol=0, **kwargs):
    """Cuts the power in the middle of an epoch, at the end of one, and late."""
    expected = run(tmp_path / "whole", **kwargs)
    for cut in cuts:
        assert run(tmp_path / "cut", cut=cut, **kwargs) is None
    arrays, history, seen = run(tmp_path / "cut", **kwargs)
    for found, array in zip(arrays, expected[0], strict=True):
        np.testing.assert_allclose(found, array, rtol=rtol, atol=rtol)
    assert history.keys() == expected[1].keys()
    for name, values in history.items():
        np.testing.assert_allclose(values, expected[1][name], rtol=rtol, err_msg=name)
    assert seen == expected[2]


@pytest.mark.parametrize("data", ["arrays", "py", "shuffled", "unknown", "random"])
def test_all_kinds_of_data(tmp_path, data):
    assert_resumes(tmp_path, data=data)


def test_all_callbacks_at_once_with_validation_and_accumulation(tmp_path):
    def recorder():
        return callbacks.RecordOptimizer(tmp_path / "log", every=2)

    def stop():
        return keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)

    def plateau():
        return keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=10.0)

    def momentum():
        return callbacks.OneCycle(0.95, of="beta_1")

    def prune():
        return callbacks.Prune(0.5, frequency=1)

    assert_resumes(
        tmp_path,
        others=[prune, momentum, recorder, stop, plateau],
        fit={"validation_data": (X[:9], Y[:9]), "initial_epoch": 1},
        cuts=(4, 10),
        optimizer=None,
    )


def test_several_steps_an_execution(tmp_path):
    assert_resumes(tmp_path, data="shuffled", cuts=(8, 12), steps_per_execution=4)


def test_mirrored_strategy(tmp_path, mirrored):
    if JAX:
        pytest.skip("tf.distribute is TensorFlow's")
    with mirrored.scope():
        assert_resumes(tmp_path, cuts=(9,), rtol=1e-6)


def test_another_model_is_refused(tmp_path):
    run(tmp_path, cut=9)
    with pytest.raises(ValueError, match="has .* variables|is another there"):
        run(tmp_path, optimizer=keras.optimizers.SGD(0.01))


def test_arguments():
    for wrong in ({"every": 0}, {"every_steps": 0}, {"keep": 0}, {"grace": -1}, {"exit_code": 256}, {"path": ""}):
        with pytest.raises(ValueError, match=f"ResumeExactly.{list(wrong)[0]}="):
            callbacks.ResumeExactly(**{"path": "run", **wrong})


@pytest.fixture(scope="module")
def kill_test():
    path = pathlib.Path(__file__).parents[2] / "benchmarks" / "kill_test.py"
    spec = importlib.util.spec_from_file_location("kill_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(JAX, reason="the script is TensorFlow's")
def test_killed_processes_end_as_one_that_was_not(tmp_path, kill_test):
    expected, _ = kill_test.run("dataset", str(tmp_path / "whole"))
    end, _ = kill_test.kill_until("dataset", str(tmp_path / "killed"), 2, random.Random(3), longest=1.5)
    assert end == expected


@pytest.mark.skipif(JAX, reason="the script is TensorFlow's")
def test_sigterm_saves_and_exits(tmp_path, kill_test):
    command = [sys.executable, kill_test.__file__, "--train", "arrays", str(tmp_path)]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert any(line.startswith("RUNNING") for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 75
    assert list((tmp_path / "run").glob("*.ckpt"))


@pytest.mark.both_backends
@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="there it works: the tests above")
def test_on_another_backend_it_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="needs Keras on TensorFlow, not on jax"):
        model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[callbacks.ResumeExactly(tmp_path)])
