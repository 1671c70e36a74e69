"""What the memory-saving rules keep, and which blocks and factors they see."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt import optimizers
from keras_dlopt.optimizers.memory.adam_mini import blocks_of
from keras_dlopt.optimizers.memory.projection import random_projection

pytestmark = pytest.mark.both_backends

rng = np.random.default_rng(5)


def state_bytes(optimizer, *shapes):
    """Bytes a parameter of what `optimizer` keeps for variables of these shapes."""
    weights = [keras.Variable(np.zeros(shape, "float32"), name=f"kernel{i}") for i, shape in enumerate(shapes)]
    common = len(optimizer.variables)
    optimizer.build(weights)
    arrays = [ops.convert_to_numpy(v) for v in optimizer.variables[common:]]
    return sum(a.nbytes for a in arrays) / sum(np.prod(shape) for shape in shapes)


def first_step(optimizer, gradient, path="kernel"):
    """How far the first step moves a variable of that path, which starts at 0."""
    with keras.name_scope("/".join(path.split("/")[:-1]) or "x"):
        weight = keras.Variable(np.zeros(gradient.shape, "float32"), name=path.split("/")[-1])
    optimizer.apply([ops.convert_to_tensor(gradient)], [weight])
    return -ops.convert_to_numpy(weight)


def test_adafactor_keeps_rows_and_columns_only():
    assert state_bytes(optimizers.Adafactor(), (4096, 4096)) == pytest.approx(4 * 2 / 4096)
    assert state_bytes(optimizers.Adafactor(), (4096, 4096)) <= 0.02
    assert state_bytes(optimizers.Adafactor(), (3, 3, 256, 256)) <= 0.04


def test_adafactor_takes_the_arguments_of_keras():
    ours, theirs = (
        {name: p.default for name, p in inspect.signature(cls).parameters.items()}
        for cls in (optimizers.Adafactor, keras.optimizers.Adafactor)
    )
    theirs.pop("kwargs", None)
    assert {name: ours[name] for name in theirs} == theirs
    assert list(ours)[:6] == list(theirs)[:6]  # those that are given by position


def test_adafactor_leaves_the_rate_alone_without_relative_step():
    """Where Keras's takes the smaller of it and 1 / sqrt(t) all the same."""
    for relative_step, moved in [(True, 1.0), (False, 4.0)]:
        optimizer = optimizers.Adafactor(4.0, relative_step=relative_step, epsilon_2=1.0)
        step = first_step(optimizer, np.ones((4, 5), "float32"))
        np.testing.assert_allclose(step, moved, rtol=1e-6)


def test_sm3_without_momentum_keeps_its_accumulators_only():
    assert state_bytes(optimizers.SM3(momentum=0.0), (256, 512)) == pytest.approx(4 * (1 / 256 + 1 / 512))


def model():
    inputs = layers.Input((5,), dtype="int32")
    x = layers.Embedding(11, 6)(inputs)
    x = layers.MultiHeadAttention(2, 3, value_dim=4, name="attention")(x, x)
    x = layers.LayerNormalization()(x)
    x = layers.Conv1D(7, 3)(x)
    return keras.Model(inputs, layers.Dense(2)(x))


def test_blocks_of_adam_mini_in_keras_layouts():
    """Kind of block and number of second moments of every variable of a small attention model."""
    optimizer, variables = optimizers.AdamMini(), model().trainable_variables
    optimizer.build(variables)
    store = {}
    optimizer.save_own_variables(store)
    seen = {
        "/".join(v.path.split("/")[-2:]): (blocks_of(v), np.asarray(store[f"v.{i}"]).size)
        for i, v in enumerate(variables)
    }
    attention = {k: seen.pop(k) for k in list(seen) if k.split("/")[0] in ("query", "key", "value", "attention_output")}
    assert attention == {
        "query/kernel": ("head", 2),
        "key/kernel": ("head", 2),
        "value/kernel": ("value neuron", 8),
        "attention_output/kernel": ("neuron", 6),
        "query/bias": ("element", 6),
        "key/bias": ("element", 6),
        "value/bias": ("element", 8),
        "attention_output/bias": ("element", 6),
    }
    assert sorted(seen.values()) == sorted(
        [("token", 11), ("variable", 1), ("element", 6), ("neuron", 7), ("element", 7), ("neuron", 2), ("element", 2)]
    )


