"""What the executor gives every optimizer: Keras's arguments, groups, decay, sparse and missing gradients, files."""

import keras
import numpy as np
import pytest
from cases import CASES
from keras import layers, ops
from trajectories import START, run_eager, variables

from keras_dlopt import optimizers

pytestmark = pytest.mark.both_backends

TENSORFLOW = keras.backend.backend() == "tensorflow"
DROP_IN = [case for case in CASES if optimizers.TABLE[case.name].family == "drop-in" and not case.label]

rng = np.random.default_rng(3)
X = rng.normal(size=(64, 10)).astype("float32")
Y = rng.integers(0, 4, 64)


def keras_twin(case, **kwargs):
    return getattr(keras.optimizers, case.name)(learning_rate=0.01, **case.arguments, **kwargs)


def ours(case, **kwargs):
    return optimizers.get(case.name, learning_rate=0.01, **case.arguments, **kwargs)


def net(dtype="float32"):
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            layers.Input((10,)),
            layers.Dense(16, activation="tanh", name="hidden", kernel_constraint="max_norm", dtype=dtype),
            layers.Dense(4, name="head", dtype=dtype),
        ]
    )


def fit(optimizer, epochs=3, model=None, **kwargs):
    model = model or net()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, **{"jit_compile": False, **kwargs})
    history = model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model, history.history["loss"]


ARGUMENTS = {
    "clipnorm": {"clipnorm": 0.1},
    "clipvalue": {"clipvalue": 0.01},
    "global_clipnorm": {"global_clipnorm": 0.1},
    "ema": {"use_ema": True, "ema_momentum": 0.9},
    "ema_overwrite": {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3},
    "accumulation": {"gradient_accumulation_steps": 3},
    "accumulation+decay": {"gradient_accumulation_steps": 2, "weight_decay": 0.1, "clipnorm": 0.5},
    "loss_scale": {"loss_scale_factor": 1024.0},
}


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize("case", DROP_IN, ids=lambda c: c.id)
def test_keras_arguments_mean_what_they_mean_in_keras(case, arguments):
    """The whole of `fit`, constraints included, ends at Keras's weights."""
    expected, _ = fit(keras_twin(case, **arguments))
    model, _ = fit(ours(case, **arguments))
    for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_loss_scale_optimizer_under_mixed_precision():
    expected, _ = fit(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)), model=net("mixed_float16"))
    model, _ = fit(keras.optimizers.LossScaleOptimizer(optimizers.Adam(0.01)), model=net("mixed_float16"))
    for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)  # one float32 rounding can tip one of float16 in the next batch


def test_bfloat16_variables_get_float32_state():
    weight = keras.Variable(np.full(4, 1.0), dtype="bfloat16")
    optimizer = optimizers.Adam(0.125)
    optimizer.apply([ops.ones(4, dtype="bfloat16")], [weight])
    assert {keras.backend.standardize_dtype(v.dtype) for v in optimizer.variables[2:]} == {"float32"}
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.cast(weight, "float32")), np.full(4, 0.875, "float32"))


# Weight decay and groups


def decay_only(optimizer, paths):
    """How much of each variable is left after one step without gradient."""
    weights = [keras.Variable(np.ones(3, "float32"), name=path) for path in paths]
    optimizer.build(weights)
    optimizer.apply([ops.zeros(3) for _ in paths], weights)
    return [float(np.asarray(w.value)[0]) for w in weights]


