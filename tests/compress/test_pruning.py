"""Masks against NumPy, schedules against their closed form and tfmot's, and which weights may be pruned."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt.compress import patterns, prunable
from keras_dlopt.compress import sparsity as plans

RNG = np.random.default_rng(0)


def numpy_mask(weights, sparsity):
    """The definition: zero the smallest magnitudes, of equal ones the first."""
    kept = max(1, int(np.round(weights.size * (1 - np.float32(sparsity)))))
    order = np.argsort(np.abs(weights).ravel(), kind="stable")
    mask = np.zeros(weights.size, weights.dtype)
    mask[order[weights.size - kept :]] = 1
    return mask.reshape(weights.shape)


def magnitude_mask(weights, sparsity):
    unit = patterns.SingleWeights(weights)
    kept = plans.kept_counts([unit.size], sparsity)
    return patterns.choose([unit], [[ops.abs(ops.convert_to_tensor(weights))]], kept)[0]


@pytest.mark.both_backends
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.8, 0.999])
@pytest.mark.parametrize("shape", [(1,), (10,), (33, 7), (3, 3, 4, 8)])
def test_masks_zero_the_smallest_magnitudes(shape, sparsity):
    weights = RNG.normal(size=shape).astype("float32")
    mask = ops.convert_to_numpy(magnitude_mask(weights, sparsity))
    np.testing.assert_array_equal(mask, numpy_mask(weights, sparsity))


@pytest.mark.both_backends
def test_of_equal_magnitudes_exactly_the_asked_number_goes():
    weights = np.array([0.0, 0.0, 1.0, -1.0, 1.0, 0.0, -1.0, 1.0], "float32")
    mask = ops.convert_to_numpy(magnitude_mask(weights, 0.5))
    np.testing.assert_array_equal(mask, numpy_mask(weights, 0.5))
    assert mask.sum() == 4


def test_masks_are_tfmots_where_magnitudes_differ():
    tf = pytest.importorskip("tensorflow")
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl, pruning_schedule

    weights = RNG.normal(size=(37, 11)).astype("float32")
    for sparsity in (0.13, 0.5, 0.8, 0.99):
        schedule = pruning_schedule.ConstantSparsity(sparsity, 0)
        theirs = pruning_impl.Pruning(lambda: 0, [], schedule, (1, 1), "AVG")._update_mask(tf.constant(weights))[1]
        ours = magnitude_mask(weights, sparsity)
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), theirs.numpy())


def test_the_cubic_is_the_papers_and_tfmots_at_every_step():
    from tensorflow_model_optimization.sparsity import keras as tfmot

    begin, end, final, steps = 7, 61, 0.83, np.arange(80)
    ours = plans.cubic_sparsity(steps, final, begin, end)
    paper = [final + (0 - final) * (1 - (min(max(t, begin), end) - begin) / (end - begin)) ** 3 for t in steps]
    np.testing.assert_allclose(ours, paper, atol=1e-12)
    theirs = [float(tfmot.PolynomialDecay(0.0, final, begin, end)(t)[1]) for t in steps]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_plan_updates_every_so_often_and_at_the_end():
    plan = plans.cubic_plan(0.8, begin=10, end=35, frequency=10)
    np.testing.assert_array_equal(plan.steps, [20, 30, 35])
    np.testing.assert_allclose(plan.sparsities, 0.8 * (1 - (1 - np.array([10, 20, 25]) / 25) ** 3))
    np.testing.assert_array_equal(plans.cubic_plan(0.8, begin=3, end=3, frequency=1).steps, [3])


@pytest.mark.parametrize("schedule", ["PolynomialDecay", "ConstantSparsity"])
def test_a_plan_of_tfmots_schedule_is_what_it_says_step_by_step(schedule):
    from tensorflow_model_optimization.sparsity import keras as tfmot

    made = {
        "PolynomialDecay": lambda: tfmot.PolynomialDecay(0.2, 0.9, begin_step=3, end_step=33, frequency=5),
        "ConstantSparsity": lambda: tfmot.ConstantSparsity(0.6, begin_step=4, frequency=7),
    }[schedule]()
    plan = plans.schedule_plan(made, 40)
    answers = [made(t) for t in range(41)]
    due = [t for t, (update, _) in enumerate(answers) if update]
    np.testing.assert_array_equal(plan.steps, due)
    np.testing.assert_allclose(plan.sparsities, [float(answers[t][1]) for t in due], atol=1e-7)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"begin_step": 0, "end_step": 80, "frequency": 100}, "the last update is at step 0 and leaves 0 "),
        ({"begin_step": 0, "end_step": 81, "frequency": 1}, "reaches its 0.8 within the run's 40 steps"),
        ({"begin_step": 50, "end_step": 60}, "there is no update"),
    ],
)
def test_a_schedule_that_falls_short_is_refused_with_the_reason(arguments, message):
    from tensorflow_model_optimization.sparsity import keras as tfmot

    with pytest.raises(ValueError, match=message):
        plans.schedule_plan(tfmot.PolynomialDecay(0.0, 0.8, **arguments), 40)


def sequence(*stack):
    return keras.Sequential([keras.Input((6, 4)), *stack])


def image(*stack):
    return keras.Sequential([keras.Input((8, 8, 3)), *stack])


def attention():
    inputs = keras.Input((6, 4))
    return keras.Model(inputs, layers.MultiHeadAttention(2, 3)(inputs, inputs))


def twice(layer):
    inputs = keras.Input((6, 4))
    return keras.Model(inputs, layer(layer(inputs)))


WEIGHTS = {
    "Dense": (lambda: sequence(layers.Dense(3)), ["kernel"]),
    "EinsumDense": (lambda: sequence(layers.EinsumDense("abc,cd->abd", (None, 3))), ["kernel"]),
    "attention": (attention, ["kernel"] * 4),
    "Conv1D": (lambda: sequence(layers.Conv1D(3, 2)), ["kernel"]),
    "Conv2D": (lambda: image(layers.Conv2D(3, 2), layers.BatchNormalization()), ["kernel"]),
    "Conv3D": (lambda: keras.Sequential([keras.Input((4, 4, 4, 1)), layers.Conv3D(2, 2)]), ["kernel"]),
    "Conv2DTranspose": (lambda: image(layers.Conv2DTranspose(3, 2)), ["kernel"]),
    "DepthwiseConv2D": (lambda: image(layers.DepthwiseConv2D(2), layers.Dense(2)), ["kernel"]),
    "SeparableConv2D": (lambda: image(layers.SeparableConv2D(3, 2)), ["pointwise_kernel"]),
    "Embedding": (lambda: keras.Sequential([keras.Input((6,)), layers.Embedding(9, 3)]), ["embeddings"]),
    "LSTM": (lambda: sequence(layers.LSTM(3)), ["kernel", "recurrent_kernel"]),
    "GRU both ways": (
        lambda: sequence(layers.Bidirectional(layers.GRU(3))),
        ["kernel", "recurrent_kernel"] * 2,
    ),
    "a model inside": (lambda: sequence(sequence(layers.Dense(3)), layers.Dense(2)), ["kernel"] * 2),
    "a layer used twice": (
        lambda: twice(layers.Dense(4)),
        ["kernel"],
    ),
    "a frozen layer": (lambda: sequence(layers.Dense(3, trainable=False), layers.Dense(2)), ["kernel"]),
}


@pytest.mark.both_backends
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_may_be_pruned(name):
    build, expected = WEIGHTS[name]
    assert [weight.name for weight in prunable.prunable_weights(build())] == expected


@pytest.mark.both_backends
def test_depthwise_kernels_only_on_request():
    model = image(layers.DepthwiseConv2D(2), layers.SeparableConv2D(3, 2))
    assert [w.name for w in prunable.prunable_weights(model)] == ["pointwise_kernel"]
    asked = prunable.prunable_weights(model, depthwise=True)
    assert sorted(w.name for w in asked) == ["depthwise_kernel", "kernel", "pointwise_kernel"]


@pytest.mark.both_backends
def test_skipped_weights_and_models_without_any():
    model = sequence(layers.Dense(3, name="body"), layers.Dense(2, name="head"))
    (kept,) = prunable.prunable_weights(model, ["head"])
    assert kept is model.layers[0].kernel
    with pytest.raises(ValueError, match=r"`Prune\(skip=...\)`.*there are: .*body/kernel, .*head/kernel"):
        prunable.prunable_weights(model, ["tail"])
    with pytest.raises(ValueError, match="a model with weights to prune"):
        prunable.prunable_weights(model, ["body", "head"])
    with pytest.raises(ValueError, match="a model with weights to prune"):
        prunable.prunable_weights(image(layers.DepthwiseConv2D(2)))
