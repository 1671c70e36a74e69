"""Every optimizer follows its reference, under every execution of the backend."""

import functools

import keras
import numpy as np
import pytest
from cases import CASES
from references import SETTINGS
from trajectories import RUNNERS, run_compiled, run_mirrored

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


# As TensorFlow compiles it in both settings, otherwise in the one in which everything moves.
FULL = "decaying+decay"
WAYS = [(s, e) for s in SETTINGS for e in RUNNERS if s == FULL or e == "function"]


@pytest.mark.both_backends
@pytest.mark.parametrize(("setting", "execution"), WAYS)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_follows_its_reference(case, setting, execution, record_property):
    weights = RUNNERS[execution](case.make(*SETTINGS[setting]))
    check(weights, case, setting, execution, record_property)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_follows_its_reference_on_two_replicas(case, mirrored, record_property):
    weights = run_mirrored(lambda: case.make(*SETTINGS[FULL]), mirrored)
    check(weights, case, FULL, "mirrored", record_property)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_large_variables_alone_follow_it_too(case):
    """Without the flat buffer: each variable keeps its own slots."""

    optimizer = case.make(*SETTINGS[FULL])
    optimizer.flat_below = 0
    assert difference(run_compiled(optimizer), reference(case.id, FULL)) <= case.tolerance


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
