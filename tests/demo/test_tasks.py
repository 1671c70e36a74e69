"""The demo's data and networks: what is held out, and that the metrics are what they say."""

import pathlib
import re
import sysconfig

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_dlopt.demo import ladder, measure, tasks, training

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def rows_of(array):
    return [row.tobytes() for row in array]


def test_the_digits_are_divided_once_and_for_all():
    task = tasks.digits()
    assert [len(part[0]) for part in (task.train, task.validation, task.test)] == [1024, 233, 540]
    bunch = load_digits()
    images = np.concatenate([task.train[0], task.validation[0], task.test[0]])
    labels = np.concatenate([task.train[1], task.validation[1], task.test[1]])
    known = sorted(zip(rows_of((bunch.images[..., None] / 16).astype("float32")), bunch.target, strict=True))
    assert sorted(zip(rows_of(images), labels, strict=True)) == known
    assert np.array_equal(tasks.digits().test[0], task.test[0])


@pytest.mark.parametrize("load", [tasks.digits, tasks.text])
def test_dividing_anew_never_touches_the_test_rows(load):
    task = load()
    again = task.divided(7)
    assert again.test is task.test and len(again.train[0]) == len(task.train[0])
    before, after = (rows_of(np.concatenate([t.train[0], t.validation[0]])) for t in (task, again))
    assert sorted(before) == sorted(after) and before != after
    assert np.array_equal(task.divided(7).train[0], again.train[0])


def test_few_rows_are_the_first_in_whole_batches():
    task, few = tasks.digits(), tasks.load("digits", rows=70)
    assert [len(part[1]) for part in (few.train, few.validation, few.test)] == [64, 70, 70]
    np.testing.assert_array_equal(few.test[0], task.test[0][:70])
    assert few.about.endswith("only the first 70 of each part.")
    assert len(tasks.load("digits", rows=1).train[0]) == task.batch


def test_the_text_is_this_pythons_library_and_files_are_held_out_whole():
    task = tasks.text()
    sources = {
        p: p.read_text("utf-8", errors="replace") for p in pathlib.Path(sysconfig.get_paths()["stdlib"]).glob("*.py")
    }
    alphabet = np.array(["\0", *tasks.CHARACTERS])
    found = {}
    for part in ("train", "validation", "test"):
        inputs, labels = getattr(task, part)
        np.testing.assert_array_equal(inputs[:, 1:], labels[:, :-1])
        found[part] = set()
        for window in inputs[:: max(1, len(inputs) // 40)]:
            pattern = re.escape("".join(alphabet[window])).replace(re.escape("\0"), ".")
            places = {path for path, text in sources.items() if re.search(pattern, text, re.DOTALL)}
            assert places
            if len(places) == 1:  # licences and the like stand in several files
                found[part] |= places
    assert not found["test"] & (found["train"] | found["validation"]) and not found["train"] & found["validation"]


def test_without_sources_the_text_is_refused(tmp_path):
    (tmp_path / "one.py").write_text("x = 1\n" * 1000)
    with pytest.raises(tasks.Unavailable, match="--task text needs Python's own sources, and there are too few"):
        tasks.text(tmp_path)


@pytest.mark.parametrize("name", ["digits", "text"])
def test_metrics_equal_numpys_and_training_is_reproducible(name):
    task = tasks.load(name, rows=64)
    rung = ladder.RUNGS[5]
    models = [training.train(training.Job(task, rung, 3, 1, 0.01, {})).model for _ in range(2)]
    for first, second in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-4)
    inputs, labels = task.test
    loss, accuracy = models[0].evaluate(inputs, labels, batch_size=16, verbose=0)
    logits = models[0].predict(inputs, verbose=0)
    assert logits.shape == (*labels.shape, models[0].output_shape[-1])
    assert measure.accuracy(logits, labels) == pytest.approx(accuracy, abs=1e-6)
    assert measure.cross_entropy(logits, labels) == pytest.approx(loss, rel=1e-5)


def test_the_transformer_cannot_see_the_next_character():
    model = tasks.text().network("student")
    tokens = np.random.default_rng(0).integers(1, 90, size=(1, tasks.LENGTH))
    changed = tokens.copy()
    changed[0, 40] += 1
    before, after = model(tokens), model(changed)
    np.testing.assert_array_equal(before[:, :40], after[:, :40])
    assert np.abs(before[:, 40:] - after[:, 40:]).max() > 1e-4
    # Positions are told apart: the same character twice gives other logits.
    same = model(np.full((1, tasks.LENGTH), 5))
    assert np.abs(same[0, 0] - same[0, 1]).max() > 1e-4
