"""The rungs: which are run, and what sets the first, the ninth and the tenth apart."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_dlopt.compress.quantization import fake_quant_layers
from keras_dlopt.demo import ladder, rates, tasks, training

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("1-10", range(1, 11)),
        ("5, 6", [5, 6]),
        ("6,5,5-6", [5, 6]),
        ("8", [7, 8]),
        ("2,10", [2, 7, 8, 9, 10]),
        ("7-8", [7, 8]),
    ],
)
def test_choosing_rungs_adds_those_they_build_on(text, numbers):
    assert [rung.number for rung in ladder.choose(text)] == list(numbers)


@pytest.mark.parametrize("text", ["", "0", "11", "3-", "6-5", "1,x", "-1", "1.5", "²"])
def test_choosing_what_is_no_rung(text):
    with pytest.raises(tasks.Unavailable, match="--rungs must be numbers from 1 to 10 and ranges of them"):
        ladder.choose(text)


def test_rungs_stand_in_order_and_have_learning_rates_from_the_grid():
    assert [rung.number for rung in ladder.RUNGS] == list(range(1, 11))
    for found in (rates.DIGITS, rates.TEXT):
        for number, rate in found.items():
            assert rate in rates.GRID[number]


def test_full_batch_gradient_descent_is_one_step_along_the_mean_gradient():
    task = tasks.load("digits", rows=96)
    (inputs, labels), rate = task.train, 0.5
    keras.utils.set_random_seed(4)
    model = task.network("full")
    with tf.GradientTape() as tape:
        loss = LOSS(labels, model(inputs))
    gradients = tape.gradient(loss, model.trainable_variables)
    expected = [w - rate * g for w, g in zip(model.get_weights(), gradients, strict=True)]
    trained = training.train(training.Job(task, ladder.RUNGS[0], 4, 1, rate, {}))
    for got, wanted in zip(trained.model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_the_student_is_pruned_then_rounded_and_its_zeros_stay():
    task = tasks.load("digits", rows=64)
    keras.utils.set_random_seed(0)
    student = task.network("student")
    weights = student.get_weights()
    pruned = training.train(training.Job(task, ladder.RUNGS[8], 0, 2, 0.01, {8: student}))
    np.testing.assert_array_equal(student.get_weights()[0], weights[0])  # a copy was trained
    kernels = [w for w in pruned.model.get_weights() if w.ndim > 1]
    zeros = [round(0.8 * kernel.size) for kernel in kernels]
    assert [kernel.size - np.count_nonzero(kernel) for kernel in kernels] == pytest.approx(zeros, abs=1)
    rounded = training.train(training.Job(task, ladder.RUNGS[9], 0, 2, 0.01, {9: pruned.model}))
    assert len(fake_quant_layers(rounded.model)) > 4
    for before, after in zip(kernels, [w for w in rounded.model.get_weights() if w.ndim > 1], strict=True):
        assert (after[before == 0] == 0).all() and np.abs(after - before).max() > 0


def test_a_transformer_has_no_int8_rung_and_says_why():
    task = tasks.load("text", rows=32)
    job = training.Job(task, ladder.RUNGS[9], 0, 1, 0.001, {9: task.network("student")})
    with pytest.raises(ladder.NotPossible, match="which these lack .*: Positions: `position`"):
        training.train(job)


def test_the_search_keeps_the_rate_of_highest_validation_accuracy(monkeypatch):
    monkeypatch.setitem(rates.GRID, 5, (1e-9, 3e-3))
    monkeypatch.setattr(rates, "SEEDS", (100, 101))
    tried = []
    found, how = rates.search(
        tasks.load("digits", rows=256), ladder.choose("5"), 3, lambda rung, *trial: tried.append(trial)
    )
    assert found == {5: 3e-3}
    assert [rate for rate, _ in tried] == [1e-9, 3e-3] and tried[0][1] < 0.3 < tried[1][1]
    assert "without the test rows" in how
