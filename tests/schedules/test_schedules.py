"""Every schedule equals its reference at every step, keeps its bounds, and survives saving and compiling."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_cases import CASES, STEPS

from keras_dlopt import schedules

pytestmark = pytest.mark.both_backends

S = schedules


def compiled(schedule, jit=True):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(schedule)
    import tensorflow as tf

    return tf.function(schedule, jit_compile=jit)


def curve(schedule, steps):
    """The rates at these steps; asked for with others, because JAX compiles anew for every number of them."""
    steps = np.asarray(steps, "int32")
    padded = np.resize(steps, max(len(steps), 5010))
    return np.array(schedule(padded), "float64")[: len(steps)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_its_reference_at_every_step(case):
    expected = case.reference()
    assert len(expected) >= STEPS
    close = {"rtol": 0, "atol": 1e-6 * expected.max()}
    np.testing.assert_allclose(curve(case.schedule, range(len(expected))), expected, **close)
    in_graph = compiled(case.schedule)
    for t in (0, 1, 99, 499, STEPS - 1):  # and one by one, as the optimizer asks
        np.testing.assert_allclose(float(in_graph(keras.ops.convert_to_tensor(t))), expected[t], **close)
        np.testing.assert_allclose(float(case.schedule(keras.Variable(t, dtype="int32"))), expected[t], **close)


def test_every_schedule_has_a_reference():
    assert {type(case.schedule).__name__ for case in CASES} == set(schedules.TABLE)
    assert set(schedules.TABLE) <= set(schedules.__all__)


@pytest.mark.parametrize("name", schedules.TABLE)
@pytest.mark.parametrize("jit", [False, True] if keras.backend.backend() == "tensorflow" else [True])
def test_compiled_equals_eager(name, jit):
    schedule = schedules.TABLE[name].example.over(STEPS)
    steps = np.arange(0, STEPS + 10, 7, dtype="int32")
    largest = np.abs(curve(schedule, steps)).max()
    np.testing.assert_allclose(
        np.array(compiled(schedule, jit)(steps)), curve(schedule, steps), rtol=0, atol=1e-6 * largest
    )


# Runs of more steps than float32 counts: exact values, in double precision, at steps which it cannot tell apart.
LONG = 3 * 2**24
BEYOND = 2**25 + np.array([0, 1, 2, 3, 499, 500, 501, 999, 1000, 1001])
EXACT = {
    "Cyclical": (S.Cyclical(1.0, up=1000), lambda t: np.minimum(t % 2000, 2000 - t % 2000) / 1000),
    "CosineRestarts": (S.CosineRestarts(1.0, first=1000), lambda t: 0.5 + 0.5 * np.cos(np.pi * (t % 1000) / 1000)),
    "growing restarts": (
        S.CosineRestarts(1.0, LONG, first=2**10, growth=2.0),
        lambda t: 0.5 + 0.5 * np.cos(np.pi * (t + 1024 - 2**25) / 2**25),
    ),
    "StepDecay": (S.StepDecay(1.0, decay=0.5, every=2**24 + 250), lambda t: 0.5 ** (t // (2**24 + 250))),
    "PiecewiseConstant": (S.PiecewiseConstant([1.0, 0.5], [2**25 + 501]), lambda t: np.where(t < 2**25 + 501, 1, 0.5)),
    "Join": (
        S.Join([S.Constant(1.0), S.LinearDecay(1.0, 1000)], [2**25 + 1]),
        lambda t: 1 - np.clip((t - 2**25 - 1) / 1000, 0, 1),
    ),
    "Warmup": (
        S.Warmup(S.LinearDecay(1.0, 1000), None, 2**25 + 1, 1.0),
        lambda t: 1 - np.clip(t - 2**25 - 1, 0, 1000) / 1000,
    ),
    "WarmupStableDecay": (
        S.WarmupStableDecay(1.0, 2**25 + 1001, 10, 1000, "linear"),
        lambda t: 1 - np.clip(t - 2**25 - 1, 0, 1000) / 1000,
    ),
    "ExponentialDecay": (S.ExponentialDecay(1.0, decay=0.5, every=2**24), lambda t: 0.5 ** (t / 2**24)),
    "slow ExponentialDecay": (
        S.ExponentialDecay(1.0, decay=1 - 1e-8, every=1),
        lambda t: np.exp(t * math.log1p(-1e-8)),
    ),
    "CosineDecay": (S.CosineDecay(1.0, LONG), lambda t: 0.5 + 0.5 * np.cos(np.pi * t / LONG)),
    "InverseSquareRoot": (S.InverseSquareRoot(1.0, timescale=2**25), lambda t: 1 / np.sqrt(1 + t / 2**25)),
}


@pytest.mark.parametrize("schedule, exact", EXACT.values(), ids=EXACT)
def test_exact_beyond_what_float32_counts(schedule, exact):
    np.testing.assert_allclose(curve(schedule, BEYOND), exact(BEYOND.astype("float64")), rtol=0, atol=1e-6)
    one = compiled(schedule)(keras.ops.convert_to_tensor(int(BEYOND[6]), dtype="int32"))
    np.testing.assert_allclose(float(one), exact(float(BEYOND[6])), rtol=0, atol=1e-6)


@st.composite
def runs(draw):
    steps = draw(st.integers(1, 5000))
    lengths = st.floats(0.001, 0.999)
    if steps > 1:
        lengths |= st.integers(1, steps - 1)
    return steps, draw(lengths), draw(st.floats(1e-6, 10.0))


@given(runs(), st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_warmup_cosine_ends_joint_and_bounds(run, share):
    steps, warmup, peak = run
    schedule = schedules.WarmupCosine(peak, steps, warmup, floor=peak * share)
    rates = curve(schedule, range(steps + 3))
    top = schedule.in_steps(warmup)
    close = {"rtol": 0, "atol": 1e-6 * peak}
    np.testing.assert_allclose(rates[top], peak, **close)
    np.testing.assert_allclose(rates[steps:], peak * share, **close)
    assert rates.min() >= -1e-6 * peak and rates.max() <= peak * (1 + 1e-6)
    assert (np.diff(rates[: top + 1]) >= -1e-6 * peak).all()
    assert (np.diff(rates[top:]) <= 1e-6 * peak).all()
    if top:
        assert rates[0] == 0
        np.testing.assert_allclose(np.diff(rates[: top + 1]), peak / top, **close)


@given(runs(), st.floats(1, 100), st.floats(1, 1e5))
@settings(max_examples=30, deadline=None)
def test_one_cycle_ends_joint_and_bounds(run, div, final_div):
    steps, warmup, peak = run
    schedule = schedules.OneCycle(peak, steps, warmup, div, final_div)
    rates = curve(schedule, range(steps + 3))
    top = max(schedule.in_steps(warmup) - 1, 0)
    close = {"rtol": 0, "atol": 2e-6 * peak}
    if steps > 1:
        np.testing.assert_allclose(rates[top], peak, **close)
    if top:
        np.testing.assert_allclose(rates[0], peak / div, **close)
    np.testing.assert_allclose(rates[steps - 1 :], peak / div / final_div, **close)
    assert (np.diff(rates[: top + 1]) >= -1e-6 * peak).all()
    assert (np.diff(rates[top:]) <= 1e-6 * peak).all()
    assert rates.max() <= peak * (1 + 1e-6)


peaks = st.floats(1e-6, 10.0)
shares = st.floats(0, 1)
periods = st.floats(0.001, 0.999) | st.integers(1, 5000)
factors = st.floats(0.01, 1.0)
DECAYS = {
    "LinearDecay": lambda peak, steps, floor, draw: S.LinearDecay(peak, steps, floor),
    "CosineDecay": lambda peak, steps, floor, draw: S.CosineDecay(peak, steps, floor),
    "PolynomialDecay": lambda peak, steps, floor, draw: S.PolynomialDecay(peak, steps, draw(st.floats(0.1, 8)), floor),
    "REX": lambda peak, steps, floor, draw: S.REX(peak, steps, floor),
    "ExponentialDecay": lambda peak, steps, floor, draw: S.ExponentialDecay(
        peak, steps, draw(factors), draw(periods), floor
    ),
    "StepDecay": lambda peak, steps, floor, draw: S.StepDecay(peak, steps, draw(factors), draw(periods)),
    "InverseSquareRoot": lambda peak, steps, floor, draw: S.InverseSquareRoot(peak, steps, draw(periods)),
}
REACH_THE_FLOOR = ("LinearDecay", "CosineDecay", "PolynomialDecay", "REX")


@pytest.mark.parametrize("name", DECAYS)
@given(peak=peaks, steps=st.integers(1, 5000), share=shares, data=st.data())
@settings(max_examples=10, deadline=None)
def test_decays_fall_from_the_peak_to_the_floor(name, peak, steps, share, data):
    schedule = DECAYS[name](peak, steps, peak * share, data.draw)
    rates, close = curve(schedule, range(steps + 3)), 1e-6 * peak
    assert abs(rates[0] - peak) <= close
    assert (np.diff(rates) <= close).all() and rates.min() >= -close
    if name in REACH_THE_FLOOR:
        assert (abs(rates[steps:] - peak * share) <= close).all()


@given(run=runs(), start=st.floats(0.001, 1), shape=st.sampled_from(["linear", "cosine", "exponential"]))
@settings(max_examples=15, deadline=None)
def test_warmup_rises_to_the_schedule_and_then_is_the_schedule(run, start, shape):
    steps, warmup, peak = run
    after = S.CosineDecay(peak, floor=peak / 3)
    schedule = S.Warmup(after, steps, warmup, start, shape)
    top = schedule.in_steps(warmup)
    rates, close = curve(schedule, range(steps + 3)), 1e-6 * peak
    assert (np.diff(rates[: top + 1]) >= -close).all()
    assert abs(rates[top] - peak) <= close
    assert (abs(rates[top:] - curve(after.over(max(steps - top, 1)), range(steps + 3 - top))) <= close).all()
    if top:
        assert abs(rates[0] - start * peak) <= close
        np.testing.assert_allclose(rates[: top + 1], curve(S.Ramp(peak, top, start, shape), range(top + 1)), atol=close)


@given(run=runs(), decay=st.floats(0.001, 0.999), share=shares, shape=st.sampled_from(["1-sqrt", "linear", "cosine"]))
@settings(max_examples=15, deadline=None)
def test_warmup_stable_decay_is_level_between_its_ends(run, decay, share, shape):
    steps, warmup, peak = run
    try:
        schedule = S.WarmupStableDecay(peak, steps, warmup, decay, shape, peak * share)
    except ValueError as error:
        assert "no more than warmup" in str(error)
        return
    if steps == 1:  # no room for a cooldown
        assert float(schedule(0)) == pytest.approx(peak, rel=1e-6)
        return
    up, down = schedule.in_steps(warmup), min(schedule.in_steps(decay), steps - schedule.in_steps(warmup))
    rates, close = curve(schedule, range(steps + 3)), 1e-6 * peak
    assert (np.diff(rates[: up + 1]) >= -close).all()
    assert (abs(rates[up : steps - down + 1] - peak) <= close).all()
    assert (np.diff(rates[up:]) <= close).all()
    assert (abs(rates[steps:] - peak * share) <= close).all()


@given(peak=peaks, steps=st.integers(2, 5000), first=periods, growth=st.floats(1.1, 3), decay=factors, share=shares)
@settings(max_examples=15, deadline=None)
def test_restarts_begin_at_the_top_and_fall(peak, steps, first, growth, decay, share):
    schedule = S.CosineRestarts(peak, steps, first, growth, decay, peak * share)
    rates, close = curve(schedule, range(steps + 1)), 2e-6 * peak
    start, length, height = 0.0, float(schedule.period(first)), peak
    while start < steps:
        begun, end = math.ceil(start), min(math.ceil(start + length), steps + 1)
        if begun < end:
            if begun == start:
                assert abs(rates[begun] - height) <= close
            falls = np.diff(rates[begun:end]) * (1 if height >= peak * share else -1)
            assert (falls <= close).all()
        start, length, height = start + length, length * growth, height * decay


@given(peak=peaks, share=shares, up=st.integers(1, 300), down=st.integers(1, 300))
@settings(max_examples=15, deadline=None)
def test_cycles_repeat(peak, share, up, down):
    rates = curve(S.Cyclical(peak, None, peak * share, up, down), range(3 * (up + down)))
    close = 1e-6 * peak
    assert (abs(rates[: up + down] - rates[-up - down :]) <= close).all()
    assert abs(rates[0] - peak * share) <= close and abs(rates[up] - peak) <= close
    assert (np.diff(rates[: up + 1]) >= -close).all() and (np.diff(rates[up : up + down]) <= close).all()


@given(run=runs(), low=st.floats(0, 0.9))
@settings(max_examples=15, deadline=None)
def test_one_cycle_momentum_mirrors_the_rate(run, low):
    steps, warmup, _ = run
    momentum = curve(S.OneCycleMomentum(0.95, steps, low, warmup), range(steps + 3))
    rate = curve(S.OneCycle(1.0, steps, warmup), range(steps + 3))
    assert momentum.min() >= low - 1e-6 and momentum.max() <= 0.95 + 1e-6
    assert (np.diff(momentum) * np.diff(rate) <= 1e-9).all()
    if steps > 1:
        assert abs(momentum[max(S.OneCycle(1.0, steps, warmup).in_steps(warmup) - 1, 0)] - low) <= 1e-6


@given(steps=st.integers(4, 5000), data=st.data())
@settings(max_examples=15, deadline=None)
def test_join_is_each_part_from_its_boundary_on(steps, data):
    boundaries = sorted(data.draw(st.lists(st.integers(1, steps - 1), max_size=3, unique=True)))
    made = [S.CosineDecay(0.5), S.Ramp(0.4), S.OneCycle(0.3, 500), S.InverseSquareRoot(0.2)][: len(boundaries) + 1]
    rates = curve(S.Join(made, boundaries, steps), range(steps + 3))
    ends = [*boundaries, steps + 3]
    for part, start, end in zip(made, [0, *boundaries], ends, strict=True):
        own = part.over(min(end, steps) - start)
        np.testing.assert_allclose(rates[start:end], curve(own, range(end - start)), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", schedules.TABLE)
@given(steps=st.integers(1, 3000), data=st.data())
@settings(max_examples=5, deadline=None)
def test_shares_resume_and_bounds(name, steps, data):
    """Any length of the run serves the same shares; a step's rate does not depend on how it is asked."""
    try:
        schedule = schedules.TABLE[name].example.over(steps)
    except ValueError as error:  # boundaries that fall on the same step
        assert steps < 20 and "increasing" in str(error)
        return
    rates = curve(schedule, range(steps + 1))
    assert np.isfinite(rates).all() and rates.min() >= -1e-6
    t = data.draw(st.integers(0, steps))
    resumed = type(schedule).from_config(schedule.get_config())
    np.testing.assert_allclose(curve(resumed, range(t, steps + 1)), rates[t:], rtol=0, atol=1e-6 * rates.max())
    np.testing.assert_allclose(float(schedule(t)), rates[t], rtol=0, atol=1e-6 * rates.max())
    np.testing.assert_allclose(float(schedule(float(t))), rates[t], rtol=0, atol=1e-6 * rates.max())


