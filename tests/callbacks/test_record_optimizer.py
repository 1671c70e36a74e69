"""What RecordOptimizer logs, read back by TensorBoard, is what NumPy computes of the same training."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_dlopt import callbacks

# Uncompiled steps on JAX trace every conditional anew: one case is enough.
JAX = keras.backend.backend() == "jax"
BATCH, PER_EPOCH, EPOCHS = 8, 10, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(BATCH * PER_EPOCH, 4)).astype("float32")
Y = X @ np.array([[1.0], [-2.0], [0.0], [0.5]], "float32") + 1.0
START = np.array([[0.3], [-0.1], [0.2], [0.4]], "float32")
RATE, MOMENTUM = 0.02, 0.9
KERNEL, BIAS = "update_ratio/net/out/kernel", "update_ratio/net/out/bias"


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
    log = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: ([e.step for e in log.Scalars(tag)], [e.value for e in log.Scalars(tag)]) for tag in log.Tags()["scalars"]
    }


def numpy_log(every=1, batches=1, rates=lambda t: RATE):
    """The same training in float64 NumPy: tag -> (steps, values) of each `every`-th update of `batches` batches."""
    weights, momenta = [START.astype("float64"), np.zeros(1)], [np.zeros((4, 1)), np.zeros(1)]
    size = lambda arrays: np.sqrt(sum((a**2).sum() for a in arrays))  # noqa: E731
    log = {}
    starts = list(range(0, len(X), BATCH * batches)) * EPOCHS
    for t, i in enumerate(starts):
        x, y = X[i : i + BATCH * batches], Y[i : i + BATCH * batches]
        residual = x @ weights[0] + weights[1] - y
        gradients = [2 * x.T @ residual / len(x), 2 * residual.mean(0)]
        before = [w.copy() for w in weights]
        for w, m, g in zip(weights, momenta, gradients, strict=True):
            m[...] = MOMENTUM * m - rates(t) * g
            w += m
        steps = [w - b for w, b in zip(weights, before, strict=True)]
        if t % every == 0:
            rows = {"optimizer/learning_rate": rates(t), "optimizer/gradient_norm": size(gradients)}
            rows["optimizer/update_ratio"] = size(steps) / size(before)
            rows[KERNEL] = size(steps[:1]) / size(before[:1])
            if before[1].any():  # the bias begins at zero: no ratio
                rows[BIAS] = size(steps[1:]) / size(before[1:])
            for tag, value in rows.items():
                log.setdefault(tag, ([], []))
                log[tag][0].append(t)
                log[tag][1].append(value)
    return log


def assert_log(folder, expected):
    log = read(folder)
    assert log.keys() == expected.keys()
    for tag, (steps, values) in expected.items():
        assert log[tag][0] == steps, tag
        np.testing.assert_allclose(log[tag][1], values, rtol=3e-4, err_msg=tag)


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
def test_log_is_what_numpy_computes(every, case, tmp_path):
    losses = fit(make_model(**case))
    model = make_model(**case)
    assert fit(model, callbacks.RecordOptimizer(tmp_path, every)) == losses
    assert_log(tmp_path, numpy_log(every, case.get("gradient_accumulation_steps", 1)))
    assert not {"apply", "_seam"} & vars(getattr(model.optimizer, "inner_optimizer", model.optimizer)).keys()


def test_log_is_what_numpy_computes_mirrored(mirrored, tmp_path):
    with mirrored.scope():
        model = make_model()
    fit(model, callbacks.RecordOptimizer(tmp_path, every=3))
    assert_log(tmp_path, numpy_log(3))


@pytest.mark.both_backends
@pytest.mark.parametrize("first", [0, 1], ids=["recorder first", "schedule first"])
def test_rate_is_the_one_the_update_used(first, tmp_path):
    from keras_dlopt import schedules

    schedule = schedules.OneCycle(0.05, EPOCHS * PER_EPOCH, div=5.0, final_div=10.0)
    expected = numpy_log(2, rates=lambda t: float(schedule(t)))
    used = [
        callbacks.RecordOptimizer(tmp_path / "callback", every=2),
        callbacks.OneCycle(0.05, div=5.0, final_div=10.0),
    ]
    fit(make_model(), *(used if first == 0 else used[::-1]))
    assert_log(tmp_path / "callback", expected)
    fit(make_model(schedule), callbacks.RecordOptimizer(tmp_path / "compiled", every=2))
    assert_log(tmp_path / "compiled", expected)


@pytest.mark.both_backends
def test_long_runs_go_round_the_ring_and_second_runs_go_on(tmp_path):
    model = make_model()
    recorder = callbacks.RecordOptimizer(tmp_path, every=1)
    model.fit(X, Y, 1, 3, verbose=0, callbacks=[recorder])  # 240 updates, the ring holds 34
    model.fit(X, Y, 1, 1, verbose=0, callbacks=[recorder])
    assert sorted(read(tmp_path)["optimizer/gradient_norm"][0]) == list(range(320))


class Break(Exception):
    pass


@pytest.mark.both_backends
@pytest.mark.parametrize("held", [False, True])
def test_a_run_that_breaks_off_loses_nothing(held, tmp_path):
    class BreakLater(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 6:
                raise Break

    recorder = callbacks.RecordOptimizer(tmp_path, every=3)
    model, pair = make_model(), [recorder, BreakLater()]
    with pytest.raises(Break):
        fit(model, *pair)
    if held:  # used again, by a run of its own
        assert not read(tmp_path)
        fit(model, recorder)
    del recorder, pair
    assert read(tmp_path)["optimizer/gradient_norm"][0][:3] == [0, 3, 6]
    assert "apply" not in vars(model.optimizer)


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
    assert read(tmp_path)["optimizer/learning_rate"][0] == [0, 2, 4]


@pytest.mark.both_backends
def test_nan_and_infinity_are_logged_as_they_are(tmp_path):
    model = make_model(rate=1e30)
    model.fit(X, Y, BATCH, 2, verbose=0, callbacks=[callbacks.RecordOptimizer(tmp_path, every=1)])
    norms = read(tmp_path)["optimizer/gradient_norm"][1]
    assert np.isfinite(norms[0]) and np.isinf(norms).any() and np.isnan(norms[-1])


@pytest.mark.both_backends
def test_a_disk_that_fails_warns_and_lets_training_go_on(tmp_path, monkeypatch):
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    def full(self, event):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventFileWriter, "add_event", full)
    with pytest.warns(UserWarning, match="ends early: OSError.*No space left"):
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
