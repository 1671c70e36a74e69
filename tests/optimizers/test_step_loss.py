"""Rules that ask for the loss hear, through `fit`, the loss of which the step takes the gradient."""

import keras
import numpy as np
import pytest
from fitting import JIT
from keras import layers, ops

from keras_dlopt.optimizers import SAM, MoMo, PolyakSGD
from keras_dlopt.optimizers.executor.hyperparameters import LearningRate
from keras_dlopt.optimizers.first_order.step_loss import LossAware

pytestmark = pytest.mark.both_backends

TENSORFLOW = keras.backend.backend() == "tensorflow"

rng = np.random.default_rng(5)
X = rng.normal(size=(32, 6)).astype("float32")
TRUE = rng.normal(size=(6, 1)).astype("float32")
Y = X @ TRUE
W = rng.normal(size=(6, 1)).astype("float32")


class Heard(LossAware):
    """Keeps the loss that it heard last; the weights stay."""

    learning_rate: LearningRate = 0.1
    shared = {"loss": 0.0}

    def combine(self, before, sums, t, lr, loss):
        return {"loss": loss}

    def rule(self, g, w, s, t):
        return ops.zeros_like(g), {}

    @property
    def loss(self):
        return float(ops.convert_to_numpy(self._plan.shared[0]["loss"]))


class Penalty(layers.Layer):
    """Adds the mean of its inputs' absolute values to the loss."""

    def call(self, x):
        self.add_loss(ops.mean(ops.abs(x)))
        return x


def net(cls=keras.Sequential, dtype="float32"):
    head = layers.Dense(1, use_bias=False, kernel_regularizer=keras.regularizers.L2(0.1), dtype=dtype)
    model = cls([layers.Input((6,)), Penalty(), head])
    model.set_weights([W])
    return model


def loss_of(x, y, w=W, batch=8):
    """The loss of each batch."""
    error = ((x @ w - y) ** 2).reshape(-1, batch).mean(axis=1)
    return error + np.abs(x).reshape(-1, batch * 6).mean(axis=1) + 0.1 * (w**2).sum()


def fit(optimizer, model, **kwargs):
    model.compile(optimizer, "mse", **{"jit_compile": JIT, **kwargs})
    return model.fit(X, Y, batch_size=8, shuffle=False, verbose=0).history["loss"]


WAYS = {
    "plain": lambda heard: heard,
    "loss scale": lambda heard: keras.optimizers.LossScaleOptimizer(heard, initial_scale=1024.0),
}


@pytest.mark.parametrize(
    "kwargs", [{}, {"jit_compile": True}, {"steps_per_execution": 2}, {"run_eagerly": True}], ids=str
)
@pytest.mark.parametrize("way", WAYS)
def test_the_loss_of_the_batch_with_regularisation_arrives(way, kwargs):
    heard = Heard()
    losses = fit(WAYS[way](heard), net(), **kwargs)
    np.testing.assert_allclose(heard.loss, loss_of(X, Y)[-1], rtol=1e-5)
    np.testing.assert_allclose(losses, loss_of(X, Y).mean(), rtol=1e-5)


def test_it_arrives_before_the_loss_is_scaled():
    heard = Heard(loss_scale_factor=1024.0)
    fit(heard, net())
    np.testing.assert_allclose(heard.loss, loss_of(X, Y)[-1], rtol=1e-5)
    heard = Heard()
    fit(keras.optimizers.LossScaleOptimizer(heard), net(dtype="mixed_float16"))
    np.testing.assert_allclose(heard.loss, loss_of(X, Y)[-1], rtol=5e-3)


def test_sample_weights_count():
    heard, model = Heard(), net()
    model.compile(heard, "mse", jit_compile=JIT)
    model.train_on_batch(X[:8], Y[:8], sample_weight=np.full(8, 3.0, "float32"))
    extra = 2 * ((X[:8] @ W - Y[:8]) ** 2).mean()
    np.testing.assert_allclose(heard.loss, loss_of(X, Y)[0] + extra, rtol=1e-5)


class Shifted(keras.Sequential):
    """A custom step: Keras's on other targets."""

    def train_step(self, *args):
        *state, (x, y, *weight) = args
        return super().train_step(*state, (x, y + 1.0, *weight))


def test_in_a_custom_step_it_is_that_steps_loss():
    heard = Heard()
    fit(heard, net(Shifted))
    np.testing.assert_allclose(heard.loss, loss_of(X, Y + 1)[-1], rtol=1e-5)


def test_under_sam_it_is_the_loss_where_the_second_gradient_is_taken():
    heard = Heard()
    fit(SAM(heard, rho=0.5), net())
    x, y = X[-8:], Y[-8:]
    gradient = 2 * x.T @ (x @ W - y) / 8 + 0.2 * W
    there = W + 0.5 * gradient / np.linalg.norm(gradient)
    np.testing.assert_allclose(heard.loss, loss_of(x, y, there)[0], rtol=1e-5)


def test_the_next_compile_forgets_it():
    heard, model = Heard(), net()
    fit(heard, model)
    fit(keras.optimizers.SGD(0.1), model)
    assert "train_step" not in vars(model) and "compute_loss_and_updates" not in vars(model)


def test_over_two_devices_it_is_the_whole_batchs(request):
    if TENSORFLOW:
        scope = request.getfixturevalue("mirrored").scope()
    else:
        scope = keras.distribution.DataParallel(devices=keras.distribution.list_devices()[:2]).scope()
    with scope:
        heard, model = Heard(), net()
        fit(heard, model)
    np.testing.assert_allclose(heard.loss, loss_of(X, Y)[-1], rtol=1e-5)


def polyak(w, g, f, t, state):
    return w - min(1.0, f / (g**2).sum()) * g


def momo(w, g, f, t, state):
    beta = 0.9 if t else 0.0
    for name, new in (("d", g), ("f", f), ("gamma", (g * w).sum())):
        state[name] = beta * state.get(name, 0.0) + (1 - beta) * new
    d = state["d"]
    return w - min(1.0, max(state["f"] - state["gamma"] + (d * w).sum(), 0.0) / (d**2).sum()) * d


@pytest.mark.parametrize(("cls", "rule"), [(PolyakSGD, polyak), (MoMo, momo)])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_trained_by_fit_they_follow_their_equations(cls, rule, jit_compile):
    """Targets that can be met exactly, the case the step size is made for: nothing to tune."""
    model = keras.Sequential([layers.Input((6,)), layers.Dense(1, use_bias=False)])
    model.set_weights([W])
    model.compile(cls(), "mse", jit_compile=jit_compile)
    model.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    w, state = W.astype("float64"), {}
    for t in range(12):
        x, y = (a[t % 4 * 8 : t % 4 * 8 + 8].astype("float64") for a in (X, Y))
        w = rule(w, 2 * x.T @ (x @ w - y) / 8, ((x @ w - y) ** 2).mean(), t, state)
    np.testing.assert_allclose(model.get_weights()[0], w, atol=1e-5)
    model.fit(X, Y, batch_size=8, epochs=60, shuffle=False, verbose=0)
    assert model.evaluate(X, Y, verbose=0) < 1e-4


def test_without_a_loss_they_say_what_they_need():
    weight = keras.Variable([1.0])
    for cls in (PolyakSGD, MoMo):
        with pytest.raises(ValueError, match=f"`{cls.__name__}` needs the loss of each step: train with `model.fit`"):
            cls().apply([ops.ones(1)], [weight])
        with pytest.raises(ValueError, match="gradient_accumulation_steps"):
            cls(gradient_accumulation_steps=2)
