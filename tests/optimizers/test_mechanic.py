"""Mechanic follows optax's, over optimizers of Keras's and ours, and finds learning rates by itself."""

import functools

import keras
import numpy as np
import optax
import optax.contrib
import pytest
from keras import ops
from references import decaying, keras_rate
from references_wrappers import mechanized
from trajectories import NOISE, RUNNERS, START, TARGET, gradient, run_compiled, run_mirrored

from keras_dlopt import optimizers
from keras_dlopt.optimizers import Grokfast, Lookahead, Mechanic

pytestmark = pytest.mark.both_backends

TENSORFLOW = keras.backend.backend() == "tensorflow"
INNER = {"keras": keras.optimizers, "ours": optimizers}
EXACT = {"epsilon": 1e-12}  # optax adds it after debiasing

# name -> the inner optimizer from one of the two modules, the same in optax
BASES = {
    "SGD": (lambda module: module.SGD(1.0), optax.sgd(1.0)),
    "decaying SGD": (
        lambda module: module.SGD(keras_rate("decaying"), momentum=0.9),
        optax.chain(optax.scale_by_learning_rate(decaying), optax.trace(0.9)),  # Keras's order of the two
    ),
    "Adam": (lambda module: module.Adam(1.0, **EXACT), optax.adam(1.0, eps=1e-12)),
    "decaying Adam": (
        lambda module: module.Adam(keras_rate("decaying"), **EXACT),
        optax.adam(decaying, eps=1e-12),
    ),
    "AdamW": (
        lambda module: module.AdamW(1.0, weight_decay=0.1, **EXACT),
        optax.adamw(1.0, weight_decay=0.1, eps=1e-12),
    ),
    "decaying AdamW": (
        lambda module: module.AdamW(keras_rate("decaying"), weight_decay=0.1, **EXACT),
        optax.adamw(decaying, weight_decay=0.1, eps=1e-12),
    ),
}
ARGUMENTS = {
    "defaults": {},
    "s_init": {"s_init": 0.01},
    "s_decay": {"s_init": 0.01, "s_decay": 0.1},
    "no decay": {"s_init": 1e-4, "s_decay": 0.0, "num_betas": 3},
}
# From a first rate of 1e-6 / 20 on, this trajectory is chaotic: a change of h by 1e-8 of itself, and so float32, moves
# the weights by 1e-3 in the end. The test in float64 below has such a one.
CASES = [(base, a) for base in BASES for a in ARGUMENTS if not (a == "defaults" and base.startswith("decaying"))]


def make(base, arguments, inner="keras"):
    return Mechanic(BASES[base][0](INNER[inner]), **ARGUMENTS[arguments])


@functools.cache
def reference(base, arguments):
    names = {"s_decay": "weight_decay"}
    return mechanized(BASES[base][1], **{names.get(k, k): v for k, v in ARGUMENTS[arguments].items()})


def distance(weights, expected):
    return max(np.abs(w - e).max() for w, e in zip(weights, expected, strict=True)) / max(
        np.abs(e).max() for e in expected
    )


def check(weights, base, arguments, execution, record_property):
    off = distance(weights, reference(base, arguments))
    record_property("conformance", f"{'Mechanic ' + base + ' ' + arguments:32} {execution:16} {off:.1e}")
    assert off <= 1e-5


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize(("base", "arguments"), CASES)
def test_follows_optax(base, arguments, inner, record_property):
    check(run_compiled(make(base, arguments, inner)), base, arguments, inner, record_property)


@pytest.mark.skipif(not TENSORFLOW, reason="the one execution of JAX is above")
@pytest.mark.parametrize("execution", ["eager", "jit"])
@pytest.mark.parametrize("inner", INNER)
def test_follows_it_on_every_execution(inner, execution, record_property):
    optimizer = make("AdamW", "s_decay", inner)
    check(RUNNERS[execution](optimizer), "AdamW", "s_decay", f"{execution} {inner}", record_property)