BLOCKS = {
    "query/kernel": ((6, 2, 4), (0, 2)),
    "value/kernel": ((6, 2, 4), (0,)),
    "attention_output/kernel": ((2, 4, 6), (0, 1)),
    "conv/kernel": ((3, 3, 4, 8), (0, 1, 2)),
    "table/embeddings": ((9, 4), (1,)),
    "norm/gamma": ((7,), (0,)),
    "norm/beta": ((7,), ()),
}


@pytest.mark.parametrize("path", BLOCKS)
def test_adam_mini_divides_by_the_root_mean_square_of_the_block(path):
    """The first debiased step is the rate times the gradient over its root mean square in the block."""
    shape, inside = BLOCKS[path]
    gradient = rng.normal(size=shape).astype("float32")
    expected = 0.1 * gradient / np.sqrt(np.mean(gradient**2, axis=inside, keepdims=True))
    np.testing.assert_allclose(first_step(optimizers.AdamMini(0.1), gradient, path), expected, rtol=1e-5)


def matrices(*shapes):
    return [keras.Variable(np.zeros(shape, "float32"), name=f"kernel{i}") for i, shape in enumerate(shapes)]


def slots(optimizer, name):
    """The arrays of a slot, one a variable."""
    store = {}
    optimizer.save_own_variables(store)
    keys = sorted((key for key in store if key.startswith(f"{name}.")), key=lambda key: int(key.split(".")[1]))
    return [np.asarray(store[key]) for key in keys]


def steps(optimizer, weights, gradients):
    """How far each step moves the weights, divided by Adam's bias correction."""
    moves = []
    for t, grads in enumerate(gradients, 1):
        before = [ops.convert_to_numpy(w) for w in weights]
        optimizer.apply([ops.convert_to_tensor(g) for g in grads], weights)
        correction = np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        moves.append([(b - ops.convert_to_numpy(w)) / correction for b, w in zip(before, weights, strict=True)])
    return moves


def random_gradients(count, *shapes):
    return [[rng.normal(size=shape).astype("float32") for shape in shapes] for _ in range(count)]


def test_galore_and_apollo_keep_a_few_rows():
    n, whole = 4096, {"exclude_head": False}
    assert state_bytes(optimizers.GaLore(), (n, n)) == pytest.approx(3 * 128 * 4 / n)
    assert state_bytes(optimizers.GaLore(rank=8, **whole), (3, 512), (512, 3)) == pytest.approx(4 * (2 + 3 / 512))
    assert state_bytes(optimizers.APOLLO(), (n, n)) == pytest.approx(2 * 256 * 4 / n, rel=1e-5)
    assert state_bytes(optimizers.APOLLO(rank=8), (256, 512)) == pytest.approx(4 * (2 * 8 / 256 + 1 / (256 * 512)))
    assert state_bytes(optimizers.APOLLO(rank=1, scale_type="tensor"), (n, n)) <= 0.002


