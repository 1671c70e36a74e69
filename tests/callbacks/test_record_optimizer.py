"""What RecordOptimizer records, read back, is what NumPy computes of the same training."""

import pathlib
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest

import keras_dlopt as dlopt
from keras_dlopt import callbacks, tensorboard
from keras_dlopt.tensorboard import format as formats

# Uncompiled steps on JAX trace every conditional anew: one case is enough.
JAX = keras.backend.backend() == "jax"
BATCH, PER_EPOCH, EPOCHS = 8, 10, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(BATCH * PER_EPOCH, 4)).astype("float32")
Y = X @ np.array([[1.0], [-2.0], [0.0], [0.5]], "float32") + 1.0
START = np.array([[0.3], [-0.1], [0.2], [0.4]], "float32")
RATE, MOMENTUM = 0.02, 0.9


def make_model(rate=RATE, jit=JAX, per_execution=1, scaled=False, **optimizer):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="out")], name="net")
    model.layers[0].kernel.assign(START)
    inner = keras.optimizers.SGD(rate, momentum=MOMENTUM, **optimizer)
    inner = keras.optimizers.LossScaleOptimizer(inner, initial_scale=16.0) if scaled else inner
    model.compile(inner, "mse", jit_compile=jit, steps_per_execution=per_execution)
    return model


def fit(model, *used, **kwargs):
    return model.fit(X, Y, BATCH, EPOCHS, shuffle=False, verbose=0, callbacks=list(used), **kwargs).history["loss"]


def read(folder):
    return tensorboard.read(folder)["."]


def numpy_run(every=1, batches=1, rates=lambda t: RATE):
    """The same training in float64 NumPy: steps, and name -> values, of each `every`-th update of `batches` batches."""
    weights, momenta = [START.astype("float64"), np.zeros((1,))], [np.zeros((4, 1)), np.zeros((1,))]
    norms = lambda arrays: np.array([np.linalg.norm(a) for a in arrays])  # noqa: E731
    steps, stats, overall = [], {}, {}
    for t, i in enumerate(list(range(0, len(X), BATCH * batches)) * EPOCHS):
        x, y = X[i : i + BATCH * batches], Y[i : i + BATCH * batches]
        residual = x @ weights[0] + weights[1] - y
        gradients = [2 * x.T @ residual / len(x), 2 * residual.mean(0)]
        before = [w.copy() for w in weights]
        for w, m, g in zip(weights, momenta, gradients, strict=True):
            m[...] = MOMENTUM * m - rates(t) * g
            w += m
        if t % every:
            continue
        moved = [w - b for w, b in zip(weights, before, strict=True)]
        values = {
            "gradient_norm": norms(gradients),
            "gradient_max": [np.abs(g).max() for g in gradients],
            "gradient_zeros": [(g == 0).mean() for g in gradients],
            "gradient_nonfinite": [0, 0],
            "update_norm": norms(moved),
            "weight_norm": norms(before),
            "weight_zeros": [(w == 0).mean() for w in weights],
            "mask_changes": [0, float(t > 0 and len(steps) == 0)],
            "m_norm": norms(momenta),
            "m_mean": [m.mean() for m in momenta],
        }
        values["effective_rate"] = values["update_norm"] / values["gradient_norm"]
        with np.errstate(divide="ignore"):
            values["ratio"] = np.log10(values["update_norm"] / values["weight_norm"])
        whole = {name: np.linalg.norm(values[name]) for name in ("gradient_norm", "update_norm", "weight_norm")}
        whole |= {"learning_rate": rates(t), "update_ratio": whole["update_norm"] / whole["weight_norm"], "dropped": 0}
        steps.append(t)
        for name, value in values.items():
            stats.setdefault(name, []).append(value)
        for name, value in whole.items():
            overall.setdefault(name, []).append(value)
    return steps, stats, overall


def assert_run(folder, expected):
    steps, stats, overall = expected
    run = read(folder)
    assert run.steps.tolist() == steps and run.variables == ["net/out/kernel", "net/out/bias"]
    assert set(run.stats) == set(stats)
    for name, values in stats.items():
        np.testing.assert_allclose(run.stat(name), values, rtol=3e-4, atol=1e-6, err_msg=name)
    for name, values in overall.items():
        np.testing.assert_allclose(run.globals(name), values, rtol=3e-4, err_msg=name)


