"""SAM and ASAM through `fit`: the second gradient is taken where it should be, and nothing else happens twice."""

import contextlib

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt import optimizers
from keras_dlopt.optimizers import ASAM, SAM, Lookahead

pytestmark = pytest.mark.both_backends

TENSORFLOW = keras.backend.backend() == "tensorflow"

rng = np.random.default_rng(5)
X = rng.normal(size=(32, 6)).astype("float32")
Y = rng.normal(size=(32, 2)).astype("float32")
HIDDEN, BIAS = rng.normal(size=(6, 8)).astype("float32") / 2, rng.normal(size=8).astype("float32") / 2
HEAD = rng.normal(size=(8, 2)).astype("float32") / 2


def net(dtype="float32"):
    model = keras.Sequential(
        [
            layers.Input((6,)),
            layers.Dense(8, activation="tanh", dtype=dtype),
            layers.Dense(2, use_bias=False, dtype=dtype),
        ]
    )
    model.set_weights([HIDDEN, BIAS, HEAD])
    return model


def fit(optimizer, model=None, epochs=5, **kwargs):
    model = model or net()
    model.compile(optimizer, "mse", **{"jit_compile": not TENSORFLOW, **kwargs})
    history = model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model.get_weights(), history.history["loss"]


def torch_weights(name, arguments, rho, adaptive):
    """The same 20 steps by torch, with the closure that pytorch-optimizer asks for."""
    import torch
    from pytorch_optimizer import SAM as TorchSAM

    hidden, bias, head = (torch.nn.Parameter(torch.tensor(w, dtype=torch.float64)) for w in (HIDDEN, BIAS, HEAD))
    base = getattr(torch.optim, name)
    optimizer = TorchSAM([hidden, bias, head], base, rho=rho, adaptive=adaptive, **arguments)
    for step in range(20):
        batch = slice(step % 4 * 8, step % 4 * 8 + 8)
        x, y = (torch.tensor(a[batch], dtype=torch.float64) for a in (X, Y))

        def loss(x=x, y=y):
            return ((torch.tanh(x @ hidden + bias) @ head - y) ** 2).mean()

        loss().backward()
        optimizer.first_step(zero_grad=True)
        loss().backward()
        optimizer.second_step(zero_grad=True)
    return [p.detach().numpy() for p in (hidden, bias, head)]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(("cls", "rho"), [(SAM, 0.3), (ASAM, 0.8)])
def test_follows_pytorch_optimizer(cls, rho, jit_compile):
    inner = keras.optimizers.SGD(0.1, momentum=0.9)
    weights, _ = fit(cls(inner, rho=rho), jit_compile=jit_compile)
    expected = torch_weights("SGD", {"lr": 0.1, "momentum": 0.9}, rho, cls is ASAM)
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    plain, _ = fit(keras.optimizers.SGD(0.1, momentum=0.9))
    assert max(np.abs(a - b).max() for a, b in zip(weights, plain, strict=True)) > 1e-2


def test_over_an_optimizer_of_ours():
    weights, _ = fit(SAM(optimizers.Adam(0.01, epsilon=1e-8), rho=0.3))
    expected, _ = fit(SAM(keras.optimizers.Adam(0.01, epsilon=1e-8), rho=0.3))
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def linear(*front, size=1):
    head = layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="head")
    return keras.Sequential([layers.Input((size,)), *front, head])


def head(model):
    return model.get_layer("head").get_weights()[0].ravel()


class Count(keras.metrics.Sum):
    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(ops.ones(1))


def test_loss_and_metrics_are_those_of_the_weights_and_count_once():
    model = linear()
    model.compile(SAM(keras.optimizers.SGD(0.25), rho=1.0), "mse", metrics=["mae", Count(name="count")])
    logs = model.fit(np.ones((1, 1)), np.full((1, 1), 3.0), verbose=0).history
    assert (logs["loss"], logs["mae"], logs["count"]) == ([9.0], [3.0], [1.0])
    np.testing.assert_allclose(head(model), [0.25 * 2 * 4])  # the gradient at -1


def test_batch_normalization_counts_once_and_at_the_weights():
    def trained(optimizer):
        model = linear(layers.Dense(4, kernel_initializer=keras.initializers.Orthogonal(seed=1)), norm, size=6)
        model.compile(optimizer, "mse", jit_compile=not TENSORFLOW)
        model.fit(X, Y[:, :1], batch_size=32, verbose=0)
        return [ops.convert_to_numpy(v) for v in norm.non_trainable_variables]

    norm = layers.BatchNormalization(momentum=0.5)
    expected = trained(keras.optimizers.SGD(0.1))
    norm = layers.BatchNormalization(momentum=0.5)
    for a, b in zip(trained(SAM(keras.optimizers.SGD(0.1), rho=0.5)), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_both_gradients_see_the_same_dropout():
    """With the mask m twice, the weight is m times a number known in closed form."""
    model = linear(layers.Dropout(0.5, seed=3), size=16)
    model.compile(SAM(keras.optimizers.SGD(0.1), rho=0.3), "mse", jit_compile=not TENSORFLOW)
    seeds = []
    for _ in range(2):
        model.get_layer("head").set_weights([np.zeros((16, 1))])
        model.fit(np.ones((1, 16)), np.ones((1, 1)), verbose=0)
        kept = np.count_nonzero(head(model))
        assert 0 < kept < 16
        expected = 0.1 * 2 * 2 * (1 + 2 * 0.3 * np.sqrt(kept))
        np.testing.assert_allclose(head(model)[head(model) != 0], expected, rtol=1e-6)
        seeds.append(head(model) != 0)
    assert (seeds[0] != seeds[1]).any()  # the next step draws the next mask


def test_accumulated_gradients_are_each_perturbed_by_their_own_batch():
    model = linear()
    inner = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    model.compile(SAM(inner, rho=0.25), "mse", jit_compile=not TENSORFLOW)
    x, y = np.array([[1.0], [1.0]]), np.array([[1.0], [-2.0]])
    model.fit(x[:1], y[:1], verbose=0)
    np.testing.assert_array_equal(head(model), [0.0])
    model.fit(x[1:], y[1:], verbose=0)
    at_first, at_second = 2 * (-0.25 - 1), 2 * (0.25 + 2)
    np.testing.assert_allclose(head(model), [-0.1 * (at_first + at_second) / 2], rtol=1e-6)


def test_loss_scale_cancels():
    expected, _ = fit(SAM(keras.optimizers.SGD(0.1), rho=0.3))
    weights, _ = fit(keras.optimizers.LossScaleOptimizer(SAM(keras.optimizers.SGD(0.1), rho=0.3)))
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(dtype):
    optimizer = SAM(keras.optimizers.SGD(0.1), rho=0.3)
    if dtype == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    expected, _ = fit(SAM(keras.optimizers.SGD(0.1), rho=0.3))
    weights, _ = fit(optimizer, net(dtype))
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=5e-3 if dtype == "mixed_float16" else 4e-2)