def test_galore_refreshes_its_projection_at_steps_1_4_7():
    """Orthonormal columns that span the leading singular vectors of that step's gradient, on the shorter side."""
    shapes = [(12, 5), (5, 12), (12, 5)]
    optimizer, weights = optimizers.GaLore(rank=2, update_proj_gap=3, exclude_head=False), matrices(*shapes)
    last = None
    for t, grads in enumerate(random_gradients(8, *shapes), 1):
        optimizer.apply(grads, weights)
        p = [one.reshape(-1, 2) for one in slots(optimizer, "p")]
        if t in (1, 4, 7):
            for one, g in zip(p, grads, strict=True):
                u, _, v = np.linalg.svd(np.asarray(g, "float64"))
                leading = v[:2].T if g.shape[0] >= g.shape[1] else u[:, :2]
                np.testing.assert_allclose(one.T @ one, np.eye(2), atol=1e-5)
                np.testing.assert_allclose(one @ one.T, leading @ leading.T, atol=1e-5)
        else:
            np.testing.assert_array_equal(p, last)
        last = p


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
def test_galore_finds_directions_of_gradients_of_any_size(scale):
    """Where squares in float32 would be 0 or infinite."""
    gradient = rng.normal(size=(9, 4)).astype("float32")
    optimizer = optimizers.GaLore(rank=2)
    optimizer.apply([gradient * np.float32(scale)], matrices((9, 4)))
    p, leading = slots(optimizer, "p")[0].reshape(4, 2), np.linalg.svd(gradient)[2][:2]
    np.testing.assert_allclose(p @ p.T, leading.T @ leading, atol=1e-5)


@pytest.mark.parametrize("tall", [True, False])
def test_galore_loses_nothing_of_gradients_of_its_rank(tall):
    """It does what Adam does in a full basis: the directions that are left out hold nothing."""
    left, right = rng.normal(size=(6, 20, 3)), rng.normal(size=(3, 7))
    gradients = left @ right
    basis = np.linalg.svd(gradients[0])[2].T  # (7, 7)
    m, v, w = np.zeros((20, 7)), np.zeros((20, 7)), np.zeros((20, 7))
    for t, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g @ basis, 0.999 * v + 0.001 * (g @ basis) ** 2
        w -= 0.1 * 0.25 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-6) @ basis.T
    gradients = [[g if tall else g.T] for g in gradients.astype("float32")]
    weights = matrices(gradients[0][0].shape)
    steps(optimizers.GaLore(0.1, rank=3), weights, gradients)
    got = ops.convert_to_numpy(weights[0])
    np.testing.assert_allclose(got if tall else got.T, w, atol=1e-5)


def test_galore_sees_each_head_and_each_of_a_stack_by_itself():
    gradients = rng.normal(size=(5, 8, 3, 4)).astype("float32")  # 5 steps, 3 heads of 8 x 4
    alone = matrices(*[(8, 4)] * 3)
    for weight, head in zip(alone, np.moveaxis(gradients, 2, 0), strict=True):
        steps(optimizers.GaLore(0.1, rank=2, update_proj_gap=2), [weight], head[:, None])
    with keras.name_scope("query"):
        heads = keras.Variable(np.zeros((8, 3, 4), "float32"), name="kernel")
    steps(optimizers.GaLore(0.1, rank=2, update_proj_gap=2, per_head=True), [heads], gradients[:, None])
    stack = matrices(*[(8, 4)] * 3)
    optimizer = optimizers.GaLore(0.1, rank=2, update_proj_gap=2, exclude_head=False)
    steps(optimizer, stack, np.moveaxis(gradients, 2, 1))
    for i, weight in enumerate(alone):
        expected = ops.convert_to_numpy(weight)
        np.testing.assert_allclose(ops.convert_to_numpy(heads)[:, i], expected, atol=1e-5)
        np.testing.assert_allclose(ops.convert_to_numpy(stack[i]), expected, atol=1e-5)


def test_random_projections_are_functions_of_seed_shape_and_step():
    def draw(shape=(2, 300, 40), seed=0, step=1.0):
        return ops.convert_to_numpy(random_projection(shape, "float32", seed, ops.convert_to_tensor(step)))

    p = draw()
    np.testing.assert_array_equal(p, draw())
    for other in (draw(seed=1), draw(step=201.0), draw((2, 300, 41))[..., :40]):
        assert abs(np.corrcoef(p.ravel(), other.ravel())[0, 1]) < 0.03
    assert p.mean() == pytest.approx(0.0, abs=0.004)
    assert p.std() == pytest.approx(40**-0.5, rel=0.02)
    values = np.sort(p.ravel()) * 40**0.5
    quantiles = [values[int(q * len(values))] for q in (0.025, 0.16, 0.5, 0.84, 0.975)]
    np.testing.assert_allclose(quantiles, [-1.96, -0.994, 0, 0.994, 1.96], atol=0.04)