KERAS_S = keras.optimizers.schedules.CosineDecay(0.1, 50)
NESTED = {
    **{name: row.example.over(100) for name, row in schedules.TABLE.items()},
    "of Keras's": S.Warmup(KERAS_S, 100, 10),
    "nested": S.Join([S.Multiply([S.Warmup(S.Cyclical(1.0)), S.StepDecay(0.1)]), S.Constant(0.1)], [0.4], 100),
}


@pytest.mark.parametrize("name", NESTED)
def test_config_round_trip(name):
    import json

    schedule = NESTED[name]
    plain = json.loads(json.dumps(keras.saving.serialize_keras_object(schedule)))
    assert plain["registered_name"] == f"keras_dlopt>{type(schedule).__name__}"
    loaded = keras.saving.deserialize_keras_object(plain)
    if name != "of Keras's":  # which knows no equality
        assert loaded == schedule and hash(loaded) == hash(schedule)
    assert loaded.get_config() == schedule.get_config()
    np.testing.assert_array_equal(curve(loaded, range(100)), curve(schedule, range(100)))


@pytest.mark.parametrize("name", ["WarmupCosine", "OneCycle", "nested"])
def test_a_saved_model_brings_its_schedule(name, tmp_path):
    schedule = NESTED[name]
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(schedule), "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), batch_size=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert loaded._learning_rate == schedule
    assert float(loaded.learning_rate) == float(schedule(4))


