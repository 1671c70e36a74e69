"""Schedule-Free in a model: its weights are the average x everywhere but inside the training step."""

import keras
import numpy as np
import pytest
from fitting import JIT
from keras import layers, ops

from keras_dlopt import optimizers

pytestmark = pytest.mark.both_backends

TENSORFLOW = keras.backend.backend() == "tensorflow"

rng = np.random.default_rng(5)
X = rng.normal(size=(48, 6)).astype("float32")
Y = rng.normal(size=(48, 2)).astype("float32")
BATCHES = [(X[i : i + 8], Y[i : i + 8]) for i in range(0, 48, 8)]


def net(normalized=False, **kwargs):
    keras.utils.set_random_seed(1)
    middle = [layers.BatchNormalization(momentum=0.8)] if normalized else []
    return keras.Sequential(
        [
            layers.Input((6,)),
            layers.Dense(5, use_bias=not normalized, **kwargs),
            *middle,
            layers.Activation("tanh"),
            layers.Dense(2),
        ]
    )


def compiled(optimizer, model=None, **kwargs):
    model = model or net()
    model.compile(optimizer, "mse", **{"jit_compile": JIT, **kwargs})
    return model


def fit(model, **kwargs):
    return model.fit(X, Y, **{"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0, **kwargs}).history


def gradients(model, x, y):
    """Of the mean squared error at the weights that the model holds; the model's statistics move too."""
    if TENSORFLOW:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = ops.mean(ops.square(model(x, training=True) - y))
        return tape.gradient(loss, model.trainable_variables)
    import jax

    others = [v.value for v in model.non_trainable_variables]

    def loss(values):
        predicted, new = model.stateless_call(values, others, x, training=True)
        return ops.mean(ops.square(predicted - y)), new

    found, new = jax.grad(loss, has_aux=True)([v.value for v in model.trainable_variables])
    for variable, value in zip(model.non_trainable_variables, new, strict=True):
        variable.assign(value)
    return found


def values(tensors):
    return [ops.convert_to_numpy(t) for t in tensors]


def assign(variables, new):
    for variable, value in zip(variables, new, strict=True):
        variable.assign(value)


def by_hand(optimizer, model=None, batches=2 * BATCHES):
    """A loop around `apply`, which is held against the authors' code elsewhere: the trainable weights x and the other
    weights after each step. The statistics are those of a pass at x."""
    model = model or net()
    variables, others = model.trainable_variables, model.non_trainable_variables
    states = []
    for batch in batches:
        before = values(others)
        optimizer.apply(gradients(model, *batch), variables)
        y, x = values(variables), values(optimizer.evaluation_weights(variables))
        assign(others, before)
        assign(variables, x)
        model(batch[0], training=True) if TENSORFLOW else gradients(model, *batch)
        states.append((x, values(others)))
        assign(variables, y)
    return states


def assert_close(a, b, atol=2e-6):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, atol=atol)


def assert_same(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


class Record(keras.callbacks.Callback):
    """What the model holds after each batch."""

    def on_train_begin(self, logs=None):
        self.weights = []

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(values(self.model.trainable_variables))


MAKE = {
    "ScheduleFreeSGD": lambda **kwargs: optimizers.ScheduleFreeSGD(0.1, warmup_steps=4, **kwargs),
    "ScheduleFreeAdamW": lambda **kwargs: optimizers.ScheduleFreeAdamW(0.05, weight_decay=0.1, **kwargs),
    "ScheduleFreeRAdam": lambda **kwargs: optimizers.ScheduleFreeRAdam(0.05, **kwargs),
}
adamw = MAKE["ScheduleFreeAdamW"]


@pytest.mark.parametrize("name", MAKE)
def test_the_weights_are_the_average_after_every_batch(name):
    record, model = Record(), compiled(MAKE[name]())
    fit(model, callbacks=[record])
    states = by_hand(MAKE[name]())
    assert len(record.weights) == len(states) == 12
    for seen, (x, _) in zip(record.weights, states, strict=True):
        assert_close(seen, x)


@pytest.mark.parametrize("how", [{"jit_compile": True}, {"steps_per_execution": 4}, {"run_eagerly": True}], ids=str)
def test_however_the_step_is_run(how):
    model = compiled(adamw(), net(normalized=True), **how)
    fit(model)
    x, statistics = by_hand(adamw(), net(normalized=True))[-1]
    assert_close(values(model.trainable_variables), x)
    assert_close(values(model.non_trainable_variables), statistics)


def test_evaluation_is_at_the_average():
    model = compiled(adamw())
    history = fit(model, validation_data=(X, Y))
    twin = compiled("sgd")
    assign(twin.trainable_variables, by_hand(adamw())[-1][0])
    expected = twin.evaluate(X, Y, batch_size=8, verbose=0)
    np.testing.assert_allclose(history["val_loss"][-1], expected, rtol=1e-5)
    np.testing.assert_allclose(model.evaluate(X, Y, batch_size=8, verbose=0), expected, rtol=1e-5)
    np.testing.assert_allclose(model.predict(X, verbose=0), twin.predict(X, verbose=0), atol=1e-5)


def test_the_statistics_of_batch_normalization_are_those_at_the_average():
    model = compiled(adamw(), net(normalized=True))
    fit(model)
    x, statistics = by_hand(adamw(), net(normalized=True))[-1]
    assert_close(values(model.trainable_variables), x)
    assert len(statistics) == 2
    assert_close(values(model.non_trainable_variables), statistics)


def test_a_checkpoint_in_the_middle_of_an_epoch_holds_the_average(tmp_path):
    path = str(tmp_path / "{batch}.weights.h5")
    fit(
        compiled(adamw(), net(normalized=True)),
        epochs=1,
        callbacks=[keras.callbacks.ModelCheckpoint(path, save_freq=3, save_weights_only=True)],
    )
    states = by_hand(adamw(), net(normalized=True))
    for batch in (3, 6):
        loaded = net(normalized=True)
        loaded.load_weights(path.format(batch=batch))
        x, statistics = states[batch - 1]
        assert_close(values(loaded.trainable_variables), x)
        assert_close(values(loaded.non_trainable_variables), statistics)


@pytest.mark.parametrize("name", MAKE)
def test_training_goes_on_from_a_file_bit_for_bit(name, tmp_path):
    model = compiled(MAKE[name](), net(normalized=True))
    fit(model, epochs=17)  # 102 steps
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same(loaded.get_weights(), model.get_weights())
    loaded.compile(loaded.optimizer, loaded.loss, jit_compile=JIT)
    fit(model), fit(loaded)
    assert_same(loaded.get_weights(), model.get_weights())


def test_batches_of_an_accumulated_gradient_leave_the_average_as_it_is():
    record, model = Record(), compiled(adamw(gradient_accumulation_steps=3))
    fit(model, callbacks=[record])
    large = [(X[i : i + 24], Y[i : i + 24]) for i in (0, 24)]
    states = by_hand(adamw(), batches=2 * large)
    for step, (x, _) in enumerate(states):
        assert_close(record.weights[3 * step + 2], x)
    for step in range(0, 12, 3):
        assert_same(record.weights[step], record.weights[step + 1])
    assert_same(record.weights[2], record.weights[3])


@pytest.mark.parametrize("how", ["loss scaling", "skip_nonfinite"])
def test_a_dropped_step_leaves_the_average_as_it_is(how):
    optimizer = adamw(skip_nonfinite=how == "skip_nonfinite")
    outer = keras.optimizers.LossScaleOptimizer(optimizer) if how == "loss scaling" else optimizer
    model = compiled(outer)
    fit(model)
    before = model.get_weights()
    model.train_on_batch(np.full_like(X[:8], np.nan), Y[:8])
    assert_same(model.get_weights(), before)
    model.train_on_batch(X[:8], Y[:8])
    x, _ = by_hand(adamw(), batches=[*2 * BATCHES, BATCHES[0]])[-1]
    if how == "loss scaling":  # the other counts the step
        assert_close(model.get_weights(), x)
    assert not np.array_equal(model.get_weights()[0], before[0])


def test_a_layer_frozen_for_a_second_run_keeps_its_average():
    model, optimizer = net(), adamw()
    fit(compiled(optimizer, model))
    model.layers[0].trainable = False
    frozen = model.layers[0].get_weights()
    fit(compiled(optimizer if TENSORFLOW else adamw(), model))
    assert_same(model.layers[0].get_weights(), frozen)


def test_constraints_hold_for_the_average():
    model = compiled(adamw(), net(kernel_constraint="non_neg"))
    fit(model)
    assert model.get_weights()[0].min() == 0.0


def test_a_train_step_of_the_users_own_is_run_at_y():
    seen = []

    class Own(keras.Sequential):
        def train_step(self, *args):
            if TENSORFLOW:
                seen.append(values(self.trainable_variables))
            else:
                seen.append(values(args[0][0]))
            return super().train_step(*args)

    model = compiled(adamw(), Own(net().layers), run_eagerly=True)
    for batch in BATCHES[:2]:
        model.train_on_batch(*batch)
    optimizer, twin = adamw(), net()
    by_hand(optimizer, twin, BATCHES[:1])
    assert_close(seen[1], values(twin.trainable_variables), atol=1e-6)
    assert not np.allclose(seen[1][0], model.get_weights()[0], atol=1e-4)


@pytest.mark.skipif(not TENSORFLOW, reason="MirroredStrategy is TensorFlow's")
def test_two_replicas_equal_one(mirrored):
    with mirrored.scope():
        model, optimizer = net(), adamw()
    fit(compiled(optimizer, model))
    assert_close(model.get_weights(), by_hand(adamw())[-1][0])


@pytest.mark.skipif(not TENSORFLOW, reason="JAX has float64 only if asked for before it starts")
def test_a_thousand_steps_end_at_the_authors_average():
    """Back and forth between x and y a thousand times: the average does not drift, not even in float32."""
    import schedulefree
    import torch

    inputs, targets, start = rng.normal(size=(400, 3)), rng.normal(size=(400, 1)), rng.normal(size=(3, 1))
    arguments = {"weight_decay": 0.1, "warmup_steps": 50}
    kernel = torch.nn.Parameter(torch.tensor(start))
    theirs = schedulefree.AdamWScheduleFree([kernel], lr=0.05, foreach=False, **arguments)
    theirs.train()
    for step in range(1000):
        batch = slice(step % 100 * 4, step % 100 * 4 + 4)
        x, y = torch.tensor(inputs[batch]), torch.tensor(targets[batch])
        kernel.grad = 2 * x.T @ (x @ kernel.detach() - y) / 4
        theirs.step()
    theirs.eval()
    for dtype, bar in (("float64", 1e-8), ("float32", 1e-5)):
        dense = layers.Dense(1, use_bias=False, dtype=dtype)
        model = keras.Sequential([layers.Input((3,), dtype=dtype), dense])
        dense.set_weights([start])
        compiled(optimizers.ScheduleFreeAdamW(0.05, **arguments), model, steps_per_execution=50)
        model.fit(inputs, targets, batch_size=4, epochs=10, shuffle=False, verbose=0)
        np.testing.assert_allclose(dense.get_weights()[0], kernel.detach().numpy(), atol=bar)


@pytest.mark.parametrize("name", MAKE)
def test_no_step_yet_means_the_weights_themselves(name):
    model = net()
    optimizer = MAKE[name]()
    optimizer.build(model.trainable_variables)
    assert_same(values(optimizer.evaluation_weights(model.trainable_variables)), model.get_weights())
