"""A run that breaks off anywhere and is started again ends, bit for bit, as one that did not."""

import functools
import importlib.util
import pathlib
import signal
import threading

import keras
import numpy as np
import pytest

from keras_dlopt import callbacks
from keras_dlopt.callbacks import resume_exactly
from keras_dlopt.callbacks.callback import Callback
from keras_dlopt.callbacks.resume.store import Store

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
    if kind == "arrays":
        return {"x": X, "y": Y, "batch_size": 8}
    if kind == "py":
        return {"x": Squares()}
    if kind == "grain":
        grain = pytest.importorskip("grain")
        rows = grain.MapDataset.source(list(zip(X, Y, strict=True))).seed(3).shuffle()
        return {"x": rows.batch(8)}
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(20).batch(8)
    if kind == "unknown":
        data = data.filter(lambda x, y: True)
    if kind == "random":
        data = data.map(lambda x, y: (x + tf.random.normal(tf.shape(x)), y))
    return {"x": data}


def make_model():
    layers = [keras.Input((3,)), keras.layers.Dense(4, "relu"), keras.layers.Dropout(0.3), keras.layers.Dense(1)]
    return keras.Sequential(layers)


def adam(**settings):
    return keras.optimizers.Adam(0.01, **settings)


def run(path, data="arrays", cut=None, fit=None, model=make_model, optimizer=adam, others=(), **settings):
    """Trains; returns all that must be the same, or `None` if the power was cut."""
    keras.utils.set_random_seed(5)
    model = model()
    model.compile(optimizer(), "mse", **{"metrics": ["mae"], "jit_compile": JAX, **settings})
    power = PowerCut(cut)
    used = [*(other() for other in others), power, callbacks.ResumeExactly(path, every_steps=1)]
    try:
        history = model.fit(**dataset(data), epochs=4, verbose=0, callbacks=used, **(fit or {})).history
    except KeyboardInterrupt:
        return None
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables], history, power.seen


def assert_resumes(tmp_path, cuts, rtol=0, **kwargs):
    """Cuts the power after each of `cuts` updates, of a run of 24: 6, 12 and 18 end an epoch."""
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
    return history


# Not compiled on TensorFlow: what these are about is the data.
@pytest.mark.parametrize("data", ["py", "grain", "shuffled", "random"])
def test_all_kinds_of_data(tmp_path, data):
    assert_resumes(tmp_path, (9, 12, 20), data=data, run_eagerly=not JAX)


@pytest.mark.both_backends
@pytest.mark.parametrize("data", ["arrays", "unknown"])
def test_cut_in_and_after_an_epoch(tmp_path, data):
    assert_resumes(tmp_path, (9, 12, 20) if data == "arrays" else (6, 12), data=data)


def tags(folder):
    """Tag -> steps, as TensorBoard shows them."""
    from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

    log = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    found = {tag: [event.step for event in log.Tensors(tag)] for tag in log.Tags()["tensors"]}
    return {tag: steps for tag, steps in found.items() if tag not in ("keras", "optimizer/layout")}


@pytest.mark.both_backends
def test_all_callbacks_at_once_with_validation(tmp_path):
    folders = iter(["whole", "cut", "cut"])

    def recorder():
        return callbacks.RecordOptimizer(tmp_path / f"log of {next(folders)}", every=2)

    def stop():
        return keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)

    def plateau():
        return callbacks.ReduceLROnPlateau("loss", 0.5, patience=1, min_delta=10.0)

    def prune():
        return callbacks.Prune(0.5, frequency=1)

    def momentum():
        return callbacks.OneCycle(0.95, of="beta_1")

    assert_resumes(
        tmp_path,
        others=[stop, lambda: callbacks.AverageWeights("swa"), prune, momentum, recorder, plateau],
        fit={"validation_data": (X[:9], Y[:9]), "initial_epoch": 1},
        cuts=(11,),
    )
    found = tags(tmp_path / "log of cut")
    assert found == tags(tmp_path / "log of whole")
    assert found["optimizer/learning_rate"] == list(range(0, 18, 2))