def test_random_projections_are_the_same_when_xla_compiles_them():
    def draw(step):
        return random_projection((2, 30, 4), "float32", 0, step)

    step = ops.convert_to_tensor(7.0)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        compiled = tf.function(draw, jit_compile=True, autograph=False)
    else:
        import jax

        compiled = jax.jit(draw)
    np.testing.assert_allclose(ops.convert_to_numpy(compiled(step)), ops.convert_to_numpy(draw(step)), rtol=1e-5)


def test_apollo_draws_anew_at_steps_1_4_7():
    optimizer = optimizers.APOLLO(rank=2, update_proj_gap=3)
    drawn = [
        ops.convert_to_numpy(optimizer.projection((1, 5, 12), "float32", ops.convert_to_tensor(float(t))))
        for t in range(1, 9)
    ]
    assert drawn[0].shape == (1, 5, 2)
    same = [np.array_equal(a, b) for a, b in zip(drawn, drawn[1:], strict=False)]
    assert same == [True, True, False, True, True, False, True]


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (6, 6)])
@pytest.mark.parametrize("scale_type", ["channel", "tensor"])
def test_apollo_scales_the_whole_gradient(shape, scale_type):
    """A factor >= 0 for each place of the longer side, or one for the matrix."""
    optimizer = optimizers.APOLLO(0.1, rank=2, update_proj_gap=2, scale_type=scale_type)
    gradients = random_gradients(5, shape)
    for (move,), (g,) in zip(steps(optimizer, matrices(shape), gradients), gradients, strict=True):
        short = 1 if shape[0] >= shape[1] else 0
        factor = np.sum(move * g, axis=short, keepdims=True) / np.sum(g * g, axis=short, keepdims=True)
        assert (factor > 0).all() and (np.std(factor) > 0.01 * np.mean(factor)) == (scale_type == "channel")
        np.testing.assert_allclose(move, factor * g, atol=1e-5)


def test_apollo_limits_the_growth_of_a_step():
    """Gradients that grow a thousandfold: 1 % a step; they may shrink at once, and after 0 there is no limit."""
    gradients = random_gradients(30, (9, 4), (9, 4))
    for t, grads in enumerate(gradients):
        grads[0] *= 1000.0 if t >= 10 else 1.0
        grads[0][...] = 0 if t == 25 else grads[0]
    optimizer = optimizers.APOLLO(0.01, rank=2, exclude_head=False)
    moves = steps(optimizer, matrices((9, 4), (9, 4)), gradients)
    norms = np.array([[np.linalg.norm(move) for move in both] for both in moves])
    growth = norms[1:, 0][:24] / norms[:-1, 0][:24]
    assert (growth <= 1.01 + 1e-4).all() and growth.min() < 0.95
    np.testing.assert_allclose(growth[9:12], 1.01, rtol=1e-4)
    assert norms[25, 0] == 0 and norms[26, 0] > 0.1 * norms[24, 0]
    second = norms[1:, 1] / norms[:-1, 1]
    assert (second <= 1.01 + 1e-4).all()
    unlimited = optimizers.APOLLO(0.01, rank=2, growth_limit=None, exclude_head=False)
    free = [np.linalg.norm(both[0]) for both in steps(unlimited, matrices((9, 4), (9, 4)), gradients)]
    assert max(free[10:12]) > 2 * norms[11, 0]


@pytest.mark.parametrize("name", ["GaLore", "APOLLO"])
def test_a_first_step_that_is_skipped_costs_that_step_only(name):
    optimizer = optimizers.get(name, learning_rate=0.1, rank=2, skip_nonfinite=True)
    weights, gradients = matrices((9, 4)), random_gradients(2, (9, 4))
    gradients[0][0][3, 1] = np.nan
    moves = steps(optimizer, weights, gradients)
    assert (moves[0][0] == 0).all() and np.linalg.norm(moves[1][0]) > 0.01
