"""Wrappers follow their references, over Keras's optimizers and ours; what they keep is saved."""

import functools
import inspect

import keras
import numpy as np
import pytest
import references_wrappers as references
from keras import layers, ops
from trajectories import RUNNERS, START, run_compiled, run_mirrored, variables

from keras_dlopt import optimizers
from keras_dlopt.optimizers import (
    AdaptiveGradientClipping,
    Cautious,
    GradientCentralization,
    GradientNoise,
    Grokfast,
    Lookahead,
    Mechanic,
)
from keras_dlopt.optimizers.wrappers.layouts import input_axes

pytestmark = pytest.mark.both_backends

TENSORFLOW = keras.backend.backend() == "tensorflow"

INNER = {"keras": keras.optimizers.AdamW, "ours": optimizers.AdamW}
EXACT_EPSILON = {"epsilon": 1e-12}

DECAY = 0.1

# name -> wrapper, reference, the inner optimizer's other arguments
FOLLOWED = {
    "Lookahead": (lambda o: Lookahead(o, sync_period=5, slow_step=0.4), references.lookahead, EXACT_EPSILON),
    "Cautious": (Cautious, references.cautious, {}),
    "Grokfast": (lambda o: Grokfast(o, alpha=0.9, lamb=1.5), references.grokfast, {}),
    "GradientCentralization": (GradientCentralization, references.centralized, {}),
    "AdaptiveGradientClipping": (
        lambda o: AdaptiveGradientClipping(o, clipping=0.3),
        references.adaptive_clipping,
        {},
    ),
    "nested": (lambda o: Lookahead(Cautious(Grokfast(o))), references.nested, {}),
}


def make(name, inner="keras"):
    wrapper, _, arguments = FOLLOWED[name]
    return wrapper(INNER[inner](references.RATE, weight_decay=DECAY, **arguments))


@functools.cache
def reference(name):
    return FOLLOWED[name][1](DECAY)


def check(weights, name, execution, record_property):
    largest = max(np.abs(e).max() for e in reference(name))
    off = max(np.abs(w - e).max() for w, e in zip(weights, reference(name), strict=True)) / largest
    record_property("conformance", f"{name:24} {execution:16} {off:.1e}")
    assert off <= 1e-5


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("name", FOLLOWED)
def test_follows_its_reference(name, inner, record_property):
    check(run_compiled(make(name, inner)), name, inner, record_property)


@pytest.mark.skipif(not TENSORFLOW, reason="JAX's step is compiled by XLA in the tests above")
@pytest.mark.parametrize("inner", INNER)
def test_follows_it_under_xla(inner, record_property):
    check(RUNNERS["jit"](make("nested", inner)), "nested", f"jit {inner}", record_property)


@pytest.mark.skipif(not TENSORFLOW, reason="MirroredStrategy is TensorFlow's")
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("name", ["AdaptiveGradientClipping", "nested"])
def test_follows_it_on_two_replicas(name, inner, mirrored, record_property):
    check(run_mirrored(lambda: make(name, inner), mirrored), name, f"mirrored {inner}", record_property)


def test_every_wrapper_is_held_against_a_reference():
    elsewhere = {"GradientNoise", "SAM", "ASAM", "Mechanic"}  # below, and in files of their own
    here = {*FOLLOWED, *elsewhere} - {"nested"}
    assert here == set(optimizers.WRAPPERS) == {*optimizers.names("wrapper"), "Mechanic"}
    assert "Mechanic" in optimizers.names("learning-rate free")
    assert not here & set(optimizers.names())
    assert isinstance(optimizers.get("lookahead", optimizer=keras.optimizers.SGD(0.1)), Lookahead)


@pytest.mark.parametrize("name", optimizers.WRAPPERS)
def test_state_bytes_are_those_of_the_table(name):
    optimizer, weights = optimizers.get(name, optimizer=keras.optimizers.SGD(0.1)), variables()
    before = len(optimizer.variables)
    optimizer.build(weights)
    own, small = optimizer.variables[: len(optimizer.variables) - before], ("steps", "s", "r", "m", "v")
    state = sum(4 * np.prod(v.shape) for v in own if v.name not in small)
    assert state == optimizers.WRAPPERS[name].state_bytes * sum(w.size for w in START)


# Noise


def noisy(steps, **kwargs):
    weight = keras.Variable(np.zeros(20_000, "float32"), name="w")
    optimizer = GradientNoise(keras.optimizers.SGD(1.0), **kwargs)
    before, noise = np.zeros(20_000), []
    for _ in range(steps):
        optimizer.apply([ops.zeros(20_000)], [weight])
        after = ops.convert_to_numpy(weight)
        noise.append(before - after)
        before = after
    return noise


def test_noise_has_the_papers_variance():
    for t, noise in enumerate(noisy(4, eta=0.3, gamma=0.8, seed=2)):
        sigma = np.sqrt(0.3 / (1 + t) ** 0.8)
        assert abs(noise.mean()) < 4 * sigma / np.sqrt(noise.size)
        assert noise.std() == pytest.approx(sigma, rel=0.03)


