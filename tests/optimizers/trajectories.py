"""The random problem of the conformance table, and every way of running an optimizer on it.

The gradient is a quadratic's plus fixed noise, so that it depends on the weights (a wrong order of operations shows)
and the noise keeps the steps large (a wrong constant shows).
"""

import keras
import numpy as np
from keras import ops

SHAPES = [(), (7,), (5, 3), (3, 3, 4, 8), (6, 2, 4)]
STEPS = 200

_rng = np.random.default_rng(7)
START = [_rng.normal(size=shape).astype("float32") for shape in SHAPES]
TARGET = [_rng.normal(size=shape).astype("float32") for shape in SHAPES]
NOISE = [[_rng.normal(size=shape).astype("float32") for shape in SHAPES] for _ in range(STEPS)]


def gradient(weights, noise):
    """Of 1/2 |w - target|^2, plus noise; for tensors of any library."""
    return [(w - target) + n for w, target, n in zip(weights, TARGET, noise, strict=True)]


def numpy_gradient(weights, step):
    return gradient(weights, NOISE[step])


def loss_at(weights, noise):
    """A loss of which `gradient` is the gradient, for rules that ask for it."""
    total = np.sum if isinstance(weights[0], np.ndarray | np.generic) else ops.sum
    return 0.5 * sum(total(g * g) for g in gradient(weights, noise))


def second_gradient(noise):
    """What rules of curvature get for a Hessian's diagonal: some of it negative."""
    return [n * n - 0.5 for n in noise]


def provide(optimizer, weights, noise, replicas=1):
    """Gives `optimizer` what its rule asks for besides the gradients; with several replicas, one's share of it."""
    wanted = {}
    if getattr(optimizer, "needs_loss", False):
        wanted["loss"] = loss_at(weights, noise) / replicas
    if "curvature" in getattr(optimizer, "rule_asks", ()):
        wanted["curvature"] = [c / replicas for c in second_gradient(noise)]
    if wanted:
        optimizer.provide(**wanted)


def variables():
    return [keras.Variable(w, name=f"w{i}") for i, w in enumerate(START)]


def _tensors(values):
    return [ops.convert_to_tensor(v) for v in values]


def _values(weights):
    return [ops.convert_to_numpy(w) for w in weights]


def run_eager(optimizer, steps=STEPS, weights=None):
    weights = weights or variables()
    for step in range(steps):
        values, noise = _tensors(weights), _tensors(NOISE[step])
        provide(optimizer, values, noise)
        optimizer.apply(gradient(values, noise), weights)
    return _values(weights)


def _run_tf_function(optimizer, steps, jit_compile):
    import tensorflow as tf

    weights = variables()
    optimizer.build(weights)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def step(noise):
        values = _tensors(weights)
        provide(optimizer, values, noise)
        optimizer.apply(gradient(values, noise), weights)

    for noise in NOISE[:steps]:
        step(_tensors(noise))
    return _values(weights)


def run_function(optimizer, steps=STEPS):
    return _run_tf_function(optimizer, steps, jit_compile=False)


def run_jit(optimizer, steps=STEPS):
    return _run_tf_function(optimizer, steps, jit_compile=True)


def run_mirrored(make, strategy):
    """Two replicas, each with half of every gradient; `make` is called in the strategy's scope."""
    import tensorflow as tf

    with strategy.scope():
        weights = variables()
        optimizer = make()
        optimizer.build(weights)

    def step(noise):
        values = _tensors(weights)
        provide(optimizer, values, noise, replicas=2)
        grads = gradient(values, noise)
        optimizer.apply([g / 2 for g in grads], weights)

    @tf.function(autograph=False)
    def run(noise):
        strategy.run(step, args=(noise,))

    for noise in NOISE:
        run(_tensors(noise))
    for weight in weights:
        copies = [c.numpy() for c in strategy.experimental_local_results(weight.value)]
        # Not to the bit: a power at the end of a thread's share is rounded otherwise (Ftrl).
        np.testing.assert_allclose(copies[0], copies[1], rtol=0, atol=1e-6)
    return _values(weights)


def run_stateless(optimizer, steps=STEPS):
    """JAX's path: `stateless_apply` inside `jax.jit`."""
    import jax

    weights = variables()
    optimizer.build(weights)

    @jax.jit
    def step(weights, state, noise):
        provide(optimizer, weights, noise)
        return optimizer.stateless_apply(state, gradient(weights, noise), weights)

    values, state = _tensors(weights), [v.value for v in optimizer.variables]
    for noise in NOISE[:steps]:
        values, state = step(values, state, noise)
    return _values(values)


RUNNERS = {
    "tensorflow": {"eager": run_eager, "function": run_function, "jit": run_jit},
    "jax": {"stateless": run_stateless},
}[keras.backend.backend()]

# What `model.fit` would do, without a strategy.
run_compiled = RUNNERS["function" if "function" in RUNNERS else "stateless"]
