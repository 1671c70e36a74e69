"""Every optimizer follows its reference, under every execution of the backend."""

import functools

import keras
import numpy as np
import pytest
from cases import CASES, ONE_EACH
from references import SETTINGS
from trajectories import RUNNERS, run_compiled, run_eager, run_mirrored

from keras_dlopt import optimizers


@functools.cache
def reference(case_id, setting):
    case = next(c for c in CASES if c.id == case_id)
    return case.follow(*SETTINGS[setting])


def difference(weights, expected):
    """Largest difference, relative to the largest weight."""
    largest = max(np.abs(e).max() for e in expected)
    return max(np.abs(w - e).max() for w, e in zip(weights, expected, strict=True)) / largest


def check(weights, case, setting, execution, record_property):
    off = difference(weights, reference(case.id, setting))
    record_property("conformance", f"{case.id:20} {setting:16} {execution:10} {off:.1e}")
    assert off <= case.tolerance


FULL = "decaying+decay"  # the setting in which everything moves


@pytest.mark.parametrize(
    "setting", [pytest.param(name, marks=pytest.mark.both_backends) if name == FULL else name for name in SETTINGS]
)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_follows_its_reference(case, setting, record_property):
    check(run_compiled(case.make(*SETTINGS[setting])), case, setting, "compiled", record_property)


# Other ways of running a rule.
each_rule = pytest.mark.parametrize("case", ONE_EACH, ids=lambda c: c.id)


@each_rule
def test_follows_its_reference_under_xla(case, record_property):
    check(RUNNERS["jit"](case.make(*SETTINGS[FULL])), case, FULL, "jit", record_property)


@each_rule
def test_follows_its_reference_on_two_replicas(case, mirrored, record_property):
    weights = run_mirrored(lambda: case.make(*SETTINGS[FULL]), mirrored)
    check(weights, case, FULL, "mirrored", record_property)


@each_rule
def test_large_variables_alone_follow_it_too(case):
    """Without the flat buffer: each variable keeps its own slots."""
    optimizer = case.make(*SETTINGS[FULL])
    optimizer.flat_below = 0
    assert difference(run_compiled(optimizer), reference(case.id, FULL)) <= case.tolerance


@each_rule
def test_eager_steps_are_the_compiled_ones(case, record_property):
    """40 of them: slow, and the same Python code."""
    eager, compiled = (run(case.make(*SETTINGS[FULL]), steps=40) for run in (run_eager, run_compiled))
    off = difference(eager, compiled)
    record_property("conformance", f"{case.id:20} {FULL:16} {'eager':10} {off:.1e}")
    assert off <= case.tolerance


def test_every_optimizer_of_the_table_is_held_against_a_reference():
    assert {case.name for case in CASES} == set(optimizers.names())


@pytest.mark.parametrize("name", optimizers.names())
def test_state_bytes_are_those_of_the_table(name):
    """Of a matrix so large that what is kept for its rows and columns does not count."""
    optimizer, kernel = optimizers.get(name), keras.Variable(np.zeros((512, 512), "float32"), name="kernel")
    before = len(optimizer.variables)
    optimizer.build([kernel])
    state = sum(np.prod(v.shape) * 4 for v in optimizer.variables[before:])
    assert state / 512**2 == pytest.approx(optimizers.TABLE[name].state_bytes, abs=0.05)