def test_over_fills_in_what_is_not_known():
    assert S.CosineDecay(0.1).over(50) == S.CosineDecay(0.1, 50)
    assert S.CosineDecay(0.1, 20).over(50) == S.CosineDecay(0.1, 20)
    assert np.isclose(float(S.Warmup(S.CosineDecay(0.1, 1000), 100, 10)(510)), 0.05)  # the part's own length stays


@pytest.mark.parametrize("name", [n for n, row in schedules.TABLE.items() if n not in ("Constant",)])
def test_a_length_that_is_missing_is_named(name):
    with pytest.raises(ValueError, match=r"`\w+\(steps=...\)` must be given: .*depends on the length of the run"):
        schedules.TABLE[name].example(3)


def test_plot(tmp_path):
    figure = S.Warmup(S.CosineDecay(0.1)).plot(200)
    (axes,) = figure.axes
    (line,) = axes.get_lines()
    x, y = line.get_data()
    np.testing.assert_allclose(y, curve(S.Warmup(S.CosineDecay(0.1), 200), x), rtol=0, atol=1e-7)
    assert (x[0], x[-1], len(x)) == (0, 199, 200)
    figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000
    with pytest.raises(ValueError, match=r"`CosineDecay\(steps=...\)` must be given"):
        S.CosineDecay(0.1).plot()


