"""The protocol of benchmarks/convergence.py, on a tiny budget."""

import dataclasses
import importlib.util
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))

from convergence.expected import expectations, ratio
from convergence.report import write_report
from convergence.search import candidates, finite, first_below, measure, search, shortest
from convergence.tasks import TASKS
from convergence.training import Runs, rates

from keras_dlopt import optimizers

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "convergence.py"


def test_candidates_are_an_evenly_spread_shifted_grid():
    found = np.log10(candidates(1e-4, 1.0, 4, np.random.default_rng(0)))
    np.testing.assert_allclose(np.diff(found), 1.0)
    assert -4 <= found[0] < -3


@pytest.mark.parametrize("best", [2e-4, 1e-3, 0.9])
def test_search_finds_the_best_rate_to_a_third_of_a_decade(best):
    tried, found = search(lambda rate, seed: abs(np.log10(rate / best)), 1e-3, trials=8, finalists=3)
    assert len(tried) == 8
    assert abs(np.log10(found / best)) < 1 / 3


def test_search_is_not_taken_in_by_a_lucky_seed():
    def value(rate, seed):
        return abs(np.log10(rate / 1e-3)) if seed else -rate

    _, lucky = search(value, 1e-3, trials=8, finalists=1)
    tried, found = search(value, 1e-3, trials=8, finalists=3)
    assert found < lucky == tried[-1][0]


@pytest.mark.parametrize("enough", [1, 2, 13, 20])
def test_shortest_is_found_by_bisection(enough):
    assert shortest(lambda length: length >= enough, 20) == enough


def test_first_point_below_the_target():
    assert first_below(0.5, [3, 0.5, 0.7, 0.1]) == 2
    assert first_below(0.0, [3, float("inf")]) is None


def test_infinity_is_null_in_the_results():
    assert finite({"a": [float("inf"), 1.23456789]}) == {"a": [None, 1.2346]}
    assert ratio(None, 2.0) == float("inf")


def test_schedules():
    np.testing.assert_allclose(rates(0.1, 4, "constant"), [0.1] * 4)
    cosine = rates(1.0, 40, "cosine")
    np.testing.assert_allclose([cosine[0], cosine[-1]], [1, 0], atol=1e-6)
    warm = rates(1.0, 40, "warm-up and cosine")
    np.testing.assert_allclose(warm[:2], [0.5, 1.0])


@pytest.fixture(scope="module")
def task():
    return dataclasses.replace(TASKS["matrix"](), steps=40, trials=4)


@pytest.fixture(scope="module")
def results(task):
    """AdamW and Schedule-Free at rates that are right for the task, and SGD at rates that are all too small."""
    base = measure(Runs(task, optimizers.AdamW()), "warm-up and cosine", 0.03, seeds=3)
    slow = measure(Runs(task, optimizers.SGD()), "warm-up and cosine", 1e-6, 3, base["final"])
    averaged = measure(Runs(task, optimizers.ScheduleFreeAdamW()), "constant", 0.03, 3, 1.5)
    return {"matrix": {"AdamW": base, "SGD, Nesterov": slow, "ScheduleFreeAdamW": averaged}}


def test_runs_do_not_know_of_each_other(task):
    runs = Runs(task, optimizers.AdamW())
    first = runs.train(0, rates(0.1, 40, "constant"), "test", points=20)
    runs.train(1, rates(0.3, 20, "constant"), "test")
    assert runs.train(0, rates(0.1, 40, "constant"), "test", points=20) == first
    assert first[-1] < 0.2 * first[0]


def test_a_run_that_overflows_is_infinite_to_its_end(task):
    curve = Runs(task, optimizers.SGD()).train(0, rates(1e30, 40, "constant"), "test", points=20)
    assert len(curve) == 20
    assert curve[-1] == float("inf")


def test_structure_and_values(results):
    base, slow, averaged = results["matrix"].values()
    assert base["steps_to_target"] == base["steps"] == 40
    assert base["final"] == sorted(curve[-1] for curve in base["curves"])[1] < 0.1
    assert len(base["trials"]) == 4
    assert slow["final"] > base["final"]
    assert slow["steps_to_target"] is None
    assert 1 <= averaged["steps_to_target"] < 40


def test_report(results, tmp_path):
    pytest.importorskip("matplotlib")
    write_report(results, tmp_path)
    text = (tmp_path / "convergence.md").read_text()
    assert "| SGD, Nesterov | ∞ | ∞ |" in text
    assert (tmp_path / "convergence" / "figures" / "matrix.png").stat().st_size > 10_000
    assert not expectations(results)


def test_report_and_restore_are_inverse(results, tmp_path):
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("convergence_script", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    write_report(results, tmp_path / "first")
    arguments = ["--restore", str(tmp_path / "first" / "convergence.json"), "--out", str(tmp_path / "runs")]
    assert script.main([*arguments, "--report", str(tmp_path / "second")]) == 0
    for name in ("convergence.json", "convergence.md"):
        assert (tmp_path / "second" / name).read_text() == (tmp_path / "first" / name).read_text()
