"""The search of the largest batch, over memory curves in place of the compiler, which answers in minutes."""

import types

from hypothesis import given
from hypothesis import strategies as st

from keras_dlopt.distribute.aot import largest
from keras_dlopt.distribute.aot.report import Report, Step

AVAILABLE = 16.0 * 2**30


class Curve:
    """A model whose step takes `state` bytes and `example` bytes for each example, to a power near one."""

    def __init__(self, state, example, power, says):
        self.state, self.example, self.power, self.says = state, example, power, says

    def used(self, size):
        return self.state + self.example * size**self.power

    def step(self, name, batch, found):
        used = self.used(batch / found.compiler_devices)
        hbm = {"parameters": self.state, "optimizer state": 0, "other state": 0, "program": 0}
        if used <= AVAILABLE:
            return Step(name, True, None, None, hbm=hbm, hbm_used=used, hbm_available=AVAILABLE)
        said = used if self.says else None
        return Step(name, False, "RESOURCE_EXHAUSTED", "too much", hbm_used=said, hbm_available=AVAILABLE)

    def report(self, batch, found, steps, **searched):
        step = self.step("train", batch, found)
        return Report("curve", "jax", found.name, found.compiler_devices, batch, step, None, **searched)


@given(
    state=st.floats(0, 12e9),
    example=st.floats(1e5, 2e9),
    power=st.sampled_from([0.9, 1.0, 1.1]),
    says=st.booleans(),
    start=st.integers(1, 4096),
    devices=st.sampled_from([1, 8]),
)
def test_the_largest_batch_that_fits_is_found_in_few_trials(state, example, power, says, start, devices):
    curve = Curve(state, example, power, says)
    found = types.SimpleNamespace(compiler_devices=devices, name="v5e")
    report = largest.search(curve, start * devices, found, ("train",))
    unit = largest.MULTIPLE if curve.used(largest.MULTIPLE) <= AVAILABLE else 1
    if curve.used(1) > AVAILABLE:
        assert not report.compiles and report.next_batch is None
        return
    assert report.compiles and report.batch % (unit * devices) == 0
    assert report.next_batch == report.batch + unit * devices
    assert curve.used(report.next_batch / devices) > AVAILABLE
    assert len(report.search) == len(set(report.search)) <= 24


FOUND = types.SimpleNamespace(compiler_devices=8, name="v5e-8")


def test_the_report_says_so_if_not_even_the_smallest_batch_fits():
    report = largest.search(Curve(2 * AVAILABLE, 1e5, 1.0, True), 128, FOUND, ("train",))
    assert not report.compiles and report.batch == 8
    said = str(report)
    assert "\n  no batch fits: even 8 is refused (tried 128 refused, " in said and "largest batch" not in said


def test_the_report_says_so_if_the_search_ended_at_another_error():
    class Broken(Curve):
        def step(self, name, batch, found):
            if batch < 1000:
                return super().step(name, batch, found)
            return Step(name, False, "INTERNAL", "a bug in the compiler", hbm_available=AVAILABLE)

    report = largest.search(Broken(1e9, 1e7, 1.0, True), 128, FOUND, ("train",))
    assert not report.compiles and report.train.error == "INTERNAL"
    said = str(report)
    assert f"\n  the search ended at {report.batch}: INTERNAL (tried 128 fits, {report.batch} refused)" in said