def test_decay_is_decoupled_and_can_be_excluded():
    optimizer = optimizers.Adam(0.5, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    assert decay_only(optimizer, ["kernel", "bias"]) == pytest.approx([0.95, 1.0])
    with pytest.raises(ValueError, match="before the optimizer is built"):
        optimizer.exclude_from_weight_decay(var_names=["kernel"])


def test_adan_decays_proximally():
    assert decay_only(optimizers.Adan(0.5, weight_decay=0.1), ["kernel"]) == pytest.approx([1 / 1.05])


def test_groups_set_decay_and_rate_and_the_first_match_wins():
    groups = [
        {"match": "slow", "learning_rate": 0.1},
        {"match": lambda v: v.path.endswith("bias"), "weight_decay": 0.0},
        {"match": "fast", "weight_decay": 0.4},
    ]
    optimizer = optimizers.SGD(0.5, weight_decay=0.2, groups=groups)
    left = decay_only(optimizer, ["slow_bias", "fast_bias", "fast", "other"])
    assert left == pytest.approx([1 - 0.05 * 0.2, 1.0, 1 - 0.5 * 0.4, 1 - 0.5 * 0.2])


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_a_group_moves_as_an_optimizer_with_its_learning_rate(case):
    """Multiplier 0.5 on two variables, frozen third: as three optimizers would."""
    groups = [{"match": "w[01]", "learning_rate": 0.5}, {"match": "w2", "frozen": True}]
    weights = run_eager(case.make(0.02, groups=groups), steps=10)
    half, whole = run_eager(case.make(0.01), steps=10), run_eager(case.make(0.02), steps=10)
    for got, expected in zip(weights, [half[0], half[1], START[2], whole[3]], strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_frozen_variables_have_no_state():
    optimizer, weights = optimizers.Adam(groups=[{"match": "w3", "frozen": True}]), variables()
    optimizer.build(weights)
    assert sum(int(np.prod(v.shape)) for v in optimizer.variables[2:]) == 2 * sum(w.size for w in START[:3])


def test_one_learning_rate_that_callbacks_read_and_set():
    optimizer = optimizers.Adam(0.01, groups=[{"match": "head", "learning_rate": 0.0}])
    model, _ = fit(optimizer, epochs=1)
    head = model.get_layer("head").get_weights()
    optimizer.learning_rate = 0.5
    assert float(ops.convert_to_numpy(optimizer.learning_rate)) == 0.5
    model.fit(X, Y, epochs=1, verbose=0)
    for a, b in zip(model.get_layer("head").get_weights(), head, strict=True):
        np.testing.assert_array_equal(a, b)


# Gradients that are not there, or only in places


@pytest.mark.parametrize("flat_below", [0, 2**15])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_a_variable_without_gradient_keeps_weight_and_state(case, flat_below):
    optimizer, weights = case.make(0.1, weight_decay=0.1), variables()
    optimizer.flat_below = flat_below
    optimizer.build(weights)
    store = {}
    optimizer.apply([ops.ones(w.shape) for w in weights], weights)
    optimizer.save_own_variables(store)
    before = ops.convert_to_numpy(weights[1])
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([ops.ones(()), None, ops.ones((5, 3)), ops.ones((3, 3, 4, 8))], weights)
    after = {}
    optimizer.save_own_variables(after)
    np.testing.assert_array_equal(ops.convert_to_numpy(weights[1]), before)
    for key in store:
        if key.endswith(".1"):
            np.testing.assert_array_equal(store[key], after[key])
    assert not np.array_equal(ops.convert_to_numpy(weights[2]), START[2])


def with_dense_gradients(optimizer):
    """Keras's optimizer with the parts of repeated embedding rows summed first, which its rules leave out."""
    apply = optimizer.apply
    optimizer.apply = lambda grads, variables=None: apply([dense(g) for g in grads], variables)
    return optimizer


def dense(gradient):
    if TENSORFLOW:
        import tensorflow as tf

        return tf.convert_to_tensor(gradient)
    return gradient


@pytest.mark.parametrize("flat_below", [0, 2**15])
@pytest.mark.parametrize("case", DROP_IN, ids=lambda c: c.id)
def test_embeddings_with_repeated_rows(case, flat_below):
    """IndexedSlices on TensorFlow, dense gradients on JAX: the same numbers."""
    ids = rng.integers(0, 20, (32, 6))
    labels = ids.sum(axis=1) % 4

    def train(optimizer):
        keras.utils.set_random_seed(2)
        model = keras.Sequential(
            [layers.Input((6,), dtype="int32"), layers.Embedding(50, 8), layers.Flatten(), layers.Dense(4)]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, jit_compile=False)
        model.fit(ids, labels, batch_size=8, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    optimizer = ours(case)
    optimizer.flat_below = flat_below
    for a, b in zip(train(optimizer), train(with_dense_gradients(keras_twin(case))), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


@pytest.mark.skipif(not TENSORFLOW, reason="IndexedSlices are TensorFlow's")
@pytest.mark.parametrize("name", ["GradientDescent", "SGD"])
def test_without_state_an_embedding_is_updated_in_its_rows_only(name):
    import tensorflow as tf

    table, optimizer = keras.Variable(np.ones((4096, 16), "float32")), optimizers.get(name, learning_rate=0.5)

    @tf.function
    def step():
        rows = tf.IndexedSlices(tf.ones((3, 16)), tf.constant([7, 9, 7]), tf.constant([4096, 16]))
        optimizer.apply([rows], [table])

    step()
    kinds = {op.type for op in step.get_concrete_function().graph.get_operations()}
    assert "ResourceScatterSub" in kinds and "AssignSubVariableOp" not in kinds
    assert table.numpy()[[6, 7, 9], 0].tolist() == [1.0, 0.0, 0.5]


# Files and configs


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_config_round_trip(case):
    optimizer = case.make(0.02, weight_decay=0.1, groups=[{"match": "head", "frozen": True}], clipnorm=1.0)
    config = keras.optimizers.serialize(optimizer)
    again = keras.optimizers.deserialize(config)
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_saved_and_loaded_training_goes_on_bit_for_bit(case, tmp_path):
    def build():
        optimizer = case.make(0.01, groups=[{"match": "head", "learning_rate": 0.5}])
        optimizer.flat_below = 40  # the kernels alone, the biases in flat buffers
        return optimizer

    without, _ = fit(build(), epochs=4)
    model, _ = fit(build(), epochs=2)
    model.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    assert int(loaded.optimizer.iterations) == 16
    loaded.compile(loaded.optimizer, loaded.loss, jit_compile=False)
    loaded.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(loaded.get_weights(), without.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_does_not_depend_on_how_slots_were_packed(tmp_path):
    saved, weights = optimizers.Adam(), variables()
    saved.apply([ops.ones(w.shape) for w in weights], weights)
    store = {}
    saved.save_own_variables(store)
    unpacked, others = optimizers.Adam(), variables()
    unpacked.flat_below = 0
    unpacked.build(others)
    unpacked.load_own_variables({k: np.asarray(v)[...] for k, v in store.items()})
    again = {}
    unpacked.save_own_variables(again)
    assert store.keys() == again.keys()
    for key, value in store.items():
        np.testing.assert_array_equal(value, again[key])


def test_state_of_another_optimizer_is_refused():
    saved, weights = optimizers.Lion(), variables()
    saved.build(weights)
    store = {}
    saved.save_own_variables(store)
    other = optimizers.Adam()
    other.build(variables())
    with pytest.raises(ValueError, match="not that of this `Adam`.*v.0"):
        other.load_own_variables(store)


@pytest.mark.skipif(not TENSORFLOW, reason="MirroredStrategy is TensorFlow's")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_fit_under_mirrored_strategy_equals_one_device(case, mirrored):
    _, expected = fit(case.make(0.01, weight_decay=0.01))
    with mirrored.scope():
        model, optimizer = net(), case.make(0.01, weight_decay=0.01)
    _, losses = fit(optimizer, model=model)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
