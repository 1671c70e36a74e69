"""Wrapped optimizers in `fit`: Keras's arguments, files, learning rates and loss scales are the inner optimizer's."""

import functools

import keras
import numpy as np
import pytest
from fitting import JIT
from keras import layers, ops
from trajectories import variables

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

pytestmark = pytest.mark.both_backends

TENSORFLOW = keras.backend.backend() == "tensorflow"

rng = np.random.default_rng(3)
X = rng.normal(size=(32, 10)).astype("float32")
Y = rng.integers(0, 4, 32)

WRAPPED = {
    "Lookahead": lambda o: Lookahead(o, sync_period=3),
    "Cautious": Cautious,
    "Grokfast": Grokfast,
    "GradientCentralization": GradientCentralization,
    "AdaptiveGradientClipping": AdaptiveGradientClipping,
    "GradientNoise": lambda o: GradientNoise(o, seed=1),
    "Mechanic": lambda o: Mechanic(o, s_init=0.5),
}
EACH = [wrapper for name, wrapper in WRAPPED.items() if name != "Lookahead"] + [WRAPPED["Lookahead"]]
WRAPPED["all"] = lambda o: functools.reduce(lambda inner, wrapper: wrapper(inner), EACH, o)


def net():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [layers.Input((10,)), layers.Dense(8, activation="tanh", kernel_constraint="max_norm"), layers.Dense(4)]
    )


def fit(optimizer, model=None, epochs=2, batch_size=8, **kwargs):
    model = model or net()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=not TENSORFLOW)
    model.fit(X, Y, epochs=epochs, batch_size=batch_size, shuffle=False, verbose=0, **kwargs)
    return model


def assert_close(model, other, atol):
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


@pytest.mark.parametrize("name", ["Lookahead", "Cautious", "Mechanic", "all"])
def test_acts_once_an_update_and_not_once_a_batch(name):
    expected = fit(WRAPPED[name](keras.optimizers.Adam(0.01, epsilon=1e-3)))
    accumulating = keras.optimizers.Adam(0.01, epsilon=1e-3, gradient_accumulation_steps=2)
    assert_close(fit(WRAPPED[name](accumulating), batch_size=4), expected, 1e-5)


@pytest.mark.parametrize("inner", [keras.optimizers.Adam, optimizers.Adam], ids=["keras", "ours"])
@pytest.mark.parametrize("name", ["Lookahead", "Mechanic", "all"])
def test_saved_and_loaded_training_goes_on_bit_for_bit(name, inner, tmp_path):
    without = fit(WRAPPED[name](inner(0.01)), epochs=3)
    fit(WRAPPED[name](inner(0.01)), epochs=1).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 4
    fit(loaded.optimizer, loaded, epochs=2)
    for a, b in zip(loaded.get_weights(), without.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", WRAPPED)
def test_config_round_trip(name):
    optimizer = WRAPPED[name](optimizers.Lion(0.02, groups=[{"match": "head", "frozen": True}]))
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()


ARGUMENTS = {
    "global_clipnorm": {"global_clipnorm": 0.1},
    "ema_overwrite": {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3},
    "loss_scale": {"loss_scale_factor": 1024.0, "weight_decay": 0.1},
}


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
def test_keras_arguments_of_the_inner_optimizer_hold(arguments):
    """A wrapper that changes nothing changes nothing."""
    expected = fit(keras.optimizers.Adam(0.01, **arguments))
    wrapped = Lookahead(Grokfast(keras.optimizers.Adam(0.01, **arguments), lamb=0.0), slow_step=1.0)
    assert_close(fit(wrapped), expected, 2e-6)


def test_loss_scale_optimizer_around_it_scales_once():
    """Stochastic gradient descent, which would see a gradient that is divided twice."""
    expected = fit(Grokfast(keras.optimizers.SGD(0.1)))
    inner = keras.optimizers.SGD(0.1, loss_scale_factor=64.0)
    assert_close(fit(keras.optimizers.LossScaleOptimizer(Grokfast(inner))), expected, 1e-6)
    assert inner.loss_scale_factor is None


def test_one_learning_rate_that_callbacks_read_and_set():
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    optimizer = Lookahead(Cautious(keras.optimizers.SGD(0.5)))
    history = fit(optimizer, callbacks=[halve]).history.history
    np.testing.assert_allclose(history["learning_rate"], [0.25, 0.125])
    assert float(ops.convert_to_numpy(optimizer.innermost.learning_rate)) == 0.125
    optimizer.learning_rate = keras.optimizers.schedules.PiecewiseConstantDecay([100], [0.25, 0.1])
    assert float(ops.convert_to_numpy(optimizer.learning_rate)) == 0.25
    assert optimizer.get_config()["optimizer"]["config"]["optimizer"]["config"]["learning_rate"]["config"]


def test_variables_of_the_inner_optimizer_are_among_its_own():
    optimizer, weights = Lookahead(Grokfast(keras.optimizers.Adam(0.1))), variables()
    optimizer.build(weights)
    inner = optimizer.innermost.variables
    assert [id(v) for v in optimizer.variables[-len(inner) :]] == [id(v) for v in inner]
    assert len(optimizer.variables) == len({id(v) for v in optimizer.variables}) == 2 * (len(weights) + 1) + len(inner)


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.parametrize("inner", [keras.optimizers.Adam, optimizers.Adam], ids=["keras", "ours"])
def test_a_variable_without_gradient_stays(name, inner):
    optimizer, (_, weight, other, *_) = WRAPPED[name](inner(0.1)), variables()
    optimizer.build([weight, other])
    for _ in range(3):
        with pytest.warns(UserWarning, match="Gradients do not exist"):
            optimizer.apply([None, ops.convert_to_tensor(other) * 2.0], [weight, other])
    np.testing.assert_array_equal(ops.convert_to_numpy(weight), ops.convert_to_numpy(variables()[1]))
    assert np.abs(ops.convert_to_numpy(other) - ops.convert_to_numpy(variables()[2])).max() > 0.05


@pytest.mark.parametrize("name", WRAPPED)
def test_a_skipped_step_leaves_weights_and_the_wrappers_state(name):
    optimizer, weights = WRAPPED[name](optimizers.Adam(0.1, skip_nonfinite=True)), variables()[1:3]
    gradients = [ops.convert_to_tensor(w) * 2.0 for w in weights]
    for _ in range(2):
        optimizer.apply(gradients, weights)
    steps = optimizer.iterations.path
    kept = [v for v in [*optimizer.variables, *weights] if v.path != steps]
    before = [ops.convert_to_numpy(v) for v in kept]
    optimizer.apply([gradients[0], gradients[1] * np.float32(np.nan)], weights)  # the third, Lookahead's restart
    for variable, value in zip(kept, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)


def test_sparse_gradients_are_summed_first():
    """Rows that come twice in a batch: as with the dense gradient."""

    def train(optimizer):
        keras.utils.set_random_seed(2)
        model = keras.Sequential([layers.Input((6,), dtype="int32"), layers.Embedding(9, 4), layers.Flatten()])
        model.add(layers.Dense(1))
        model.compile(optimizer, "mse", jit_compile=JIT)
        ids = np.arange(48).reshape(8, 6) % 5
        model.fit(ids, ids.sum(axis=1) / 10, batch_size=4, shuffle=False, verbose=0)
        return model

    expected = train(keras.optimizers.SGD(0.1))
    unchanging = Lookahead(Grokfast(keras.optimizers.SGD(0.1), lamb=0.0), slow_step=1.0)
    assert_close(train(unchanging), expected, 1e-6)