def test_noise_follows_from_the_seed_and_differs_between_steps():
    first, again, other = noisy(2, seed=5), noisy(2, seed=5), noisy(2, seed=6)
    np.testing.assert_array_equal(first, again)
    for a, b in ((first[0], other[0]), (first[0], first[1])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.05
    keras.utils.set_random_seed(1)
    drawn = GradientNoise(keras.optimizers.SGD(0.1)).seed
    assert drawn != GradientNoise(keras.optimizers.SGD(0.1)).seed
    keras.utils.set_random_seed(1)
    assert GradientNoise(keras.optimizers.SGD(0.1)).seed == drawn


# What is special about some gradients and variables


def test_low_precision_weights_are_averaged_in_float32():
    weight = keras.Variable(np.ones(4), dtype="bfloat16", name="w")
    optimizer = Lookahead(Grokfast(optimizers.SGD(0.25)), sync_period=2)
    for _ in range(2):
        optimizer.apply([ops.ones(4, dtype="bfloat16")], [weight])
    # Gradients of 1 + 2: the fast weights reach -0.5, and go half of the way back to 1.
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.cast(weight, "float32")), np.full(4, 0.25))
    kinds = {keras.backend.standardize_dtype(v.dtype) for v in optimizer._slow + optimizer.inner_optimizer._average}
    assert kinds == {"float32"}


def test_around_an_optimizer_in_mid_training_it_starts_there():
    weight, inner = keras.Variable([8.0], name="w"), keras.optimizers.SGD(0.5)
    for _ in range(3):
        inner.apply([ops.convert_to_tensor(weight) * 1.0], [weight])  # 4, 2, 1
    optimizer = Lookahead(inner, sync_period=2)
    for _ in range(2):
        optimizer.apply([ops.convert_to_tensor(weight) * 1.0], [weight])  # 0.5, 0.25, half of the way back to 1
    np.testing.assert_allclose(ops.convert_to_numpy(weight), [0.625])


def test_output_units_of_keras_layouts():
    attention = layers.MultiHeadAttention(2, 3)
    attention.build((None, 5, 8), (None, 5, 8))
    axes = {v.path.split("/", 1)[1]: input_axes(v) for v in attention.weights}
    assert axes["query/kernel"] == axes["value/kernel"] == (0,)
    assert axes["attention_output/kernel"] == (0, 1)
    conv = layers.Conv2D(4, 3)
    conv.build((None, 8, 8, 2))
    assert [input_axes(v) for v in conv.weights] == [(0, 1, 2), ()]


def test_clipping_spares_what_is_excluded():
    kernel, top = (keras.Variable(np.ones((2, 2), "float32"), name=name) for name in ("kernel", "head"))
    optimizer = AdaptiveGradientClipping(keras.optimizers.SGD(1.0), exclude="head")
    optimizer.apply([ops.ones((2, 2))] * 2, [kernel, top])
    np.testing.assert_allclose(ops.convert_to_numpy(kernel), np.full((2, 2), 0.99), rtol=1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(top), np.zeros((2, 2)))


# Errors


@pytest.mark.parametrize("name", optimizers.WRAPPERS)
def test_what_cannot_be_wrapped_is_refused(name):
    wrapper = optimizers.WRAPPERS[name].optimizer
    inner = keras.optimizers.SGD(0.1)
    with pytest.raises(ValueError, match=rf"`{name}\(optimizer=...\)` must be one Keras optimizer"):
        wrapper("adam")
    with pytest.raises(ValueError, match=rf"LossScaleOptimizer\({name}"):
        wrapper(keras.optimizers.LossScaleOptimizer(inner))
    wrapper(inner)
    with pytest.raises(ValueError, match="no other wrapper"):
        wrapper(inner)
    with pytest.raises(TypeError, match="nonsense"):
        wrapper(keras.optimizers.SGD(0.1), nonsense=1)


@pytest.mark.parametrize(
    "inner", [keras.optimizers.Ftrl, keras.optimizers.ScheduleFreeAdamW, optimizers.ScheduleFreeSGD]
)
@pytest.mark.parametrize("wrapper", [Lookahead, Cautious, Mechanic])
def test_weights_that_follow_from_the_state_alone_are_not_moved(wrapper, inner):
    with pytest.raises(ValueError, match="computes them anew"):
        wrapper(Grokfast(inner(0.1)))


BAD = {
    "sync_period": (Lookahead, [0, 1.5, True, None, "6", float("nan")]),
    "slow_step": (Lookahead, [-0.1, 1.1, None, float("nan")]),
    "alpha": (Grokfast, [1.0, -0.5, None]),
    "lamb": (Grokfast, [-1.0, float("inf")]),
    "clipping": (AdaptiveGradientClipping, [0, -1.0, None]),
    "epsilon": (AdaptiveGradientClipping, [0.0, "a"]),
    "exclude": (AdaptiveGradientClipping, ["(", "", 3]),
    "eta": (GradientNoise, [-0.1, float("nan")]),
    "gamma": (GradientNoise, [-0.1, None]),
    "seed": (GradientNoise, [-1, 1.5, 2**31]),
    "s_decay": (Mechanic, [-0.1, None]),
    "s_init": (Mechanic, [0.0, float("inf")]),
    "num_betas": (Mechanic, [0, 8, 1.5]),
}


@pytest.mark.parametrize(("argument", "value"), [(a, v) for a, (_, values) in BAD.items() for v in values])
def test_bad_arguments_are_refused(argument, value):
    wrapper, _ = BAD[argument]
    with pytest.raises(ValueError, match=rf"`{wrapper.__name__}\({argument}=...\)`"):
        wrapper(keras.optimizers.SGD(0.1), **{argument: value})


def test_every_argument_is_in_that_list():
    declared = {
        name
        for row in optimizers.WRAPPERS.values()
        for name in inspect.signature(row.optimizer).parameters
        if name not in ("optimizer", "name", "rho")
    }
    assert declared == set(BAD)


def test_state_of_another_wrapper_is_refused():
    optimizer, weights = Lookahead(keras.optimizers.SGD(0.1)), variables()
    optimizer.build(weights)
    with pytest.raises(ValueError, match="not that of this `Lookahead`"):
        optimizer.load_own_variables({"0": np.zeros(())})