CASES = {
    "plain": (5, {"jit": False}),
    "jit": (1, {"jit": True}),
    "execution of 8": (7, {"per_execution": 8}),
    "jit, execution of 8": (1, {"jit": True, "per_execution": 8}),
    "accumulation": (4, {"gradient_accumulation_steps": 2}),
    "loss scaling": (3, {"scaled": True}),
}


@pytest.mark.both_backends
@pytest.mark.parametrize("every, case", CASES.values(), ids=CASES.keys())
def test_record_is_what_numpy_computes(every, case, tmp_path):
    losses = fit(make_model(**case))
    model = make_model(**case)
    assert fit(model, callbacks.RecordOptimizer(tmp_path, every)) == losses
    assert_run(tmp_path, numpy_run(every, case.get("gradient_accumulation_steps", 1)))
    assert not {"apply", "_seam"} & vars(getattr(model.optimizer, "inner_optimizer", model.optimizer)).keys()
    assert "train_step" not in vars(model)


def test_record_is_what_numpy_computes_mirrored(mirrored, tmp_path):
    with mirrored.scope():
        model = make_model()
    fit(model, callbacks.RecordOptimizer(tmp_path, every=3))
    assert_run(tmp_path, numpy_run(3))


@pytest.mark.both_backends
@pytest.mark.parametrize("first", [0, 1], ids=["recorder first", "schedule first"])
def test_rate_is_the_one_the_update_used(first, tmp_path):
    from keras_dlopt import schedules

    schedule = schedules.OneCycle(0.05, EPOCHS * PER_EPOCH, div=5.0, final_div=10.0)
    expected = numpy_run(2, rates=lambda t: float(schedule(t)))
    used = [
        callbacks.RecordOptimizer(tmp_path / "callback", every=2),
        callbacks.OneCycle(0.05, div=5.0, final_div=10.0),
    ]
    fit(make_model(), *(used if first == 0 else used[::-1]))
    assert_run(tmp_path / "callback", expected)
    fit(make_model(schedule), callbacks.RecordOptimizer(tmp_path / "compiled", every=2))
    assert_run(tmp_path / "compiled", expected)


@pytest.mark.both_backends
def test_updates_that_a_loss_scale_skips_are_not_counted(tmp_path):
    model = make_model()
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(RATE), initial_scale=2.0**126), "mse")
    fit(model, callbacks.RecordOptimizer(tmp_path, every=4))
    made = int(keras.ops.convert_to_numpy(model.optimizer.inner_optimizer.iterations))
    run = read(tmp_path)
    assert 0 < made < EPOCHS * PER_EPOCH and run.steps.tolist() == list(range(0, made, 4))
    assert run.globals("loss_scale").min() < 2.0**126


@pytest.mark.both_backends
def test_long_runs_go_round_the_ring_and_second_runs_go_on(tmp_path):
    model = make_model()
    recorder = callbacks.RecordOptimizer(tmp_path, every=1)
    model.fit(X, Y, 1, 3, verbose=0, callbacks=[recorder])  # 240 updates, the ring holds 18
    model.fit(X, Y, 1, 1, verbose=0, callbacks=[recorder])
    assert read(tmp_path).steps.tolist() == list(range(320))
    model.optimizer.iterations.assign(300)  # as a run that was started again from a checkpoint
    model.fit(X[:8], Y[:8], 1, 1, verbose=0, callbacks=[recorder])
    assert read(tmp_path).steps.tolist() == list(range(308))