def test_numpy_arguments_become_plain_numbers():
    schedule = schedules.WarmupCosine(np.float32(0.5), np.int64(100), np.int32(10), np.float64(0.0))
    assert [type(value) for value in schedule.get_config().values()] == [float, int, int, float]
    assert schedule == schedules.WarmupCosine(0.5, 100, 10)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"peak": -1.0}, r"`WarmupCosine\(peak=...\)` must be a finite number > 0. Received: peak=-1.0"),
        ({"peak": float("nan")}, r"`WarmupCosine\(peak=...\)`"),
        ({"peak": "0.1"}, r"`WarmupCosine\(peak=...\)`"),
        ({"steps": 0}, r"`WarmupCosine\(steps=...\)` must be a whole number >= 1"),
        ({"steps": 10.0}, r"`WarmupCosine\(steps=...\)` must be a whole number >= 1"),
        ({"warmup": 0}, r"must be a share of the run in \(0, 1\), or a whole number of steps >= 1. Received"),
        ({"warmup": 1.0}, r"`WarmupCosine\(warmup=...\)`"),
        ({"warmup": 1.5}, r"`WarmupCosine\(warmup=...\)`"),
        ({"warmup": -0.1}, r"`WarmupCosine\(warmup=...\)`"),
        ({"warmup": True}, r"`WarmupCosine\(warmup=...\)`"),
        ({"warmup": 100}, r"`WarmupCosine\(warmup=...\)` must be less than the 100 steps of the run"),
        ({"floor": 0.2}, r"`WarmupCosine\(floor=...\)` must be at most peak=0.1. Received: floor=0.2"),
        ({"floor": -0.1}, r"`WarmupCosine\(floor=...\)`"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        schedules.WarmupCosine(**{"peak": 0.1, "steps": 100, **arguments})


@pytest.mark.parametrize("name", ["div", "final_div"])
@pytest.mark.parametrize("value", [0.5, float("inf"), None])
def test_bad_divisors_are_named(name, value):
    with pytest.raises(ValueError, match=rf"`OneCycle\({name}=...\)` must be a finite number >= 1"):
        schedules.OneCycle(0.1, 100, **{name: value})


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: S.LinearDecay(0.1, floor=0.2), r"`LinearDecay\(floor=...\)` must be at most peak=0.1"),
        (lambda: S.PolynomialDecay(0.1, power=0), r"`PolynomialDecay\(power=...\)` must be a finite number > 0"),
        (
            lambda: S.ExponentialDecay(0.1, decay=0),
            r"`ExponentialDecay\(decay=...\)` must be a finite number in \(0, 1\]",
        ),
        (lambda: S.StepDecay(0.1, every=1.5), r"`StepDecay\(every=...\)` must be a share of the run"),
        (lambda: S.PiecewiseConstant([], [1]), r"`PiecewiseConstant\(rates=...\)` must be a list of finite numbers"),
        (
            lambda: S.PiecewiseConstant([1.0, -1.0], [1]),
            r"`PiecewiseConstant\(rates=...\)` must be a finite number >= 0",
        ),
        (
            lambda: S.PiecewiseConstant([1.0, 0.1], [0.2, 0.3]),
            r"`PiecewiseConstant\(boundaries=...\)` must be 1 lengths",
        ),
        (lambda: S.PiecewiseConstant([1.0, 0.1, 0.0], [0.3, 0.2]), r"\(boundaries=...\)` must be increasing"),
        (lambda: S.PiecewiseConstant([1.0, 0.1, 0.0], [0.3, 20], 100), r"\(boundaries=...\)` must be increasing"),
        (lambda: S.PiecewiseConstant([1.0, 0.1], [100], 100), r"\(boundaries=...\)` must be less than the 100 steps"),
        (lambda: S.Cyclical(0.1, mode="square"), r"`Cyclical\(mode=...\)` must be one of 'triangular'"),
        (lambda: S.CosineRestarts(0.1, growth=0.5), r"`CosineRestarts\(growth=...\)` must be a finite number >= 1"),
        (
            lambda: S.WarmupStableDecay(0.1, warmup=0.5, decay=0.6),
            r"\(decay=...\)` must be no more than warmup=0.5 leaves",
        ),
        (lambda: S.WarmupStableDecay(0.1, 100, 60, 50), r"\(decay=...\)` must be no more than warmup=60 leaves"),
        (lambda: S.WarmupStableDecay(0.1, 100, 60, 0.5), r"\(decay=...\)` must be no more than warmup=60 leaves"),
        (lambda: S.WarmupStableDecay(0.1, shape="sqrt"), r"`WarmupStableDecay\(shape=...\)` must be one of '1-sqrt'"),
        (lambda: S.Noam(0), r"`Noam\(model_size=...\)` must be a whole number >= 1"),
        (lambda: S.Noam(512, 100, 4000), r"`Noam\(warmup=...\)` must be less than the 100 steps"),
        (lambda: S.OneCycleMomentum(0.8, low=0.9), r"`OneCycleMomentum\(low=...\)` must be at most high=0.8"),
        (lambda: S.OneCycleMomentum(1.5), r"`OneCycleMomentum\(high=...\)` must be a finite number in \[0, 1\]"),
        (lambda: S.Ramp(0.1, shape="exponential"), r"`Ramp\(start=...\)` must be above 0 with shape"),
        (lambda: S.Warmup(S.Constant(1.0), shape="exponential"), r"`Warmup\(start=...\)` must be above 0 with shape"),
        (lambda: S.Warmup(0.1), r"`Warmup\(schedule=...\)` must be a schedule. Received: schedule=0.1"),
        (
            lambda: S.Warmup(S.WarmupCosine(0.1, warmup=60), 100, 50),
            r"`WarmupCosine\(warmup=...\)` must be less than the 50",
        ),
        (lambda: S.Join([S.Constant(0.1), None], [5]), r"`Join\(schedules=...\)` must be a schedule"),
        (lambda: S.Join([S.Constant(0.1), S.Constant(0.1)], []), r"`Join\(boundaries=...\)`"),
        (lambda: S.Multiply([]), r"`Multiply\(schedules=...\)` must be a list of schedules"),
    ],
)
def test_bad_arguments_of_the_others_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
