"""The same losses everywhere: one device, several, several processes; and a run that goes on after a worker was killed.

All train with one optimizer of each family (training.py): a process on 1, 2 and 4 devices, one on JAX on 4,
launches of two and three workers, one of two on JAX.
"""

import fcntl
import glob
import io
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_dlopt.distribute.launch import launch

SCRIPT = str(pathlib.Path(__file__).with_name("training.py"))
# One thread each: the nets are tiny, and five processes share the cores.
THREADS = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
QUIET = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": "", **THREADS}
FOUR = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all processes of pytest, so that each training runs once."""
    root = tmp_path_factory.getbasetemp()
    made = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "training"
    made.mkdir(exist_ok=True)
    return made


def once(folder, name, run):
    """What `run` found; the first process that asks runs it, the others wait."""
    with open(folder / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = folder / f"found-{name}.json"
        if not path.exists():
            found = run()
            path.write_text(json.dumps(found))
        return json.loads(path.read_text())


def on_devices(folder, backend):
    environ = os.environ | QUIET | FOUR | {"KERAS_BACKEND": backend}
    command = [sys.executable, SCRIPT, "devices", str(folder)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / f"{backend}.json").read_text())


def on_workers(folder, count, backend="tensorflow"):
    said = io.StringIO()
    environ = os.environ | QUIET | {"KERAS_BACKEND": backend}
    code = launch([sys.executable, SCRIPT, "workers", str(folder)], count, environ, said)
    paths = [folder / f"{backend}-workers-{count}-{index}.json" for index in range(count)]
    assert all(path.exists() for path in paths), said.getvalue()[-3000:]
    return code, [json.loads(path.read_text()) for path in paths]


@pytest.fixture(scope="module")
def devices(folder):
    return once(folder, "devices", lambda: on_devices(folder, "tensorflow"))


@pytest.fixture(scope="module")
def on_jax(folder):
    return once(folder, "jax", lambda: on_devices(folder, "jax"))


@pytest.fixture(scope="module")
def two(folder):
    """Two workers; at the end the second kills itself in the middle of a run."""
    return once(folder, "two", lambda: on_workers(folder, 2))


@pytest.fixture(scope="module")
def three(folder, two):
    """Three workers, which at the end go on with the run that the two did not finish."""
    return once(folder, "three", lambda: on_workers(folder, 3))


def optimizers():
    from training import OPTIMIZERS

    return list(OPTIMIZERS)


@pytest.mark.parametrize("name", optimizers())
def test_losses_are_those_of_one_device(name, devices, on_jax, two, three):
    """At every epoch, with the relative tolerance of the bar; on JAX too, from the same weights."""
    expected = devices["1"][name]
    assert expected[-1] < expected[0]
    for place in (devices["2"], devices["4"]):
        np.testing.assert_allclose(place[name], expected, rtol=1e-5)
    np.testing.assert_allclose(on_jax["4"][name], on_jax["1"].get(name, expected), rtol=1e-5)
    for _, workers in (two, three):
        for worker in workers:
            np.testing.assert_allclose(worker["losses"][name], expected, rtol=1e-5)


def test_jax_in_two_processes_has_the_losses_of_one_device(folder, devices):
    code, workers = once(folder, "jax-two", lambda: on_workers(folder, 2, "jax"))
    assert code == 0
    for worker in workers:
        for name, losses in worker["losses"].items():
            np.testing.assert_allclose(losses, devices["1"][name], rtol=1e-5)
    saved = keras.saving.load_model(folder / "jax.keras").get_weights()[0]
    np.testing.assert_array_equal(saved, workers[0]["weights"])
    np.testing.assert_array_equal(workers[1]["weights"], workers[0]["weights"])
    for worker in workers:  # after a break in the second of three epochs
        np.testing.assert_allclose(worker["resumed"], devices["1"]["Keras's Adam"], rtol=1e-5)
    assert workers[0]["writes"] and not workers[1]["writes"]


def test_validation_metrics_and_callbacks_are_those_of_one_device(devices, two):
    expected = devices["everything"]
    assert expected["zeros"] == [0.5, 0.5]
    for worker in two[1]:
        found = worker["everything"]
        assert set(found["history"]) == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "sparsity"}
        for name, values in expected["history"].items():
            np.testing.assert_allclose(found["history"][name], values, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(found["evaluated"], expected["evaluated"], rtol=1e-5)
        np.testing.assert_allclose(found["predictions"], expected["predictions"], rtol=1e-4, atol=1e-6)
        assert found["zeros"] == [0.5, 0.5]
        for ours, chiefs in zip(found["weights"], two[1][0]["everything"]["weights"], strict=True):
            np.testing.assert_array_equal(ours, chiefs)


@pytest.mark.parametrize("kind", ["tf.data", "PyDataset"])
def test_every_kind_of_data_has_the_losses_of_arrays(kind, devices, two):
    for worker in two[1]:
        np.testing.assert_allclose(worker["data"][kind], devices["1"]["Keras's Adam"], rtol=1e-5)


def test_only_the_chief_writes(folder, two):
    assert [worker["chief"] for worker in two[1]] == [True, False]
    assert sorted(os.listdir(folder / "workers")) == ["best.keras", "log"]
    assert len(glob.glob(str(folder / "workers" / "log" / "*"))) == 1
    saved = keras.saving.load_model(folder / "workers" / "best.keras")
    for weight, trained in zip(saved.get_weights(), two[1][0]["everything"]["weights"], strict=True):
        np.testing.assert_array_equal(weight, trained)


def test_a_killed_worker_ends_the_others_and_the_next_launch_goes_on(devices, two, three):
    """With a worker more: the state does not depend on how many there are."""
    assert two[0] == 128 + 9
    assert three[0] == 0
    for worker in three[1]:
        np.testing.assert_allclose(worker["resumed"], devices["long"][3:], rtol=1e-5)
        np.testing.assert_allclose(worker["resumed exactly"], devices["long"], rtol=1e-5)
    # The second worker died after batch 11, when the checkpoint of batch 9 was written, and that of 10 perhaps.
    assert three[1][0]["writes"][0] in (10, 11) and three[1][0]["writes"][-1] == 18
    assert [worker["writes"] for worker in three[1][1:]] == [[], []]


def test_keras_still_needs_each_mend(two):
    """The canary: where this fails, Keras has mended it, and `keras_mends` can lose it."""
    for worker in two[1]:
        assert "Attempt to convert a value (PerReplica" in worker["without"]["_maybe_symbolic_build"]
        assert "Invalid reduction dimension 0" in worker["without"]["reduce_per_replica"]
