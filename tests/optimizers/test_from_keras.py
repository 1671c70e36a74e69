"""Training that a Keras optimizer began goes on under ours as it would have."""

import keras
import numpy as np
import pytest
from cases_drop_in import FTRL
from fitting import JIT, X, Y, fit
from keras import ops
from references import Decaying
from trajectories import NOISE, gradient, variables

from keras_dlopt import optimizers
from keras_dlopt.optimizers import from_keras

BEFORE, AFTER = 102, 60
TF = keras.backend.backend() == "tensorflow"

# Float32 holds these. Keras rounds its betas to it even in float64: 1 - 0.999**t is then off by 1e-5 of its value.
BETAS = {"beta_1": 0.875, "beta_2": 1 - 2**-10}

RULES = {
    "SGD": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.875}),
    "nesterov": ("SGD", {"momentum": 0.875, "nesterov": True}),
    "RMSprop": ("RMSprop", {}),
    "centered": ("RMSprop", {"momentum": 0.9, "centered": True, "epsilon": 1e-3}),
    "Adam": ("Adam", BETAS),
    "amsgrad": ("Adam", {"amsgrad": True, **BETAS}),
    "AdamW": ("AdamW", BETAS),
    "Adamax": ("Adamax", BETAS),
    "Nadam": ("Nadam", BETAS),
    "Adagrad": ("Adagrad", {}),
    "Adadelta": ("Adadelta", {"epsilon": 1e-2}),
    "Ftrl": ("Ftrl", {}),
    "Ftrl-all": ("Ftrl", FTRL),
    "Lion": ("Lion", {}),
    "Lamb": ("Lamb", BETAS),
    "Adafactor": ("Adafactor", {"learning_rate": 0.5}),
    "Adafactor-fixed": ("Adafactor", {"learning_rate": 0.5, "relative_step": False}),
}

COMMON = {
    "plain": {},
    "schedule": {"learning_rate": Decaying(), "weight_decay": 0.1},
    "accumulating": {"gradient_accumulation_steps": 4, "clipnorm": 1.0},
    "averaging": {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 10, "global_clipnorm": 2.0},
    "scaled": {"loss_scale_factor": 4.0, "clipvalue": 0.5},
}


def make(rule, common="plain"):
    name, arguments = RULES[rule]
    return getattr(keras.optimizers, name)(**{"learning_rate": 0.02, **arguments, **COMMON[common]})


def train(optimizer, weights, start, stop, strategy=None):
    """Steps `start` to `stop` of the random problem, compiled."""
    if not optimizer.built:
        optimizer.build(weights)
    noise = NOISE[start:stop]
    if not TF:
        import jax

        step = jax.jit(lambda w, s, n: optimizer.stateless_apply(s, gradient(w, n), w))
        values, state = [w.value for w in weights], [v.value for v in optimizer.variables]
        for n in noise:
            values, state = step(values, state, [ops.convert_to_tensor(x) for x in n])
        for variable, value in zip([*weights, *optimizer.variables], [*values, *state], strict=True):
            variable.assign(value)
        return

    import tensorflow as tf

    share = 1 if strategy is None else 2

    def apply(n):
        grads = gradient([tf.convert_to_tensor(w) for w in weights], [tf.cast(x, weights[0].dtype) for x in n])
        optimizer.apply([g / share for g in grads], weights)

    @tf.function(autograph=False)
    def step(n):
        apply(n) if strategy is None else strategy.run(apply, args=(n,))

    for n in noise:
        step([tf.convert_to_tensor(x) for x in n])


def values(variables):
    return [ops.convert_to_numpy(v) for v in variables]


def check(weights, expected, tolerance=1e-6):
    """Whether they differ by no more than `tolerance` of the largest weight."""
    largest = max(np.abs(e).max() for e in expected)
    for w, e in zip(weights, expected, strict=True):
        np.testing.assert_allclose(w, e, atol=tolerance * largest)


# What does not concern the rule is tried with a few: with a slot, with a scalar, and with weights that follow from it.
SETTINGS = [(rule, common) for rule in RULES for common in ("plain", "schedule")]
SETTINGS += [
    (rule, common) for rule in ("momentum", "Nadam", "Ftrl") for common in COMMON if (rule, common) not in SETTINGS
]


@pytest.mark.parametrize(("rule", "common"), SETTINGS)
def test_weights_go_on_as_under_keras(rule, common):
    theirs, weights = make(rule, common), variables()
    train(theirs, weights, 0, BEFORE)
    half, state = values(weights), values(theirs.variables)
    ours = from_keras(theirs)
    assert type(ours) is optimizers.TABLE[RULES[rule][0]].optimizer and ours.name == theirs.name
    for old, now in zip([*half, *state], values([*weights, *theirs.variables]), strict=True):
        np.testing.assert_array_equal(now, old)
    expected = go_on(theirs, weights, half)
    check(go_on(ours, weights, half), expected)
    assert int(ours._iterations) == BEFORE + AFTER
    if ours.use_ema:
        averages = values(ours._model_variables_moving_average)
        check(averages, values(theirs._model_variables_moving_average))