@pytest.mark.skipif(not TENSORFLOW, reason="MirroredStrategy is TensorFlow's")
@pytest.mark.parametrize("inner", INNER)
def test_follows_it_on_two_replicas(inner, mirrored, record_property):
    weights = run_mirrored(lambda: make("AdamW", "s_decay", inner), mirrored)
    check(weights, "AdamW", "s_decay", f"mirrored {inner}", record_property)


@pytest.mark.skipif(not TENSORFLOW, reason="JAX has float64 for the whole process or not at all")
@pytest.mark.parametrize("inner", INNER)
def test_follows_it_from_the_smallest_factors_in_float64(inner):
    weights = [keras.Variable(w, dtype="float64", name=f"w{i}") for i, w in enumerate(START)]
    optimizer = Mechanic(INNER[inner].SGD(1 / 64, momentum=0.875))
    for noise in NOISE:
        optimizer.apply(gradient([ops.convert_to_tensor(w) for w in weights], noise), weights)
    expected = mechanized(optax.chain(optax.scale_by_learning_rate(1 / 64), optax.trace(0.875)))
    assert distance([ops.convert_to_numpy(w) for w in weights], expected) <= 1e-5
    assert {v.dtype for v in optimizer._variables} == {"float64"}


@pytest.mark.parametrize("rate", [1e-3, 1.0, 1e3])
def test_the_rate_of_the_inner_optimizer_hardly_matters(rate):
    """200 steps at the defaults end near the target, from where they started."""

    def off(weights):
        return np.sqrt(sum(np.sum((w - t) ** 2) for w, t in zip(weights, TARGET, strict=True)))

    assert off(run_compiled(Mechanic(keras.optimizers.Adam(rate)))) < 0.35 * off(START)


def test_starts_from_the_weights_of_the_first_step():
    weight, optimizer = keras.Variable([5.0], name="w"), Mechanic(keras.optimizers.SGD(1.0), s_init=0.5)
    optimizer.build([weight])
    weight.assign([1.0])
    optimizer.apply([ops.ones(1)], [weight])
    np.testing.assert_allclose(ops.convert_to_numpy(weight), [0.5], rtol=1e-6)


def test_goes_on_from_where_somebody_else_moved_the_weights():
    ends = []
    for jump in (0.0, 10.0):
        weight = keras.Variable([1.0], name="w")
        optimizer = Mechanic(keras.optimizers.SGD(1.0), s_init=0.5, s_decay=0.0)
        for step in range(4):
            optimizer.apply([ops.ones(1)], [weight])
            if step == 1:
                weight.assign(ops.convert_to_tensor(weight) + jump)
        ends.append(float(ops.convert_to_numpy(weight)[0]) - jump)
    assert ends[0] < 0 and ends[1] == pytest.approx(ends[0], abs=1e-5)


def test_low_precision_weights_are_summed_in_float32():
    weight = keras.Variable(np.ones(4), dtype="bfloat16", name="w")
    optimizer = Mechanic(optimizers.SGD(1.0), s_init=0.25)
    optimizer.apply([ops.ones(4, dtype="bfloat16")], [weight])
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.cast(weight, "float32")), np.full(4, 0.75))
    np.testing.assert_array_equal(ops.convert_to_numpy(optimizer._delta[0]), np.ones(4))
    assert {keras.backend.standardize_dtype(v.dtype) for v in optimizer._variables} == {"float32"}


def test_lookahead_goes_around_it_and_not_into_it():
    with pytest.raises(ValueError, match="Lookahead goes around Mechanic"):
        Mechanic(Grokfast(Lookahead(keras.optimizers.SGD(1.0))))
    weights = run_compiled(Lookahead(Mechanic(keras.optimizers.Adam(1.0), s_init=0.01)))
    assert all(np.isfinite(w).all() for w in weights)
