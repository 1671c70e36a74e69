"""What a rule can ask the executor for, each shown by a rule made for it and its closed form."""

import keras
import numpy as np
import pytest
from keras import ops
from trajectories import START, numpy_gradient, run_compiled, run_eager, variables

from keras_dlopt.optimizers import Optimizer
from keras_dlopt.optimizers.executor.each import Each
from keras_dlopt.optimizers.executor.every import every
from keras_dlopt.optimizers.executor.hyperparameters import LearningRate

pytestmark = pytest.mark.both_backends


class UnitSteps(Optimizer):
    """Every variable moves by the learning rate; counts steps for each variable."""

    learning_rate: LearningRate = 0.1
    slots = ("count",)

    def slot_shape(self, slot, shape):
        return ()

    def rule(self, g, w, s, t, each):
        return g / each.spread(each.norm(g)), {"count": s.count + 1}


class GlobalSteps(Optimizer):
    """All variables together move by the learning rate; keeps the largest norm seen."""

    learning_rate: LearningRate = 0.1
    shared = {"largest": 0.0, "norm": 0.0}

    def measure(self, g, w, s, t):
        return {"square": ops.sum(g * g)}

    def combine(self, before, sums, t, lr):
        norm = ops.sqrt(sums.square)
        return {"norm": norm, "largest": ops.maximum(before.largest, norm)}

    def rule(self, g, w, s, t, shared):
        return g / shared.norm, {}


class ToStart(Optimizer):
    """Walks back to where it started, decaying in its own way."""

    learning_rate: LearningRate = 0.1
    slots = from_weights = ("x0",)
    needs_weights = True

    def rule(self, g, w, s, t, decay):
        return g + (w - s.x0) + (decay or 0.0) * w, {}


class Transposed(Optimizer):
    """Matrices (count, rows, columns) of the last two axes; everything else goes to its companion."""

    learning_rate: LearningRate = 0.1
    form = "stacked"
    slots = ("row",)
    companion_learning_rate = 0.5

    def takes(self, variable):
        return len(variable.shape) >= 2

    def companion(self):
        return UnitSteps(weight_decay=0.1)

    def matrices(self, variable):
        rows, columns = variable.shape[-2:]
        return int(np.prod(variable.shape)) // (rows * columns), rows, columns

    def slot_shape(self, slot, shape):
        return shape[:1]

    def rule(self, g, w, s, t, each):
        row = 0.5 * s.row + ops.mean(g, axis=2)
        return g - 0.1 * ops.expand_dims(row, 2) + each.spread(each.max(g)), {"row": row}


@pytest.mark.parametrize("flat_below", [0, 2**15])
def test_reductions_over_each_variable(flat_below):
    optimizer = UnitSteps(0.1)
    optimizer.flat_below = flat_below
    weights = run_compiled(optimizer)
    expected = [np.asarray(w, "float64") for w in START]
    for step in range(200):
        expected = [
            w - 0.1 * g / np.linalg.norm(g) for w, g in zip(expected, numpy_gradient(expected, step), strict=True)
        ]
    for got, e in zip(weights, expected, strict=True):
        np.testing.assert_allclose(got, e, atol=2e-5)
    slots = [v for v in optimizer.variables if "count" in v.path]
    assert sum(int(np.prod(v.shape)) for v in slots) == len(START)


def test_reductions_in_every_form_agree():
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=n).astype("float32") for n in (1, 6, 6, 6, 10)]
    flat = Each("float32", [(1, 1), (3, 6), (1, 10)])
    for name in ("sum", "mean", "max", "norm"):
        alone = [getattr(Each("float32", [(None, p.size)]), name)(p) for p in parts]
        got = getattr(flat, name)(ops.concatenate([ops.convert_to_tensor(p) for p in parts]))
        np.testing.assert_allclose(got, np.asarray(alone), rtol=1e-6)
        stacked = Each("float32", [(3, 6)], matrices=True)
        got = getattr(stacked, name)(ops.reshape(ops.stack(parts[1:4]), (3, 2, 3)))
        np.testing.assert_allclose(got, np.asarray(alone[1:4]), rtol=1e-6)
    np.testing.assert_array_equal(flat.size, [1, 6, 6, 6, 10])
    np.testing.assert_array_equal(flat.spread(ops.arange(5)), np.repeat(np.arange(5), [1, 6, 6, 6, 10]))


@pytest.mark.parametrize("flat_below", [0, 2**15])
def test_scalars_over_all_variables(flat_below):
    optimizer = GlobalSteps(0.1)
    optimizer.flat_below = flat_below
    weights = run_compiled(optimizer)
    expected, largest = [np.asarray(w, "float64") for w in START], 0.0
    for step in range(200):
        grads = numpy_gradient(expected, step)
        norm = np.sqrt(sum((g * g).sum() for g in grads))
        largest = max(largest, norm)
        expected = [w - 0.1 * g / norm for w, g in zip(expected, grads, strict=True)]
    for got, e in zip(weights, expected, strict=True):
        np.testing.assert_allclose(got, e, atol=2e-5)