@pytest.mark.skipif(not TF, reason="JAX computes in float32")
@pytest.mark.parametrize("rule", RULES)
def test_in_float64_the_numbers_are_the_same(rule):
    theirs, weights = make(rule), [keras.Variable(w, dtype="float64") for w in values(variables())]
    train(theirs, weights, 0, 10)
    half, ours = values(weights), from_keras(theirs)
    expected = go_on(theirs, weights, half)
    check(go_on(ours, weights, half), expected, 1e-8)


def go_on(optimizer, weights, values_at_half):
    """The weights after the second part of the training, from those given."""
    for weight, value in zip(weights, values_at_half, strict=True):
        weight.assign(value)
    train(optimizer, weights, BEFORE, BEFORE + AFTER)
    return values(weights)


@pytest.mark.skipif(not TF, reason="MirroredStrategy is TensorFlow's")
@pytest.mark.parametrize("rule", RULES)
def test_on_two_replicas_too(rule, mirrored):
    alone, weights = make(rule, "schedule"), variables()
    train(alone, weights, 0, BEFORE + AFTER)
    expected = values(weights)
    with mirrored.scope():
        weights, theirs = variables(), make(rule, "schedule")
        theirs.build(weights)
    train(theirs, weights, 0, BEFORE, mirrored)
    ours = from_keras(theirs)  # outside of the scope
    train(ours, weights, BEFORE, BEFORE + AFTER, mirrored)
    for weight in weights:
        copies = [c.numpy() for c in mirrored.experimental_local_results(weight.value)]
        np.testing.assert_allclose(*copies, atol=1e-7)  # Keras's power differs between threads
    check(values(weights), expected)


@pytest.mark.both_backends
def test_a_compiled_model_trains_on():
    without, _ = fit(keras.optimizers.Adam(0.01), epochs=4)
    model, _ = fit(keras.optimizers.Adam(0.01), epochs=2)
    fit(from_keras(model.optimizer), epochs=2, model=model)
    assert type(model.optimizer) is optimizers.Adam and int(model.optimizer.iterations) == 32
    check(model.get_weights(), without.get_weights(), 5e-6)


def test_the_learning_rate_is_the_current_one_and_a_schedule_is_shared():
    theirs, weights = keras.optimizers.Adam(0.01), variables()
    theirs.build(weights)
    theirs.learning_rate = 0.125
    ours = from_keras(theirs)
    ours.learning_rate = 0.5
    assert float(theirs.learning_rate) == 0.125
    assert float(from_keras(theirs).learning_rate) == 0.125
    schedule = Decaying()
    assert from_keras(keras.optimizers.Adam(schedule))._learning_rate is schedule


def test_what_is_excluded_from_weight_decay_stays_so():
    theirs, weights = keras.optimizers.AdamW(0.5, weight_decay=0.1), variables()
    theirs.exclude_from_weight_decay(var_list=[weights[0]], var_names=["w1"])
    ours = from_keras(theirs)  # not built yet
    assert not ours.built
    for optimizer in (theirs, ours):
        optimizer.build(weights)
    for optimizer in (ours, from_keras(theirs)):
        rows = optimizer.describe(None).rows
        assert [row.weight_decay for row in rows] == [0.0, 0.0, 0.1, 0.1, 0.1]


def test_state_of_low_precision_becomes_float32():
    weights = [keras.Variable(np.ones((3, 2), "float32"), dtype="bfloat16")]
    theirs = keras.optimizers.Adam(0.01)
    theirs.apply([ops.full((3, 2), 0.3, "bfloat16")], weights)
    ours = from_keras(theirs)
    store = {}
    ours.save_own_variables(store)
    assert store["m.0"].dtype == "float32"
    np.testing.assert_array_equal(store["m.0"], np.asarray(values(theirs._momentums)[0], "float32"))
    ours.apply([ops.full((3, 2), 0.3, "bfloat16")], weights)


@pytest.mark.both_backends
def test_a_dynamic_loss_scale_is_taken_over():
    def make():
        return keras.optimizers.LossScaleOptimizer(
            keras.optimizers.Adam(0.02), initial_scale=8.0, dynamic_growth_steps=5
        )

    without, _ = fit(make(), epochs=3)
    model, _ = fit(make(), epochs=1)
    theirs = model.optimizer
    ours = from_keras(theirs)
    assert type(ours.inner_optimizer) is optimizers.Adam
    assert (ours.initial_scale, ours.dynamic_growth_steps) == (8.0, 5)
    assert float(ours.dynamic_scale) == float(theirs.dynamic_scale) > 8
    assert int(ours.step_counter) == int(theirs.step_counter) > 0
    fit(ours, epochs=2, model=model)
    check(model.get_weights(), without.get_weights(), 5e-6)
    assert float(model.optimizer.dynamic_scale) == float(without.optimizer.dynamic_scale)


