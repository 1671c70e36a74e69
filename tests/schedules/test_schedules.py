"""Every schedule equals its reference at every step, keeps its bounds, and survives saving and compiling."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_dlopt import schedules

pytestmark = pytest.mark.both_backends

STEPS = 1000


def optax_warmup_cosine(peak, steps, warmup, floor=0.0):
    import optax

    warmup = round(warmup * steps) if warmup < 1 else warmup
    schedule = optax.warmup_cosine_decay_schedule(0.0, peak, warmup, steps, floor)
    return [float(schedule(t)) for t in range(steps + 1)]


def torch_one_cycle(peak, steps, warmup, div=25.0, final_div=1e4):
    import torch

    share = warmup if warmup < 1 else warmup / steps
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peak, steps, pct_start=share, div_factor=div, final_div_factor=final_div, cycle_momentum=False
    )
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < steps:
            scheduler.step()
    return rates


REFERENCES = [
    (schedules.WarmupCosine, optax_warmup_cosine, {"peak": 3e-4, "warmup": 0.05}),
    (schedules.WarmupCosine, optax_warmup_cosine, {"peak": 2.0, "warmup": 137, "floor": 0.25}),
    (schedules.WarmupCosine, optax_warmup_cosine, {"peak": 1e-2, "warmup": 1}),
    (schedules.OneCycle, torch_one_cycle, {"peak": 0.4, "warmup": 0.3}),
    (schedules.OneCycle, torch_one_cycle, {"peak": 5e-4, "warmup": 100, "div": 10.0, "final_div": 100.0}),
]


@pytest.mark.parametrize("schedule, reference, arguments", REFERENCES)
def test_equals_its_reference_at_every_step(schedule, reference, arguments):
    expected = np.array(reference(steps=STEPS, **arguments))
    mine = schedule(steps=STEPS, **arguments)
    steps = np.arange(len(expected))
    np.testing.assert_allclose(np.array(mine(steps)), expected, rtol=0, atol=1e-6 * arguments["peak"])
    for t in (0, 1, 499, STEPS - 1):  # and one by one, as the optimizer asks
        one = float(mine(keras.Variable(t, dtype="int32")))
        np.testing.assert_allclose(one, expected[t], rtol=0, atol=1e-6 * arguments["peak"])


@pytest.mark.parametrize("schedule", [schedules.WarmupCosine, schedules.OneCycle])
def test_compiled_equals_eager(schedule):
    mine = schedule(0.1, STEPS)
    steps = np.arange(0, STEPS + 10, 7, dtype="int32")
    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(mine)
    else:
        import tensorflow as tf

        compiled = tf.function(mine, jit_compile=True)
    np.testing.assert_allclose(np.array(compiled(steps)), np.array(mine(steps)), rtol=0, atol=1e-7)


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
    rates = np.array(schedule(np.arange(steps + 3)))
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
    rates = np.array(schedule(np.arange(steps + 3)))
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


@pytest.mark.parametrize(
    "schedule",
    [schedules.WarmupCosine(0.1, 100, warmup=7, floor=0.01), schedules.OneCycle(0.1, 100, 0.25, div=5.0)],
)
def test_config_round_trip(schedule, tmp_path):
    assert type(schedule).from_config(schedule.get_config()) == schedule
    plain = keras.saving.serialize_keras_object(schedule)
    assert plain["registered_name"] == f"keras_dlopt>{type(schedule).__name__}"
    assert keras.saving.deserialize_keras_object(plain) == schedule
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(schedule), "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), batch_size=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert loaded._learning_rate == schedule
    assert float(loaded.learning_rate) == float(schedule(4))


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