def test_slots_that_start_as_the_weights_of_the_first_step():
    optimizer, weights = ToStart(0.5, weight_decay=0.1), variables()
    optimizer.build(weights)
    for weight in weights:
        weight.assign(weight + 1)  # as loading a file after `build` does
    x0 = [ops.convert_to_numpy(w) for w in weights]
    expected = x0
    for _ in range(3):
        optimizer.apply([ops.zeros(w.shape) for w in weights], weights)
        expected = [e - 0.5 * (e - x + 0.1 * e) for e, x in zip(expected, x0, strict=True)]
    for got, e in zip(weights, expected, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(got), e, atol=1e-6)


def test_matrices_are_stacked_and_the_rest_goes_to_the_companion():
    shapes = [(3,), (4, 2), (5, 4, 2), (2, 4)]
    rng = np.random.default_rng(1)
    grads = [rng.normal(size=shape).astype("float32") for shape in shapes]
    weights = [keras.Variable(np.ones(shape, "float32")) for shape in shapes]
    optimizer = Transposed(0.1, weight_decay=0.2)
    for _ in range(2):
        optimizer.apply(grads, weights)
    forms = [(type(b.owner).__name__, b.slot_shape(b.owner.slots[0])) for b in optimizer._plan.buckets]
    assert forms == [("UnitSteps", (1,)), ("Transposed", (6, 4)), ("Transposed", (1, 2))]
    w = np.ones(3)
    for _ in range(2):
        w = w - 0.05 * (0.1 * w + grads[0] / np.linalg.norm(grads[0]))
    np.testing.assert_allclose(ops.convert_to_numpy(weights[0]), w, rtol=1e-5)
    for weight, g in zip(weights[1:], grads[1:], strict=True):
        w, row = np.ones_like(g), 0
        for _ in range(2):
            row = 0.5 * row + g.mean(-1, keepdims=True)
            w = w - 0.1 * (0.2 * w + g - 0.1 * row + g.max((-2, -1), keepdims=True))
        np.testing.assert_allclose(ops.convert_to_numpy(weight), w, rtol=1e-5)


def test_work_of_every_kth_step():
    done = [float(every(3, ops.convert_to_tensor(float(t)), lambda: ops.ones(()), ops.zeros(()))) for t in range(1, 8)]
    assert done == [1, 0, 0, 1, 0, 0, 1]


def test_a_step_that_is_not_finite_is_skipped_on_request():
    """Weights, slots and scalars stay as they were, and the next step is as if nothing had been."""
    for make in (UnitSteps, GlobalSteps, ToStart, Transposed):
        results = []
        for spoiled in (False, True):
            optimizer, weights = make(0.1, skip_nonfinite=True), variables()
            optimizer.apply(numpy_gradient(START, 0), weights)
            if spoiled:
                grads = numpy_gradient(START, 1)
                grads[2] = np.where(np.arange(3) == 1, np.nan, grads[2]).astype("float32")
                before = [ops.convert_to_numpy(v) for v in [*optimizer.variables[2:], *weights]]
                optimizer.apply(grads, weights)
                after = [ops.convert_to_numpy(v) for v in [*optimizer.variables[2:], *weights]]
                for a, b in zip(before, after, strict=True):
                    np.testing.assert_array_equal(a, b)
            optimizer.apply(numpy_gradient(START, 2), weights)
            results.append([ops.convert_to_numpy(w) for w in weights])
        for a, b in zip(*results, strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_a_rule_cannot_ask_for_is_an_error_where_it_is_written():
    with pytest.raises(TypeError, match="asks for weather; it can ask for lr, decay, each"):

        class Odd(Optimizer):
            learning_rate: LearningRate = 0.1

            def rule(self, g, w, s, t, weather):
                return g, {}


def test_a_rule_that_needs_the_loss_says_so_when_there_is_none():
    class Scaled(Optimizer):
        learning_rate: LearningRate = 0.1

        def rule(self, g, w, s, t, loss):
            return loss * g, {}

    weights = variables()
    optimizer = Scaled(0.1)
    with pytest.raises(ValueError, match="needs the loss of each step"):
        optimizer.apply([ops.ones(w.shape) for w in weights], weights)
    optimizer.provide(loss=2.0)
    optimizer.apply([ops.ones(w.shape) for w in weights], weights)
    np.testing.assert_allclose(ops.convert_to_numpy(weights[1]), START[1] - 0.2, rtol=1e-6)
    with pytest.raises(ValueError, match="gradient_accumulation_steps"):
        Scaled(gradient_accumulation_steps=2)


def test_eager_and_compiled_rules_agree():
    for make in (UnitSteps, GlobalSteps, Transposed):
        for a, b in zip(run_eager(make(0.1), 40), run_compiled(make(0.1), 40), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