class Mine(keras.optimizers.Adam):
    pass


@pytest.mark.parametrize("optimizer", [Mine(), optimizers.Adam(), "adam", keras.optimizers.Optimizer(0.1)])
def test_what_is_no_optimizer_of_keras_is_refused(optimizer):
    with pytest.raises(ValueError, match=r"from_keras\(optimizer=...\)` must be one of Keras's SGD, RMSprop"):
        from_keras(optimizer)


def test_in_place_of_several_optimizers_groups_are_proposed():
    several = keras.optimizers.MultiOptimizer(lambda v: keras.optimizers.Adam())
    with pytest.raises(ValueError, match="`groups`"):
        from_keras(several)


# Schedule-Free


def schedule_free(weights, state, first, last, rate=0.05, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """The paper's equations with equal weights in float64, from (y, z, v): the y that they lead to."""
    y, z, v = weights, *state
    for t in range(first, last):
        x = [(a - (1 - beta_1) * b) / beta_1 for a, b in zip(y, z, strict=True)]
        g = gradient(y, NOISE[t])
        v = [beta_2 * a + (1 - beta_2) * b**2 for a, b in zip(v, g, strict=True)]
        steps = [a / (np.sqrt(b / (1 - beta_2 ** (t + 1))) + epsilon) for a, b in zip(g, v, strict=True)]
        z = [a - rate * step for a, step in zip(z, steps, strict=True)]
        x = [a + (b - a) / (t + 1) for a, b in zip(x, z, strict=True)]
        y = [(1 - beta_1) * a + beta_1 * b for a, b in zip(z, x, strict=True)]
    return y


@pytest.mark.both_backends
def test_schedule_free_goes_on_from_their_y_z_and_v():
    theirs, weights = keras.optimizers.ScheduleFreeAdamW(0.05), variables()
    train(theirs, weights, 0, BEFORE)
    state = [[np.asarray(v, "float64") for v in values(slot)] for slot in (theirs._momentums, theirs._velocities)]
    expected = schedule_free([np.asarray(w, "float64") for w in values(weights)], state, BEFORE, BEFORE + AFTER)
    train(from_keras(theirs), weights, BEFORE, BEFORE + AFTER)
    check(values(weights), expected, 1e-5)


@pytest.mark.both_backends
def test_a_model_compiled_with_schedule_free_holds_the_average():
    model, _ = fit(keras.optimizers.ScheduleFreeAdamW(0.01), epochs=1)
    y, theirs = model.get_weights(), model.optimizer
    model.compile(from_keras(theirs), model.loss, jit_compile=JIT)
    z = values(theirs._momentums)
    x = [(a - 0.1 * b) / 0.9 for a, b in zip(y, z, strict=True)]
    check(model.get_weights(), x)
    model.compile(model.optimizer, model.loss, jit_compile=JIT)  # once, not at every compilation
    check(model.get_weights(), x)
    before = model.evaluate(X, Y, verbose=0)
    model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    assert model.evaluate(X, Y, verbose=0) < before


# Muon


@pytest.mark.skipif("Muon" not in optimizers.TABLE, reason="Muon is not in the table")
def test_muon_keeps_the_momentum_of_kernels_and_adamw_of_the_rest():
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.layers.Input((10,)), *(keras.layers.Dense(8, name=n) for n in ("a", "b")), keras.layers.Dense(4)]
    )
    fit(keras.optimizers.Muon(0.01), epochs=1, model=model)
    theirs = model.optimizer
    ours = from_keras(theirs)
    store = {}
    ours.save_own_variables(store)
    kernel, bias, head = 0, 1, 4
    np.testing.assert_allclose(store[f"m.{kernel}"][0], 0.05 * values(theirs.momentums)[kernel], rtol=1e-5)
    assert f"v.{kernel}" not in store
    np.testing.assert_array_equal(store[f"m.{bias}"], values(theirs.momentums)[bias])
    np.testing.assert_array_equal(store[f"v.{bias}"], values(theirs.adam_velocities[1:2])[0])
    mean = 0.05 * values(theirs.momentums)[head]
    np.testing.assert_allclose(store[f"m.{head}"], mean, rtol=1e-5)
    np.testing.assert_allclose(store[f"v.{head}"], np.mean(mean**2) * 39, rtol=1e-4)
    before = model.evaluate(X, Y, verbose=0)
    fit(ours, epochs=2, model=model)
    assert model.evaluate(X, Y, verbose=0) < before
