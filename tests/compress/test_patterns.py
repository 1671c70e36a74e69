"""Units, ranking and masks against NumPy and tfmot; counts as properties."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

from keras_dlopt import compress
from keras_dlopt.compress import patterns
from keras_dlopt.compress.sparsity import kept_counts

RNG = np.random.default_rng(0)
TF = keras.backend.backend() == "tensorflow"


def masks(kind, arrays, kept, *arguments):
    units = [kind(array, *arguments) for array in arrays]
    found = patterns.choose(units, [[ops.abs(ops.convert_to_tensor(a))] for a in arrays], kept)
    return [ops.convert_to_numpy(mask) for mask in found]


@pytest.mark.both_backends
@pytest.mark.parametrize("shape", [(8, 6), (3, 3, 8, 6)])
def test_blocks_of_smallest_mean_go(shape):
    weights = RNG.normal(size=shape).astype("float32")
    (mask,) = masks(patterns.Blocks, [weights], [5], 4, 2)
    means = np.abs(weights).reshape(-1, 4, 3, 2).mean((1, 3))
    keep = means >= np.sort(means.ravel())[-5]
    np.testing.assert_array_equal(mask, np.kron(keep, np.ones((4, 2), bool)).reshape(shape))


@pytest.mark.skipif(not TF, reason="tfmot is TensorFlow's")
def test_blocks_are_tfmots():
    import tensorflow as tf
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl, pruning_schedule

    weights = RNG.normal(size=(16, 12)).astype("float32")
    schedule = pruning_schedule.ConstantSparsity(0.75, 0)
    theirs = pruning_impl.Pruning(lambda: 0, [], schedule, (4, 2), "AVG")._maybe_update_block_mask(tf.constant(weights))
    np.testing.assert_array_equal(masks(patterns.Blocks, [weights], [6], 4, 2)[0], theirs[1].numpy())


@pytest.mark.skipif(not TF, reason="tfmot is TensorFlow's")
@pytest.mark.parametrize("shape", [(8, 5), (3, 2, 8, 5)])
@pytest.mark.parametrize("m, n", [(2, 4), (1, 2), (3, 4)])
def test_m_of_n_is_tfmots(shape, m, n):
    import tensorflow as tf
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl

    weights = RNG.normal(size=shape).astype("float32")
    theirs = pruning_impl.Pruning(lambda: 0, [], None, (1, 1), "AVG", sparsity_m_by_n=(m, n))
    theirs = theirs._update_mask_sparsity_m_by_n(tf.constant(weights), (m, n))
    (ours,) = masks(patterns.MOfN, [weights], [weights.size * (n - m) // n], m, n)
    np.testing.assert_array_equal(ours, theirs.numpy())


@pytest.mark.both_backends
def test_on_the_way_to_m_of_n_the_smallest_that_will_go_go_first():
    weights = np.array([[0.1], [0.2], [3.0], [4.0], [0.01], [5.0], [6.0], [7.0]], "float32")
    (mask,) = masks(patterns.MOfN, [weights], [6], 2, 4)
    assert mask.ravel().tolist() == [False, True, True, True, False, True, True, True]


@pytest.mark.both_backends
def test_global_ranking_takes_the_smallest_of_all():
    arrays = [np.array([1.0, 5.0], "float32"), np.array([[2.0, -0.5], [4.0, 3.0]], "float32")]
    kept = masks(patterns.SingleWeights, arrays, [3])
    assert [mask.tolist() for mask in kept] == [[False, True], [[False, False], [True, True]]]


SCORES = st.floats(width=32, allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, float("inf")])


@pytest.mark.skipif(not TF, reason="JAX has one of the two ways only, which is XLA's")
@pytest.mark.skipif(not TF, reason="JAX has one of the two ways only, which is XLA's")
@pytest.mark.parametrize("jit", [False, True])
def test_the_largest_are_kept_of_equal_ones_the_later(jit):
    import tensorflow as tf

    keep = tf.function(patterns.keep_largest, jit_compile=jit)

    @settings(deadline=None)
    @given(st.lists(SCORES, min_size=40, max_size=40), st.integers(0, 40))
    def check(scores, kept):
        scores = np.array(scores, "float32")
        order = np.argsort(scores, kind="stable")[40 - kept :]
        found = keep(tf.constant(scores), tf.constant(kept))
        assert np.flatnonzero(found).tolist() == sorted(order)

    check()


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=8), st.floats(0, 0.999))
def test_counts_are_as_near_as_can_be(sizes, sparsity):
    kept = kept_counts(sizes, sparsity)
    assert np.all((kept >= 1) & (kept <= sizes))
    exact = (1 - sparsity) * np.array(sizes)
    if np.all(exact >= 1):
        assert np.all(np.abs(kept - exact) < 1 + 1e-6)
        assert abs(kept.sum() - exact.sum()) <= 0.5 + 1e-6
    else:
        assert kept.sum() >= min(round(exact.sum()), len(sizes))


def network():
    return keras.Sequential([keras.Input((20,)), layers.Dense(30, name="body"), layers.Dense(10, name="head")])


@pytest.mark.both_backends
def test_prune_at_once_leaves_the_model_and_zeroes_the_copy():
    model = network()
    before = model.get_weights()
    pruned = compress.prune(model, 0.8)
    for old, still, new in zip(before, model.get_weights(), pruned.get_weights(), strict=True):
        np.testing.assert_array_equal(old, still)
        if old.ndim == 2:
            assert np.mean(new == 0) == pytest.approx(0.8)
            assert np.abs(old[new == 0]).max() <= np.abs(old[new != 0]).min()
            np.testing.assert_array_equal(new[new != 0], old[new != 0])
        else:
            np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize(
    "how, shares",
    [
        ({"ranking": "global"}, None),
        ({"skip": "head"}, (0.5, 0)),
        ({"only": layers.Dense, "skip": lambda layer: layer.name == "body"}, (0, 0.5)),
        ({"pattern": (2, 5)}, (0.5, 0.5)),
        ({"pattern": "2:4", "only": ["body"]}, (0.5, 0)),
    ],
)
def test_prune_at_once_the_other_ways(how, shares):
    kernels = [w for w in compress.prune(network(), 0.5, **how).get_weights() if w.ndim == 2]
    if shares is None:
        assert sum(np.sum(k == 0) for k in kernels) == 450
    else:
        assert tuple(float(np.mean(k == 0)) for k in kernels) == shares


def test_patterns_run_along_the_inputs_whatever_the_layout_of_the_kernel():
    x = inputs = keras.Input((4, 8))
    x = layers.MultiHeadAttention(2, 6, name="heads")(x, x)
    x = layers.EinsumDense("...bc,bcd->...bd", (4, 3), name="by_position")(x)
    model = keras.Model(inputs, layers.Conv1DTranspose(5, 2, name="transposed")(layers.Conv1D(8, 1, name="conv")(x)))
    # Heads x size are outputs of the query, together the inputs of the output; a position is neither.
    matrices = {
        "query": (lambda k: k.reshape(8, 12)),
        "attention_output": (lambda k: k.reshape(12, 8)),
        "by_position": (lambda k: k.reshape(4, 8, 3)),
        "transposed": (lambda k: k.transpose(0, 2, 1)),
    }
    for pattern in ("2:4", (4, 1)):
        pruned = compress.prune(model, 0.5, pattern=pattern, skip="conv/")
        kernels = {
            name: matrix(ops.convert_to_numpy(next(w for w in pruned.weights if f"{name}/kernel" in w.path)))
            for name, matrix in matrices.items()
        }
        for kernel in kernels.values():
            fours = np.sum(kernel.reshape(-1, 4, kernel.shape[-1]) != 0, axis=1)
            assert set(fours.ravel()) == ({2} if pattern == "2:4" else {0, 4})
    with pytest.raises(
        ValueError, match=r"`prune\(pattern=...\)` .*attention_output/kernel` it does not, its 10 inputs"
    ):
        compress.prune(keras.Model(inputs, layers.MultiHeadAttention(2, 5)(inputs, inputs)), 0.5, pattern="2:4")


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: compress.prune("model", 0.5), r"`prune\(model=...\)` must be a built keras.Model"),
        (lambda: compress.prune(network(), 1.0), r"`prune\(sparsity=...\)`"),
        (lambda: compress.prune(network(), 0.5, pattern="channels"), "`remove_channels` takes channels out"),
        (lambda: compress.prune(network(), 0.5, ranking=1), r"`prune\(ranking=...\)`"),
        (lambda: compress.prune(network(), 0.5, skip="tail"), r"`prune\(skip=...\)` .*there are: .*body/kernel"),
        (lambda: compress.prune(compress.prune(network(), 0.8), 0.5), "at least 0.8, the share .* pruned already"),
    ],
)
def test_prune_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
