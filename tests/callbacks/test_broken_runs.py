"""What callbacks have put on a model ends with their run, also where that breaks off and they live on."""

import keras
import numpy as np
import pytest

from keras_dlopt import callbacks, schedules, step

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")


def network():
    inputs = keras.Input((4,))
    x = keras.layers.Dense(4)(inputs)
    x = keras.layers.Add()([x, keras.layers.Dense(4)(x)])
    model = keras.Model(inputs, keras.layers.Dense(4)(x))
    model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=keras.backend.backend() == "jax")
    return model


class Break(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            raise KeyboardInterrupt


def attributes(model):
    return set(vars(model)) | set(vars(model.optimizer))


@pytest.mark.both_backends
def test_the_next_run_is_as_if_there_had_been_none(tmp_path):
    model, plain = network(), network()
    plain.fit(X, X, 8, verbose=0)
    counter = step.Average()
    step.attach(model.optimizer, counter, model)  # by hand: stays
    model.fit(X, X, 8, verbose=0)
    found, calls = attributes(model), vars(model).get("train_step")
    used = [
        callbacks.OneCycle(0.5),
        callbacks.GradualUnfreeze({0: 1, 0.5: None}),
        callbacks.StochasticDepth(0.5),
        callbacks.NonFiniteGuard("rollback"),
        callbacks.ReduceLROnPlateau("loss"),
        callbacks.TimeBudget(minutes=5),
        callbacks.SelectiveBackprop(0.5, begin=0),
        callbacks.AverageWeights(),
        callbacks.Prune(0.5, end=1, frequency=1),
        callbacks.RecordOptimizer(tmp_path, every=1),
        callbacks.Throughput(),
    ]
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, X, 8, epochs=2, callbacks=[*used, Break()], verbose=0)
    assert attributes(model) != found
    plain.set_weights(model.get_weights())
    for each in (model, plain):
        each.fit(X, X, 8, shuffle=False, verbose=0)
    for one, two in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    assert attributes(model) == found and vars(model).get("train_step") is calls
    assert step.observers(model.optimizer) == [counter]


class Within(keras.callbacks.Callback):
    """Trains a batch, and a whole run, of its own in the middle of a run."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.model.train_on_batch(X[:8], X[:8])
            self.model.fit(X, X, 8, callbacks=[callbacks.Throughput()], verbose=0)


def test_a_run_within_a_run_ends_nothing():
    model = network()
    model.fit(X, X, 8, verbose=0)
    found = attributes(model)
    model.fit(X, X, 8, epochs=3, callbacks=[callbacks.Prune(0.5, end=4, frequency=1), Within()], verbose=0)
    assert np.mean(np.concatenate([w.ravel() for w in model.get_weights()[::2]]) == 0) == 0.5
    assert attributes(model) == found


def test_a_loop_of_ones_own_keeps_its_callbacks():
    model = network()
    used = keras.callbacks.CallbackList([callbacks.OneCycle(0.5, warmup=1)], model=model, epochs=1, steps=4)
    used.on_train_begin()
    used.on_epoch_begin(0)
    rates = []
    for batch in range(4):
        model.train_on_batch(X[:8], X[:8])
        used.on_train_batch_end(batch)
        rates.append(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)))
    used.on_epoch_end(0)
    used.on_train_end()
    np.testing.assert_allclose(rates, schedules.OneCycle(0.5, 4, warmup=1)(np.arange(4)), rtol=1e-5)