@pytest.mark.parametrize(
    "others",
    [
        [lambda: callbacks.Prune(0.5, frequency=2, criterion="movement")],
        [lambda: callbacks.Cluster(3)],
        [lambda: callbacks.AverageWeights("ema", decay=0.9)],
        [lambda: callbacks.AverageWeights("swa", begin=0.25)],
        [lambda: callbacks.WarmupCosine(0.1), lambda: callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=9.0)],
        [lambda: callbacks.ReduceLROnPlateau("loss", 0.5, patience=1, min_delta=9.0)],
        [lambda: callbacks.StopOnTarget("loss", 1.5, mode="min")],
        [lambda: callbacks.OneCycle(0.1), lambda: callbacks.WarmupCosine(0.1, of="beta_2")],
        [lambda: callbacks.FreezeLayers(begin=0.3, groups=2)],
        [lambda: callbacks.GradualUnfreeze()],
        [lambda: callbacks.BatchSizeSchedule({0: 8, 0.5: 16})],
        [lambda: callbacks.LearningRateFinder(1e-3, steps=16)],
        [lambda: keras.callbacks.EarlyStopping("loss", min_delta=9.0, patience=2, restore_best_weights=True)],
    ],
    ids=[
        "movement",
        "cluster",
        "ema",
        "swa",
        "plateau+schedule",
        "plateau",
        "target",
        "schedules",
        "freeze",
        "thaw",
        "batch size",
        "finder",
        "early stopping",
    ],
)
def test_each_callback(tmp_path, others):
    history = assert_resumes(tmp_path, (14,), others=others)
    if others[0]().__class__ in (callbacks.StopOnTarget, keras.callbacks.EarlyStopping):
        assert len(history["loss"]) == 3  # of 4: the one that the power was cut in is not the last


def test_keras_tensorboard_shows_every_step_once(tmp_path):
    for folder, cuts in (("whole", [None]), ("cut", [4, 9, 14, None])):
        for cut in cuts:
            log = functools.partial(keras.callbacks.TensorBoard, tmp_path / f"log of {folder}", update_freq=2)
            run(tmp_path / folder, cut=cut, others=[log], fit={"validation_data": (X[:9], Y[:9])}, run_eagerly=True)
    for part in ("train", "validation"):
        # TensorBoard takes files of one second in the order of a number in their name, as text: sorted here.
        whole, found = (
            {tag: sorted(steps) for tag, steps in tags(tmp_path / f"log of {which}" / part).items()}
            for which in ("whole", "cut")
        )
        assert found == whole
        assert found["epoch_loss"] == [0, 1, 2, 3]


