"""Low-precision slots: error bounds, exact cases, no stalling averages, and the literature's 8-bit map beside ours."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

from keras_dlopt.optimizers.executor.codecs import BLOCK, Bfloat16, Blockwise8Bit

pytestmark = pytest.mark.both_backends

SIZE = 2 * BLOCK + 88  # the last block is not full
SIGNED, UNSIGNED, HALF = Blockwise8Bit(signed=True), Blockwise8Bit(signed=False), Bfloat16()
CODECS = {"signed": SIGNED, "unsigned": UNSIGNED, "bfloat16": HALF}
every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)

NORMAL_RANGE = st.floats(2.0**-126, 2.0**126, width=32, allow_subnormal=False)  # no denormals: XLA takes them for zeros
MAGNITUDES = arrays("float32", SIZE, elements=NORMAL_RANGE | st.just(0.0), fill=st.just(0.0))
SIGNS = arrays("float32", SIZE, elements=st.sampled_from([1.0, -1.0]), fill=st.just(1.0))
STEPS = st.integers(0, 10**6)
few = settings(max_examples=40, deadline=None, derandomize=True)


def encode(codec, x, step):
    return {k: ops.convert_to_numpy(v) for k, v in codec.encode(ops.convert_to_tensor(x), step).items()}


def decode(codec, stored):
    return ops.convert_to_numpy(codec.decode({k: ops.convert_to_tensor(v) for k, v in stored.items()}))


def round_trip(codec, x, step=1):
    return decode(codec, encode(codec, x, step))


def signed_for(codec, magnitudes, signs):
    return magnitudes if codec is UNSIGNED else magnitudes * signs


def in_blocks(x):
    return np.pad(x, (0, -x.size % BLOCK)).reshape(-1, BLOCK)


@every_codec
@given(MAGNITUDES, SIGNS, STEPS)
@few
def test_what_was_decoded_is_kept_exactly_at_every_step(codec, magnitudes, signs, step):
    once = round_trip(codec, signed_for(codec, magnitudes, signs), step)
    np.testing.assert_array_equal(round_trip(codec, once, step + 7), once)


@every_codec
@given(MAGNITUDES, SIGNS, STEPS)
@few
def test_signs_and_zeros_are_kept(codec, magnitudes, signs, step):
    x = signed_for(codec, magnitudes, signs)
    decoded = round_trip(codec, x, step)
    assert np.all((decoded == 0) | (np.sign(decoded) == np.sign(x)))
    assert np.all(decoded[x == 0] == 0)


@pytest.mark.parametrize(("codec", "bound"), [(SIGNED, 1 - (126 / 127) ** 3), (UNSIGNED, 1 - (254 / 255) ** 4)])
@given(MAGNITUDES, SIGNS, STEPS)
@few
def test_error_is_below_the_widest_step_and_the_largest_is_exact(codec, bound, magnitudes, signs, step):
    x = in_blocks(signed_for(codec, magnitudes, signs)).astype("float64")
    decoded = round_trip(codec, x.astype("float32").ravel(), step).reshape(x.shape)
    largest = np.abs(x).max(axis=1, keepdims=True)
    assert np.all(np.abs(decoded - x) <= bound * 1.0001 * largest)
    at_largest = np.abs(x) == largest
    np.testing.assert_array_equal(decoded[at_largest], x[at_largest])


@given(MAGNITUDES, SIGNS, STEPS)
@few
def test_bfloat16_error_is_below_one_of_its_steps(magnitudes, signs, step):
    x = magnitudes * signs
    assert np.all(np.abs(round_trip(HALF, x, step) - x) < 2.0**-7 * np.abs(x) + (x == 0))


@given(
    arrays("float32", SIZE, elements=st.floats(2.0**-62, 2.0**62, width=32) | st.just(0.0), fill=st.just(0.0)), STEPS
)
@few
def test_what_is_divided_by_is_never_stored_as_zero(magnitudes, step):
    codes = encode(UNSIGNED, magnitudes, step)["codes"]
    np.testing.assert_array_equal(codes > 0, magnitudes > 0)


@every_codec
def test_blocks_of_zeros_and_below_the_normal_range(codec):
    assert not round_trip(codec, np.zeros(SIZE, "float32")).any()
    assert np.abs(round_trip(codec, np.full(SIZE, 1e-40, "float32"))).max() <= 1.2e-38


@pytest.mark.parametrize("odd", [np.nan, np.inf])
@every_codec
def test_what_is_not_finite_shows(codec, odd):
    x = np.linspace(0.1, 1, SIZE, dtype="float32")
    x[300] = odd
    decoded = round_trip(codec, x)
    if codec is HALF:
        np.testing.assert_equal(decoded[300], np.float32(odd))
        assert np.isfinite(np.delete(decoded, 300)).all()
    else:
        assert np.isnan(decoded[BLOCK : 2 * BLOCK]).all()
        assert np.isfinite(decoded[:BLOCK]).all() and np.isfinite(decoded[2 * BLOCK :]).all()


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 3, 4, 8), (512, 3)])
@every_codec
def test_every_shape_and_what_it_takes(codec, shape):
    x = np.random.default_rng(0).chisquare(1, shape).astype("float32")
    stored = encode(codec, x, 1)
    assert {k: (v.shape, keras.backend.standardize_dtype(v.dtype)) for k, v in stored.items()} == codec.variables(shape)
    np.testing.assert_allclose(decode(codec, stored), x, atol=0.025 * max(x.max(), 0))


@pytest.mark.parametrize("signed", [True, False])
def test_no_block_holds_elements_of_two_matrices(signed):
    """A stack is encoded matrix by matrix, as each would be alone but for the dither; all of one value comes back."""
    stack = np.arange(1, 4, dtype="float32")[:, None, None] * np.ones((3, 20, 17), "float32")
    stored = encode(Blockwise8Bit(signed, stacked=True), stack, 5)
    np.testing.assert_array_equal(stored["scales"], [1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(decode(Blockwise8Bit(signed, stacked=True), stored), stack)


def test_one_byte_and_a_scale():
    variables = SIGNED.variables((1000, 256))
    assert variables == {"codes": ((1000, 256), "int8"), "scales": ((1000,), "float32")}


# Averages. Without a gradient, v = beta v must come down by beta, though a step is far below the distance of two codes.


@every_codec
def test_an_average_does_not_stall(codec):
    """After 1000 steps the mean of all elements is 0.999**1000, to 3 %; rounded to the nearest code it would stay 1."""
    start = np.linspace(0.3, 0.9, SIZE).astype("float32")
    start[::BLOCK] = 1.0  # the largest of each block, kept up by its own gradient

    def step(stored, t):
        v = codec.decode(stored) * 0.999
        return codec.encode(ops.where(start == 1.0, 1.0, v), t)

    step = compile_step(step)
    stored = codec.encode(ops.convert_to_tensor(start), 0)
    for t in range(1, 1001):
        stored = step(stored, ops.convert_to_tensor(t))
    left = (ops.convert_to_numpy(codec.decode(stored)) / start)[start != 1.0]
    assert left.mean() == pytest.approx(0.999**1000, rel=0.03)
    assert left.std() < 0.1


def compile_step(step):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(step)
    import tensorflow as tf

    return tf.function(step, jit_compile=True, autograph=False)


@every_codec
def test_dither_is_right_on_average_and_depends_on_the_step_alone(codec):
    x = np.random.default_rng(0).chisquare(1, 4 * BLOCK).astype("float32")
    many = [round_trip(codec, x, step) for step in range(60)]
    largest = np.repeat(in_blocks(x).max(axis=1), BLOCK)
    assert (np.abs(np.mean(many, axis=0) - x) / largest).max() < 0.025 / 60 * 2  # the sequence errs by 2 of 60 at most
    np.testing.assert_array_equal(round_trip(codec, x, 3), many[3])
    assert (many[3] != many[4]).any()


# The dynamic tree of the 8-bit optimizers (arXiv 2110.02861, section 2.1, and the public code's 7 exponent bits)


def dynamic_tree(signed):
    """256 numbers: midpoints of equal parts of [0.1, 1], twice as many for each decade up; 0 and 1."""
    fractions = []
    for i in range(7):
        edges = np.linspace(0.1, 1, 2 ** (i if signed else i + 1) + 1)
        fractions.append(10.0 ** (i - 6) * (edges[:-1] + edges[1:]) / 2)
    fractions = np.concatenate(fractions)
    return np.sort(np.concatenate([fractions, -fractions if signed else [], [0.0, 1.0]]))


def tree_round_trip(x, signed):
    tree, blocks = dynamic_tree(signed), in_blocks(x).astype("float64")
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    r = blocks / largest
    above = np.clip(np.searchsorted(tree, r), 1, tree.size - 1)
    nearest = np.where(r - tree[above - 1] < tree[above] - r, tree[above - 1], tree[above])
    return (nearest * largest).ravel()[: x.size]


@pytest.mark.parametrize("signed", [True, False])
def test_the_tree_is_the_published_one(signed):
    tree = dynamic_tree(signed)
    assert tree.size == 256
    assert tree[tree > 0].min() == pytest.approx(5.5e-7 if signed else 3.25e-7)
    assert tree[-2] == pytest.approx(0.99297 if signed else 0.99648, abs=1e-5)


@pytest.mark.parametrize(
    ("codec", "draw"),
    [(SIGNED, lambda rng: rng.normal(size=2**16)), (UNSIGNED, lambda rng: rng.chisquare(1, size=2**16))],
    ids=["normal", "chi-square"],
)
def test_error_is_that_of_the_dynamic_tree(codec, draw):
    """Mean absolute and mean relative error, though the tree rounds to the nearest code and ours by dither."""
    x = draw(np.random.default_rng(0)).astype("float32")
    ours, tree = round_trip(codec, x) - x, tree_round_trip(x, signed=codec is SIGNED) - x
    assert np.abs(ours).mean() <= 1.15 * np.abs(tree).mean()
    assert np.abs(ours / x).mean() <= 1.02 * np.abs(tree / x).mean()