@pytest.mark.both_backends
@pytest.mark.parametrize("jit", [True] if JAX else [True, False])
def test_large_variables_are_summed_right(jit, tmp_path):
    model = keras.Sequential([keras.Input((256,)), keras.layers.Dense(256, name="wide")], name="net")
    model.compile(keras.optimizers.SGD(0.0, momentum=0.9), "mse", jit_compile=jit)
    kernel = keras.ops.convert_to_numpy(model.layers[0].kernel).copy()
    kernel[:64] = 0
    model.layers[0].kernel.assign(kernel)
    x, y = RNG.normal(size=(8, 256)).astype("float32"), RNG.normal(size=(8, 256)).astype("float32")
    model.fit(x, y, 8, verbose=0, callbacks=[callbacks.RecordOptimizer(tmp_path)])
    run, gradient = read(tmp_path), 2 * x.T @ (x @ kernel - y) / y.size
    expected = {
        "gradient_norm": np.linalg.norm(gradient),
        "gradient_max": np.abs(gradient).max(),
        "weight_norm": np.linalg.norm(kernel),
        "weight_zeros": 0.25,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(run.stat(name)[0, 0], value, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("floatx", ["float16", "float64"])
def test_models_of_other_precisions_are_counted_in_float32(floatx, tmp_path):
    before = keras.config.floatx()
    try:
        keras.config.set_floatx(floatx)
        model = keras.Sequential([keras.Input((3072,)), keras.layers.Dense(1)])  # float16 counts up to 2,048
        model.layers[0].kernel.assign(np.zeros((3072, 1)))
        model.compile(keras.optimizers.Lamb(epsilon=1e-3), "mse", jit_compile=False)
        x = np.tile(np.arange(3072) < 512, (4, 1)) / 2
        model.fit(x, np.ones((4, 1)), 4, verbose=0, callbacks=[callbacks.RecordOptimizer(tmp_path)])
    finally:
        keras.config.set_floatx(before)
    run = read(tmp_path)
    assert run.stat("gradient_max")[0].tolist() == [1, 2] and run.stat("trust_ratio")[0].tolist() == [1, 1]
    kernel, bias = run.histogram("gradient")[0]
    np.testing.assert_allclose(kernel[[0, 42]], [5 / 6, 1 / 6], atol=0.004)  # zero, and from 1
    assert bias[43] == 1


# One model for many claims: a mask, all slots, histograms, clipping, quantization ranges.


def quantized(optimizer):
    layers = [keras.Input((64,)), keras.layers.Dense(48, name="wide", activation="relu")]
    model = keras.Sequential([*layers, keras.layers.Dense(1, name="out")], name="net")
    model = dlopt.compress.quantize_aware(model)
    model.compile(optimizer, "mse")
    return model


@pytest.fixture(scope="module")
def quantized_run(tmp_path_factory):
    """A model with ranges and masks, after training, and its record."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("quantized")
    model = quantized(dlopt.optimizers.Lamb(0.01, global_clipnorm=0.5))
    x = RNG.normal(size=(64, 64)).astype("float32")
    used = [callbacks.RecordOptimizer(folder, every=1), callbacks.Prune(0.75, end=8, frequency=4)]
    model.fit(x, x[:, :1], 8, 2, verbose=0, callbacks=used)
    return model, read(folder)


@pytest.mark.both_backends
def test_masks_that_come_after_the_update_are_seen(quantized_run):
    model, run = quantized_run
    kernel = next(i for i, path in enumerate(run.variables) if path.endswith("wide/kernel"))
    weights = keras.ops.convert_to_numpy(model.get_layer("wide").kernel)
    zeros, changes = run.stat("weight_zeros")[:, kernel], run.stat("mask_changes")[:, kernel]
    assert zeros[-1] == np.float32((weights == 0).mean()) and abs(zeros[-1] - 0.75) < 0.01
    # The sample is 3,072 of 3,072 weights, or every second or third.
    np.testing.assert_allclose(changes[1:], np.abs(np.diff(zeros)), atol=0.03)
    assert np.flatnonzero(changes > 0.05).tolist() == [3, 7]


@pytest.mark.both_backends
def test_histograms_count_magnitudes(quantized_run):
    model, run = quantized_run
    from keras_dlopt.tensorboard.slots import slot_values

    values = slot_values(model.optimizer)
    for of in ("m", "v"):
        shares = run.histogram(of)
        assert shares.shape == (16, len(run.variables), formats.BINS)
        for i, value in enumerate(values[of]):
            magnitudes = np.abs(keras.ops.convert_to_numpy(value)).reshape(-1)
            expected = np.histogram(magnitudes[magnitudes > 0], formats.bin_edges(of))[0] / len(magnitudes)
            expected = np.concatenate([[(magnitudes == 0).mean()], expected, [0.0]])
            # A byte holds the root of a share; two of three variables are seen whole.
            np.testing.assert_allclose(shares[-1, i], expected, atol=0.06 if len(magnitudes) > 2048 else 0.012)


@pytest.mark.both_backends
def test_slots_trust_ratios_clipping_and_ranges_are_recorded(quantized_run):
    model, run = quantized_run
    from keras_dlopt.tensorboard.slots import slot_values

    for name, values in slot_values(model.optimizer).items():
        arrays = [keras.ops.convert_to_numpy(value) for value in values]
        np.testing.assert_allclose(run.stat(f"{name}_norm")[-1], [np.linalg.norm(a) for a in arrays], rtol=1e-4)
        np.testing.assert_allclose(run.stat(f"{name}_mean")[-1], [a.mean() for a in arrays], rtol=1e-3, atol=1e-8)
    # LAMB's step is rate * ratio * u; where no mask moves weights, its length is rate * |w|.
    bias = next(i for i, path in enumerate(run.variables) if path.endswith("wide/bias"))
    np.testing.assert_allclose(run.stat("update_norm")[1:, bias], 0.01 * run.stat("weight_norm")[1:, bias], rtol=1e-4)
    assert np.all(run.stat("trust_ratio")[0][[bias]] == 1.0)  # the norm of the weights is 0
    clipped = run.globals("gradient_norm") > 0.5
    np.testing.assert_array_equal(run.globals("clipped"), clipped.astype("float32"))
    layers = {layer.name: layer for layer in dlopt.compress.quantization.fake_quant_layers(model)}
    assert run.layout.ranges == list(layers)
    expected = [[float(v) for v in (layer.low, layer.high, layer.outside)] for layer in layers.values()]
    np.testing.assert_allclose(run.ranges()[-1], expected, rtol=1e-6)
    state = [entry for entry in run.layout.state if entry["slot"] in ("m", "v")]
    assert sum(entry["bytes"] for entry in state) == 8 * model.count_params() - 8 * sum(
        np.prod(w.shape) for w in model.non_trainable_weights
    )


@pytest.mark.both_backends
@pytest.mark.parametrize("name", ["Adam", "SGD", "Adafactor", "Muon", "RMSprop", "ours of bfloat16", "Lookahead"])
def test_any_optimizer_is_recorded(name, tmp_path):
    if name == "ours of bfloat16":
        optimizer = dlopt.optimizers.AdamW(groups=[{"match": "kernel", "state_dtype": "bfloat16"}])
    elif name == "Lookahead":
        optimizer = dlopt.optimizers.Lookahead(keras.optimizers.Adam())
    else:
        optimizer = getattr(keras.optimizers, name)()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    model.fit(X[:16], Y[:16], 8, 2, verbose=0, callbacks=[callbacks.RecordOptimizer(tmp_path, every=2)])
    run = read(tmp_path)
    expected = {
        "Adam": {"m", "v"},
        "SGD": set(),
        "Adafactor": {"r", "c", "v"},
        "Muon": {"m", "v"},
        "RMSprop": {"v"},
        "ours of bfloat16": {"m", "v"},
        "Lookahead": {"m", "v"},
    }[name]
    assert run.steps.tolist() == [0, 2] and np.isfinite(run.stat("update_norm")).all()
    assert expected <= {stat.removesuffix("_norm") for stat in run.stats}
    counted = sum(entry["bytes"] for entry in run.layout.state)
    itemsize = lambda v: 2 if "bfloat16" in str(v.dtype) else np.dtype(v.dtype).itemsize  # noqa: E731
    everything = sum(int(np.prod(v.shape)) * itemsize(v) for v in model.optimizer.variables)
    assert 0 <= everything - counted <= 32  # iterations and rates


@pytest.mark.both_backends
def test_variables_without_a_gradient_are_nan(tmp_path):
    class Half(keras.Model):
        def __init__(self):
            super().__init__()
            self.used, self.unused = keras.layers.Dense(1), keras.layers.Dense(1)

        def build(self, shape):
            self.used.build(shape)
            self.unused.build(shape)

        def call(self, x):
            return self.used(x)

    model = Half()
    model.build((None, 4))
    model.compile("adam", "mse")
    fit(model, callbacks.RecordOptimizer(tmp_path, every=15))
    run = read(tmp_path)
    norms = run.stat("gradient_norm")
    if JAX:  # gives zeros there
        assert (norms[:, 2:] == 0).all()
    else:
        assert np.isnan(norms[:, 2:]).all() and np.isnan(run.stat("gradient_nonfinite")[:, 2:]).all()
    assert np.isfinite(norms[:, :2]).all() and np.isfinite(run.globals("gradient_norm")).all()


class Break(Exception):
    pass


class BreakLater(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 6:
            raise Break


@pytest.mark.both_backends
@pytest.mark.parametrize("held", [False, True])
def test_a_run_that_breaks_off_loses_nothing(held, tmp_path):
    recorder = callbacks.RecordOptimizer(tmp_path, every=3)
    model, pair = make_model(), [recorder, BreakLater()]
    with pytest.raises(Break):
        fit(model, *pair)
    if held:  # used again, by a run of its own
        with pytest.raises(ValueError, match="with records"):
            read(tmp_path)
        fit(model, recorder)
    del recorder, pair
    assert read(tmp_path).steps[:3].tolist() == [0, 3, 6]
    assert "apply" not in vars(model.optimizer)


def test_a_step_that_breaks_off_is_written_at_once(tmp_path):
    def batches():
        yield from ((X[:8], Y[:8]) for _ in range(7))
        raise Break("no more data")

    recorder = callbacks.RecordOptimizer(tmp_path, every=3)
    with pytest.raises(Exception, match="no more data"):
        make_model().fit(batches(), verbose=0, callbacks=[recorder])
    assert read(tmp_path).steps.tolist() == [0, 3, 6]


SCRIPT = """
import sys, keras, numpy as np
from keras_dlopt import callbacks
class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 4:
            raise KeyboardInterrupt
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
recorder = callbacks.RecordOptimizer(sys.argv[1], every=2)
model.fit(np.ones((40, 2)), np.ones((40, 1)), batch_size=4, verbose=0, callbacks=[recorder, Interrupt()])
"""


@pytest.mark.both_backends
def test_an_interrupted_program_leaves_a_whole_log(tmp_path):
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode != 0 and "KeyboardInterrupt" in done.stderr
    assert read(tmp_path).steps.tolist() == [0, 2, 4]


@pytest.mark.both_backends
@pytest.mark.parametrize("jit", [True] if JAX else [True, False])
def test_nan_and_infinity_are_recorded_as_they_are(jit, tmp_path):
    model = make_model(rate=1e30, jit=jit)
    model.fit(X, Y, BATCH, 2, verbose=0, callbacks=[callbacks.RecordOptimizer(tmp_path, every=1)])
    run = read(tmp_path)
    norms = run.globals("gradient_norm")
    assert np.isfinite(norms[0]) and np.isinf(norms).any() and np.isnan(norms[-1])
    largest = run.stat("gradient_max")
    assert np.isfinite(largest[0]).all() and np.isnan(largest[-1]).all()
    assert run.stat("gradient_nonfinite")[0].tolist() == [0, 0] and run.stat("gradient_nonfinite")[-1].tolist() == [
        1,
        1,
    ]
    assert run.histogram("gradient")[-1, :, -1].tolist() == [1, 1]


def test_a_slow_disk_drops_records_and_never_waits(tmp_path, monkeypatch):
    from keras_dlopt.tensorboard.events import EventFile

    go, flush = threading.Event(), EventFile.flush

    def slow(self):
        go.wait()
        flush(self)

    monkeypatch.setattr(EventFile, "flush", slow)

    class Free(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            go.set()

    model = make_model()
    used = [Free(), callbacks.RecordOptimizer(tmp_path, every=1)]
    start = time.perf_counter()
    with pytest.warns(UserWarning, match="records were dropped"):
        model.fit(np.repeat(X, 5, 0), np.repeat(Y, 5, 0), 1, 1, verbose=0, callbacks=used)  # 400 updates
    assert time.perf_counter() - start < 60
    run = read(tmp_path)
    assert run.globals("dropped")[-1] == 400 - len(run.steps) > 0


@pytest.mark.both_backends
def test_a_disk_that_fails_warns_and_lets_training_go_on(tmp_path, monkeypatch):
    from keras_dlopt.tensorboard.events import EventFile

    def full(self, event):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventFile, "write", full)
    with pytest.warns(UserWarning, match="end early: OSError.*No space left"):
        assert len(fit(make_model(), callbacks.RecordOptimizer(tmp_path, every=1))) == EPOCHS


@pytest.mark.both_backends
def test_bad_arguments(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for logdir, message in ((file, "a folder; this is a file"), ("", "the path of a folder"), (None, "the path of")):
        with pytest.raises(ValueError, match=rf"`RecordOptimizer\(logdir=...\)` must be {message}"):
            callbacks.RecordOptimizer(logdir)
    for every in (0, -3, 2.5, None):
        with pytest.raises(ValueError, match=r"`RecordOptimizer\(every=...\)` must be a whole number >= 1"):
            callbacks.RecordOptimizer(tmp_path, every=every)
    assert [path.name for path in pathlib.Path(tmp_path).iterdir()] == ["file"]


def test_tensorboard_is_imported_on_use_only():
    code = "import sys, keras_dlopt.callbacks as c; c.RecordOptimizer('x'); assert 'tensorboard' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"KERAS_BACKEND": "jax"})