def test_a_folder_of_tensorflows_file_layer(tmp_path):
    """`ram://` goes the way of `gs://`."""
    import tensorflow as tf

    folder = f"ram://{tmp_path.name}/a run"
    expected = run(tmp_path / "whole", run_eagerly=True)
    assert run(folder, cut=15, run_eagerly=True) is None
    names = sorted(tf.io.gfile.listdir(folder))
    assert len(names) == 3 and names[-1] <= "000000000015.ckpt"
    with tf.io.gfile.GFile(f"{folder}/{names[-1]}", "rb") as file:
        content = file.read()
    with tf.io.gfile.GFile(f"{folder}/{names[-1]}", "wb") as file:
        file.write(content[: len(content) // 2])
    with pytest.warns(UserWarning, match=f"{names[-1]} is left out"):
        arrays, history, seen = run(folder, run_eagerly=True)
    assert all(map(np.array_equal, arrays, expected[0])) and (history, seen) == expected[1:]


def test_several_steps_an_execution_with_accumulation(tmp_path):
    optimizer = functools.partial(adam, gradient_accumulation_steps=2)
    assert_resumes(tmp_path, (4, 6), data="shuffled", steps_per_execution=4, optimizer=optimizer)


@pytest.mark.skipif(JAX, reason="the model's own step is TensorFlow's")
def test_a_model_of_ones_own(tmp_path):
    import tensorflow as tf

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.drop, self.out = keras.layers.Dense(4), keras.layers.Dropout(0.3), keras.layers.Dense(1)
            self(np.zeros((1, 3)))

        def call(self, x, training=False):
            return self.out(self.drop(self.dense(x), training=training))

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            return {"own": loss}

    history = assert_resumes(
        tmp_path, (12, 15), model=Own, metrics=None
    )  # 12: the log of the last step is all there is
    assert list(history) == ["own"]


@pytest.mark.skipif(JAX, reason="the model's own step is TensorFlow's")
def test_optimizers_and_variables_of_a_model_of_ones_own(tmp_path):
    """As in a GAN; the second optimizer is built in the first step, the third in the step after the power cut."""
    import tensorflow as tf

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.body, self.out = keras.layers.Dense(4), keras.layers.Dense(1)
            self.others, self.calls = {"out": adam(), "late": adam()}, tf.Variable(0.0)
            self(np.zeros((1, 3)))

        def call(self, x):
            return self.out(self.body(x))

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x) - y) ** 2)
            body, out = self.body.trainable_variables, self.out.trainable_variables
            gradients = tape.gradient(loss, body + out)
            self.optimizer.apply(gradients[:2], body)
            self.others["out"].apply(gradients[2:], out)
            if self.optimizer.iterations > 9:
                self.others["late"].apply(gradients[2:], out)
            return {"loss": loss, "calls": self.calls.assign_add(1)}

    history = assert_resumes(tmp_path, (9, 15), model=Own, metrics=None, run_eagerly=True)
    assert history["calls"] == [6, 12, 18, 24]


def test_mirrored_strategy(tmp_path, mirrored):
    if JAX:
        pytest.skip("tf.distribute is TensorFlow's")
    with mirrored.scope():
        assert_resumes(tmp_path, (9,), rtol=1e-6)


def test_no_step_waits_for_the_disk(tmp_path, monkeypatch):
    go, write, waited = threading.Event(), Store.write, []

    def stuck(self, step, state):
        waited.append(go.wait(60))
        write(self, step, state)

    monkeypatch.setattr(Store, "write", stuck)

    class Free(Callback):
        def on_train_end(self, logs=None):
            assert not waited  # the first checkpoint has been in the writing for the whole run
            go.set()

    run(tmp_path, others=[Free], run_eagerly=True)
    assert waited == [True] and [path.name for path in tmp_path.iterdir()] == ["000000000001.ckpt"]


def test_another_model_is_refused(tmp_path):
    run(tmp_path, cut=9)
    with pytest.raises(ValueError, match="has .* variables|is another there"):
        run(tmp_path, optimizer=keras.optimizers.SGD)


def test_a_folder_that_only_the_chief_sees_is_refused(tmp_path, monkeypatch):
    """What a second worker is told; tests/distribute/test_workers.py has two real ones."""
    monkeypatch.setattr(resume_exactly, "is_chief", lambda: False)
    monkeypatch.setattr(resume_exactly, "from_chief", lambda number: 7)
    with pytest.raises(ValueError, match="a folder that all workers see; the chief's checkpoint after 7 batches"):
        run(tmp_path)


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
def test_processes_that_are_killed_and_terminated(tmp_path, kill_test):
    expected, *_ = kill_test.run("all", str(tmp_path / "whole"))
    folder = str(tmp_path / "killed")
    for by, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 75)):
        end, found, _ = kill_test.run("all", folder, kill_after=0.7, by=by)
        assert end is None and found == code
    end, found, said = kill_test.run("all", folder)
    assert found == 0 and said.startswith("ResumeExactly: going on in epoch")
    assert end == expected
