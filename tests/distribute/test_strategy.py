"""The helper: what it chooses, what it refuses, and what goes with it."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import textwrap
import time

import keras
import numpy as np
import pytest

from keras_dlopt import distribute, tpu_configs
from keras_dlopt.distribute import choose, executions, plan, precision
from keras_dlopt.distribute.plan import Plan, last

ON_TENSORFLOW = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")
ON_JAX = pytest.mark.skipif(keras.backend.backend() != "jax", reason="of JAX")
both_backends = pytest.mark.both_backends


@pytest.fixture(autouse=True)
def untouched(monkeypatch):
    """The environment describes no cluster and no TPU; afterwards all is as before."""
    clusters = ("TF_CONFIG", "CLUSTER_SPEC", "SLURM_STEP_ID", "SLURM_STEPID", "KERAS_DLOPT_WORKERS")
    tpus = ("TPU_NAME", "COLAB_TPU_ADDR", "TPU_ACCELERATOR_TYPE", "TPU_WORKER_HOSTNAMES")
    for name in (choose.VARIABLE, *clusters, *tpus):
        monkeypatch.delenv(name, raising=False)
    before, policy = last(), keras.config.dtype_policy()
    yield
    plan.remember(before)
    keras.config.set_dtype_policy(policy)
    if keras.backend.backend() == "jax":
        keras.distribution.set_distribution(None)


def follow(device="cpu", replicas=1, workers=1, index=0):
    """A plan to be followed, of hardware that is not here."""
    plan.remember(Plan(None, device, replicas, workers, index))


@both_backends
def test_one_line_trains_on_what_is_there(capsys):
    with distribute.strategy().scope():
        model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    x = np.ones((8, 3), "float32")
    history = model.fit(x, x[:, :1], epochs=2, verbose=0).history["loss"]
    assert history[1] < history[0]
    distribute.describe()
    said = capsys.readouterr().out
    assert said.startswith("strategy ")
    assert "to change: " in said and "precision" in said


@both_backends
def test_the_environment_variable_replaces_the_word(monkeypatch, capsys):
    monkeypatch.setenv(choose.VARIABLE, "cpu")
    distribute.strategy("gpu")
    distribute.describe()
    assert "KERAS_DLOPT_STRATEGY=cpu" in capsys.readouterr().out
    assert last().device == "cpu"
    monkeypatch.setenv(choose.VARIABLE, "warp")
    with pytest.raises(ValueError, match="must be one of 'auto', 'cpu', 'gpu', 'tpu', 'multi_worker'"):
        distribute.strategy("cpu")


@ON_TENSORFLOW
def test_a_second_call_gives_the_same_strategy():
    for devices in (None, ["CPU:0"], ["CPU:0", "CPU:1"]):
        assert distribute.strategy("cpu", devices=devices) is distribute.strategy("cpu", devices=devices)


@ON_TENSORFLOW
def test_named_devices_share_a_batch(capsys):
    import tensorflow as tf

    strategy = distribute.strategy("cpu", devices=["CPU:0", "CPU:1"])
    assert isinstance(strategy, tf.distribute.MirroredStrategy) and strategy.num_replicas_in_sync == 2
    distribute.describe()
    assert "MirroredStrategy, 2 replicas" in capsys.readouterr().out
    with strategy.scope():
        model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
        with pytest.warns(UserWarning, match="`jit_compile=True` is turned off: XLA cannot compile"):
            model.compile("sgd", "mse", jit_compile=True, steps_per_execution=2)
        assert not model.jit_compile and model.steps_per_execution == 2
        model.compile(keras.optimizers.SGD(0.1), "mse", steps_per_execution=2)
    outside = keras.optimizers.SGD(0.1)
    with strategy.scope(), pytest.raises(ValueError, match=r"its optimizer made, inside `strategy.scope\(\)`"):
        model.compile(outside, "mse")


@ON_TENSORFLOW
def test_collective_operations_run_one_step_an_execution(mirrored):
    """What TensorFlow says otherwise is in docs/distribute.md; MirroredStrategy by itself reduces by collectives."""
    distribute.strategy("cpu")
    assert executions.uses_collectives(mirrored)
    assert not executions.uses_collectives(distribute.strategy("cpu", devices=["CPU:0", "CPU:1"]))
    with mirrored.scope():
        model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
        with pytest.warns(UserWarning, match="`steps_per_execution=4` becomes 1"):
            model.compile("sgd", "mse", steps_per_execution=4)
    assert model.steps_per_execution == 1


@ON_JAX
@both_backends
def test_jax_data_and_model_parallel():
    strategy = distribute.strategy()
    assert isinstance(strategy, keras.distribution.DataParallel) and keras.distribution.distribution() is strategy
    assert last().replicas == 2
    strategy = distribute.strategy("cpu", model_parallel=2, layout={".*wide/kernel": (None, "model")})
    assert last().replicas == 1
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(8, name="wide"), keras.layers.Dense(1)])
    kernel = model.layers[0].kernel.value
    assert kernel.shape == (4, 8) and kernel.addressable_shards[0].data.shape == (4, 4)
    model.compile("sgd", "mse")
    x = np.ones((8, 4), "float32")
    history = model.fit(x, x[:, :1], epochs=2, verbose=0).history["loss"]
    assert history[1] < history[0]
    with pytest.raises(ValueError, match=r"model_parallel=...\)` must be a divisor of the 2 devices"):
        distribute.strategy("cpu", model_parallel=3, layout={".*": (None,)})
    with pytest.raises(ValueError, match=r"layout=...\)` must be given with `model_parallel`"):
        distribute.strategy("cpu", model_parallel=2)


REFUSED = [
    ({"name": "v5e-9"}, "TPU slice such as 'v5e-8' (near it: v5e-8"),
    ({"name": None}, "strategy(name=...)` must be one of 'auto'"),
    ({"name": "cpu", "seed": -1}, "strategy(seed=...)` must be a whole number >= 0"),
    ({"name": "cpu", "model_parallel": 0}, "strategy(model_parallel=...)` must be a whole number >= 1"),
    ({"name": "cpu", "devices": []}, "strategy(devices=...)` must be a list"),
    ({"name": "cpu", "devices": ["CPU:9"]}, "strategy(devices=...)` must be some of "),
    ({"name": "cpu", "devices": ["GPU:0"]}, "strategy(devices=...)` must be a list"),
    ({"name": "multi_worker", "devices": ["CPU:0"]}, "strategy(devices=...)` must be a list"),
    ({"name": "tpu", "devices": ["TPU:0"]}, "strategy(devices=...)` must be a list"),
    ({"name": "cpu", "layout": "all"}, "strategy(layout=...)` must be a dictionary"),
    ({"name": "cpu", "mixed_precision": "float7"}, "strategy(mixed_precision=...)` must be 'auto', None or a Keras"),
    ({"name": "multi_worker"}, "nothing describes the workers"),
]


@both_backends
@pytest.mark.parametrize("arguments, message", REFUSED)
def test_refuses(arguments, message):
    with pytest.raises(ValueError) as refused:
        distribute.strategy(**arguments)
    assert message in str(refused.value)


@ON_TENSORFLOW
def test_tensorflow_refuses_what_only_jax_can():
    with pytest.raises(ValueError, match="needs Keras on JAX"):
        distribute.strategy("cpu", model_parallel=2, layout={".*": (None,)})
    with pytest.raises(ValueError, match="7x-8 runs JAX only: set KERAS_BACKEND=jax"):
        distribute.strategy("7x-8")


def test_what_follows_the_strategy_says_so_before_it():
    plan.remember(None)
    assert distribute.is_chief()
    for call in (
        lambda: distribute.describe(),
        lambda: distribute.scale(8, 0.1),
        lambda: distribute.steps_per_execution(8),
    ):
        with pytest.raises(ValueError, match=r"`keras_dlopt.distribute.strategy\(\)` chose: call that first"):
            call()


# No hardware but the CPU is here: that is said for real.


@both_backends
def test_no_gpu():
    with pytest.raises(RuntimeError, match=r"`strategy\('gpu'\)`: .*no GPU"):
        distribute.strategy("gpu")


@ON_TENSORFLOW
def test_no_tpu():
    for name in ("tpu", "v5e-8"):
        with pytest.raises(RuntimeError, match="no TPU found: TPU_NAME and COLAB_TPU_ADDR are not set"):
            distribute.strategy(name)


@ON_JAX
@both_backends
def test_no_tpu_on_jax():
    with pytest.raises(RuntimeError, match=r"`strategy\('tpu'\)`: JAX finds no TPU: .* install jax\[tpu\]"):
        distribute.strategy("v6e-8")


@ON_TENSORFLOW
def test_a_tpu_that_does_not_answer_is_tried_three_times(monkeypatch):
    from keras_dlopt.distribute import tpu

    monkeypatch.setattr(tpu, "WAIT", 0.05)
    monkeypatch.setenv("COLAB_TPU_ADDR", "127.0.0.1:1")
    started = time.monotonic()
    with pytest.raises(RuntimeError) as refused:
        distribute.strategy("tpu")
    assert time.monotonic() - started >= 0.15
    said = str(refused.value)
    assert "the TPU at grpc://127.0.0.1:1 (COLAB_TPU_ADDR) did not answer in 3 attempts" in said and "refused" in said


@ON_TENSORFLOW
def test_a_local_tpu_needs_a_tensorflow_that_knows_it(monkeypatch):
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v5litepod-8")
    with pytest.raises(RuntimeError, match="TPU_ACCELERATOR_TYPE points to a TPU .* built without TPUs"):
        distribute.strategy()


@ON_TENSORFLOW
def test_signs_of_a_tpu(tmp_path):
    from keras_dlopt.distribute.tpu import sign

    nowhere = str(tmp_path / "accel*")
    assert sign({}, nowhere) is None
    assert sign({"COLAB_TPU_ADDR": "10.0.0.2:8470"}, nowhere) == ("grpc://10.0.0.2:8470", "COLAB_TPU_ADDR")
    assert sign({"TPU_WORKER_HOSTNAMES": "t-0"}, nowhere) == ("local", "TPU_WORKER_HOSTNAMES")
    (tmp_path / "accel0").touch()
    assert sign({}, nowhere) == ("local", nowhere)


@ON_TENSORFLOW
def test_several_workers_must_be_asked_for_first(monkeypatch):
    """This process has run much already."""
    workers = '{"worker": ["127.0.0.1:1", "127.0.0.1:2"]}'
    monkeypatch.setenv("TF_CONFIG", f'{{"cluster": {workers}, "task": {{"type": "worker", "index": 0}}}}')
    keras.ops.ones(2)
    with pytest.raises(RuntimeError, match="Call `strategy` before anything else"):
        distribute.strategy("multi_worker")


# Precision


@pytest.mark.parametrize(
    "device, capabilities, policy",
    [
        ("cpu", (), "float32"),
        ("tpu", (), "mixed_bfloat16"),
        ("gpu", (), "float32"),
        ("gpu", [(6, 1)], "float32"),
        ("gpu", [(7, 0)], "mixed_float16"),
        ("gpu", [(7, 5), (8, 6)], "mixed_float16"),
        ("gpu", [(8, 0)], "mixed_bfloat16"),
        ("gpu", [(10, 0), (9, 0)], "mixed_bfloat16"),
    ],
)
def test_precision_fits_the_hardware(device, capabilities, policy):
    made = Plan(None, device, 1)
    precision.set_policy(made, "auto", capabilities)
    assert keras.config.dtype_policy().name == policy
    assert made.choices[-1].chosen == policy


def test_a_policy_of_the_user_stays():
    keras.config.set_dtype_policy("mixed_float16")
    made = Plan(None, "gpu", 1)
    precision.set_policy(made, "auto", [(9, 0)])
    assert keras.config.dtype_policy().name == "mixed_float16"
    precision.set_policy(made, "mixed_bfloat16", [(9, 0)])
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    precision.set_policy(made, None)
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


def test_float16_on_a_tpu_is_mended_or_refused():
    keras.config.set_dtype_policy("mixed_float16")
    made = Plan(None, "tpu", 8)
    precision.set_policy(made, "auto")
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert "no float16 units" in made.choices[-1].why
    with pytest.raises(ValueError, match="'mixed_bfloat16' on a TPU"):
        precision.set_policy(made, "mixed_float16")


# Batch, rate, steps


@both_backends
def test_scaling(capsys):
    follow(replicas=4)
    assert distribute.scale(64, 0.1) == (256, 0.4)
    assert capsys.readouterr().out == (
        "scale: batch 64 x 4 replicas = 256; learning rate 0.1 x 4 (linear, arXiv 1706.02677) = 0.4; "
        "a warm-up is advised: scale(warmup=...)\n"
    )
    assert distribute.scale(64, 0.1, rule="sqrt") == (256, 0.2)
    assert distribute.scale(64, 0.1, rule="none") == (256, 0.1)
    follow(replicas=1)
    assert distribute.scale(64, 0.1, warmup=0.1, steps=100) == (64, 0.1)
    follow(replicas=4, workers=2, index=1)
    capsys.readouterr()
    distribute.scale(64, 0.1)
    assert capsys.readouterr().out == ""  # only the chief prints


@both_backends
@pytest.mark.parametrize("length", [{"warmup": 10}, {"warmup": 0.1, "steps": 100}])
def test_the_warm_up_rises_from_the_rate_of_one_replica(length):
    follow(replicas=4)
    _, schedule = distribute.scale(64, 0.1, **length)
    rates = [float(schedule(t)) for t in range(0, 30)]
    np.testing.assert_allclose(rates, [0.1 + 0.3 * min(t, 10) / 10 for t in range(0, 30)], rtol=1e-5)
    keras.optimizers.SGD(schedule)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0, 0.1), "scale(batch=...)` must be a whole number >= 1"),
        ((8, 0.0), "scale(learning_rate=...)` must be a finite number > 0"),
        ((8, 0.1, "cubic"), "scale(rule=...)` must be one of 'linear', 'sqrt', 'none'"),
        ((8, 0.1, "linear", 0.5), "scale(steps=...)` must be given where `warmup` is a share of the run"),
        ((8, 0.1, "linear", 1.5), "scale(warmup=...)` must be a share of the run in (0, 1), or a whole number"),
    ],
)
def test_scaling_refuses(arguments, message):
    follow()
    with pytest.raises(ValueError) as refused:
        distribute.scale(*arguments)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "device, steps, chosen", [("cpu", 100, 1), ("gpu", 100, 5), ("gpu", 7, 7), ("tpu", 100, 50), ("tpu", 97, 1)]
)
def test_steps_per_execution_divides_the_epoch(device, steps, chosen):
    follow(device)
    assert distribute.steps_per_execution(steps) == chosen


# Data


@both_backends
def test_data_come_in_whole_global_batches():
    import tensorflow as tf

    follow(replicas=2)
    singles = tf.data.Dataset.range(10)
    sizes = {}
    for name, data in {
        "batched here": distribute.dataset(singles, 4),
        "batched before": distribute.dataset(singles.batch(4)),
        "batched before, whole": distribute.dataset(singles.batch(4, drop_remainder=True)),
        "remainder kept": distribute.dataset(singles, 4, drop_remainder=False),
    }.items():
        sizes[name] = [len(batch) for batch in data]
        assert data.options().experimental_distribute.auto_shard_policy == tf.data.experimental.AutoShardPolicy.DATA
    assert sizes == {
        "batched here": [4, 4],
        "batched before": [4, 4],
        "batched before, whole": [4, 4],
        "remainder kept": [4, 4, 2],
    }
    assert distribute.dataset(singles, 4).element_spec.shape == (4,)
    rows = tf.data.Dataset.from_tensor_slices((np.ones((10, 3)), np.ones((10, 2))))
    x, y = distribute.dataset(rows, 4).element_spec
    assert x.shape == (4, 3) and y.shape == (4, 2)
    for data in (distribute.dataset(rows, 4), distribute.dataset(rows.batch(2, drop_remainder=True))):
        assert data.cardinality() in (2, 5)  # known, so that Keras knows the length of an epoch
    kept = distribute.dataset(singles, 4, shard="file").options().experimental_distribute.auto_shard_policy
    assert kept == tf.data.experimental.AutoShardPolicy.FILE


def test_data_refused():
    import tensorflow as tf

    singles = tf.data.Dataset.range(10)
    follow(replicas=4, workers=2)
    for arguments, message in (
        (([1, 2], 4), "dataset(data=...)` must be a tf.data.Dataset"),
        ((singles,), "dataset(batch=...)` must be given, for these data are not batched"),
        ((singles, 6), "dataset(batch=...)` must be a multiple of the 4 replicas that share it"),
        ((singles, 4, "none"), "dataset(shard=...)` must be one of 'data', 'file', 'off'"),
    ):
        with pytest.raises(ValueError) as refused:
            distribute.dataset(*arguments[:2], **({"shard": arguments[2]} if len(arguments) > 2 else {}))
        assert message in str(refused.value)
    follow("tpu")
    with pytest.raises(ValueError, match=r"drop_remainder=...\)` must be True on a TPU"):
        distribute.dataset(singles, 4, drop_remainder=False)


@both_backends
@ON_JAX
def test_jax_shards_all_data_of_a_run_alike():
    """For it is one setting of the distribution, for training and validation data, whenever they are read."""
    import tensorflow as tf

    singles = tf.data.Dataset.range(10)
    for first, second in (("off", "data"), ("data", "off")):
        strategy = keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"])
        plan.remember(Plan(strategy, "cpu", 2, 2, 0))
        for _ in range(2):
            assert len(next(iter(distribute.dataset(singles, 4, shard=first)))) == (2 if first == "off" else 4)
        with pytest.raises(ValueError, match=rf"dataset\(shard=...\)` must be '{first}', as before"):
            distribute.dataset(singles, 4, shard=second)
        assert strategy.auto_shard_dataset == (first == "data")


@both_backends
def test_the_smoke_test_for_tpus_trains_on_whole_batches(monkeypatch, capsys):
    path = pathlib.Path(__file__).parents[2] / "examples" / "tpu_smoke.py"
    spec = importlib.util.spec_from_file_location("tpu_smoke", path)
    smoke = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(smoke)
    assert [len(each) for each in smoke.digits(512)] == [1536, 1536]
    monkeypatch.setattr(sys, "argv", ["tpu_smoke.py"])
    smoke.main()
    assert capsys.readouterr().out.startswith("No TPU here: `strategy('tpu')`: ")


FRESH = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np
from keras_dlopt import distribute

def train():
    distribute.strategy("cpu", deterministic=True, seed=7)
    keras.utils.set_random_seed(7)
    layers = keras.layers
    model = keras.Sequential([layers.Input((3,)), layers.Dense(8), layers.Dropout(0.5), layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.normal(size=(16, 3)).astype("float32")
    return model.fit(x, x[:, :1], batch_size=4, epochs=2, verbose=0).history["loss"]

assert train() == train()
from tensorflow.python.framework import config
assert config.is_op_determinism_enabled()
distribute.describe()
"""


@ON_TENSORFLOW
def test_determinism_on_request():
    """In a process of its own: it cannot be taken back."""
    environ = os.environ | {"KERAS_BACKEND": "tensorflow"}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(FRESH)], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "determinism  on: as asked" in done.stdout and "seed         7: as asked" in done.stdout


def test_every_slice_can_be_asked_for():
    for name in tpu_configs.names():
        assert choose._check_name(name).name == name