def test_a_gradient_that_overflows_is_not_followed():
    optimizer = keras.optimizers.LossScaleOptimizer(SAM(keras.optimizers.SGD(0.1), rho=0.3), initial_scale=2.0**30)
    model = net("mixed_float16")
    weights, _ = fit(optimizer, model, epochs=1)
    for a, b in zip(weights, (HIDDEN, BIAS, HEAD), strict=True):
        np.testing.assert_array_equal(a, b)
    assert float(ops.convert_to_numpy(optimizer.dynamic_scale)) == 2.0**26
    weights, _ = fit(optimizer, model, epochs=8)
    assert all(np.isfinite(w).all() for w in weights)
    assert np.abs(weights[0] - HIDDEN).max() > 1e-2


def test_neither_execution_nor_the_order_of_wrappers_changes_anything():
    def twice(outer):
        sgd = keras.optimizers.SGD(0.1)
        return SAM(Lookahead(sgd), rho=0.3) if outer is SAM else Lookahead(SAM(sgd, rho=0.3))

    expected, losses = fit(twice(SAM))
    eager = {"run_eagerly": True, "jit_compile": False}
    for optimizer, kwargs in ((twice(SAM), {"steps_per_execution": 3}), (twice(Lookahead), {}), (twice(SAM), eager)):
        weights, other = fit(optimizer, **kwargs)
        np.testing.assert_allclose(other, losses, rtol=1e-6)
        for a, b in zip(weights, expected, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_custom_train_step_has_two_passes_too():
    class Doubled(keras.Sequential):
        def train_step(self, *args):
            *state, (x, y, *weight) = args
            return super().train_step(*state, (x, y * 2.0, *weight))

    model = Doubled([layers.Input((1,)), layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="head")])
    model.compile(SAM(keras.optimizers.SGD(0.25), rho=1.0), "mse")
    model.train_on_batch(np.ones((1, 1)), np.ones((1, 1)))
    np.testing.assert_allclose(head(model), [0.25 * 2 * 3])


def test_compiled_again_it_goes_on(tmp_path):
    expected, _ = fit(SAM(keras.optimizers.Adam(0.01), rho=0.3), epochs=4)
    model, optimizer = net(), SAM(keras.optimizers.Adam(0.01), rho=0.3)
    fit(optimizer, model, epochs=1)
    fit(optimizer, model, epochs=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    weights, _ = fit(loaded.optimizer, loaded, epochs=2)
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_over_schedule_free_the_gradient_is_taken_around_the_point_between():
    """In so small a neighbourhood SAM changes nothing."""
    expected, _ = fit(optimizers.ScheduleFreeSGD(0.1))
    weights, _ = fit(SAM(optimizers.ScheduleFreeSGD(0.1), rho=1e-7))
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.skipif(not TENSORFLOW, reason="MirroredStrategy is TensorFlow's")
@pytest.mark.parametrize("compiled_in_scope", [True, False])
def test_two_replicas_equal_one_device(mirrored, compiled_in_scope):
    def model():
        norm = layers.BatchNormalization(synchronized=True)
        start = keras.initializers.GlorotUniform(seed=1)
        return linear(layers.Dense(8, kernel_initializer=start), norm, layers.Activation("tanh"), size=6)

    def train(model, scope=contextlib.nullcontext):
        with scope():
            model.compile(SAM(keras.optimizers.SGD(0.1), rho=0.3), "mse", jit_compile=not TENSORFLOW)
        return model.fit(X, Y[:, :1], batch_size=8, epochs=3, shuffle=False, verbose=0).history["loss"]

    one = model()
    losses = train(one)
    with mirrored.scope():
        two = model()
    scope = mirrored.scope if compiled_in_scope else contextlib.nullcontext
    np.testing.assert_allclose(train(two, scope), losses, rtol=1e-5)
    for a, b in zip(two.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match="two gradients a step"):
        SAM(keras.optimizers.SGD(0.1)).apply([ops.ones(1)], [keras.Variable([1.0])])
    with pytest.raises(ValueError, match="without SAM"):
        ASAM(Lookahead(SAM(keras.optimizers.SGD(0.1))))
    with pytest.raises(ValueError, match=r"`SAM\(rho=...\)` must be a finite number > 0"):
        SAM(keras.optimizers.SGD(0.1), rho=0)
