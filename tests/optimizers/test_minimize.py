"""Full-batch training through SciPy, against scikit-learn's optimum and closed forms."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt import optimizers
from keras_dlopt.optimizers.minimize import METHODS

pytestmark = pytest.mark.both_backends

rng = np.random.default_rng(5)
X = rng.normal(size=(120, 4)).astype("float32")
Y = (X @ [1.0, -2.0, 0.5, 0.0] + rng.logistic(size=120) > 0.3).astype("int64")
WEIGHTS = rng.uniform(0.2, 3.0, 120)


def logistic(penalty=0.05):
    model = keras.Sequential(
        [layers.Input((4,)), layers.Dense(1, kernel_regularizer=keras.regularizers.L2(penalty), name="line")]
    )
    model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def scikit_learn(penalty=0.05, sample_weight=None):
    """Weights and bias that minimise mean(loss) + penalty |w|^2."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1 / (2 * penalty * len(X)), tol=1e-10, max_iter=10_000)
    fitted.fit(X.astype("float64"), Y, sample_weight)
    return fitted.coef_[0], fitted.intercept_


@pytest.mark.parametrize("method", METHODS)
def test_logistic_regression_finds_the_optimum_of_scikit_learn(method):
    model = logistic()
    result = optimizers.minimize(model, X, Y[:, None], method, verbose=0)
    kernel, bias = model.get_weights()
    expected = scikit_learn()
    np.testing.assert_allclose(kernel[:, 0], expected[0], atol=1e-4)
    np.testing.assert_allclose(bias, expected[1], atol=1e-4)
    np.testing.assert_allclose(result.x, [*kernel[:, 0], *bias], atol=1e-6)
    np.testing.assert_allclose(result.fun, model.evaluate(X, Y[:, None], batch_size=120, verbose=0), rtol=1e-5)


def test_progress_is_one_line(capsys):
    result = optimizers.minimize(logistic(), X, Y[:, None])
    printed = capsys.readouterr().out.strip()
    assert printed.count("\n") == 0
    assert f"{result.nit}/200" in printed and "gradient_norm" in printed


def test_batches_and_sample_weights_count_by_row():
    model = logistic()
    optimizers.minimize(model, X, Y[:, None], sample_weight=WEIGHTS, batch_size=50, verbose=0)  # 50, 50, 20
    expected = scikit_learn(sample_weight=WEIGHTS)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], expected[0], atol=1e-4)
    np.testing.assert_allclose(model.get_weights()[1], expected[1], atol=1e-4)


class Point(keras.Model):
    """Two weights, which are its output."""

    def __init__(self, start):
        super().__init__()
        self.point = self.add_weight(shape=(2,), initializer=lambda *_, **__: ops.array(start), name="point")

    def call(self, x):
        return x * 0 + self.point


def rosenbrock(_, point):
    return (1 - point[:, 0]) ** 2 + 100 * (point[:, 1] - point[:, 0] ** 2) ** 2


def test_rosenbrock():
    model = Point([-1.2, 1.0])
    result = optimizers.minimize(model, np.zeros((1, 2)), np.zeros((1, 1)), loss=rosenbrock, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], [1, 1], atol=1e-3)
    assert result.fun < 1e-6 and result.nfev >= result.nit


@pytest.mark.parametrize("method", ["L-BFGS-B", "TNC", "SLSQP", "trust-constr"])
def test_bounds_by_path_hold(method):
    """The optimum on x <= 1/2 is (1/2, 1/4)."""
    model = Point([2.0, 1.0])
    optimizers.minimize(
        model,
        np.zeros((1, 2)),
        np.zeros((1, 1)),
        method,
        loss=rosenbrock,
        bounds={"poi": (None, [0.5, 9.0])},
        max_iterations=500,
        verbose=0,
    )
    found = model.get_weights()[0]
    assert found[0] <= 0.5
    np.testing.assert_allclose(found, [0.5, 0.25], atol=5e-3)


class Watch(keras.callbacks.Callback):
    """Writes down what it is told, and ends the run after `last` iterations."""

    def __init__(self, last=None, interrupt=False):
        super().__init__()
        self.last, self.interrupt, self.events, self.logs, self.weights = last, interrupt, [], [], []

    def on_train_begin(self, logs=None):
        self.events.append("begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.events.append(epoch)

    def on_epoch_end(self, epoch, logs=None):
        self.events.append(-epoch)
        self.logs.append(logs)
        self.weights.append(self.model.get_weights()[0])
        if epoch + 1 == self.last:
            if self.interrupt:
                raise KeyboardInterrupt
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.events.append("end")


def run_rosenbrock(**kwargs):
    model = Point([-1.2, 1.0])
    result = optimizers.minimize(model, np.zeros((1, 2)), np.zeros((1, 1)), loss=rosenbrock, verbose=0, **kwargs)
    return model, result


def test_callbacks_see_an_iteration_as_an_epoch():
    watch = Watch(last=4)
    model, result = run_rosenbrock(callbacks=[watch])
    assert watch.events == ["begin", 0, 0, 1, -1, 2, -2, 3, -3, "end"]
    assert result.nit == 4 and not result.success and "callback" in result.message
    for logs, weights in zip(watch.logs, watch.weights, strict=True):
        np.testing.assert_allclose(logs["loss"], rosenbrock(None, weights[None])[0], rtol=1e-5)
    assert result.fun == min(logs["loss"] for logs in watch.logs)
    np.testing.assert_array_equal(model.get_weights()[0], np.float32(result.x))


@pytest.mark.parametrize("method", METHODS)
def test_max_iterations_holds_for_every_method(method):
    _, result = run_rosenbrock(method=method, max_iterations=2)
    assert result.nit == 2 and "max_iterations" in result.message


def test_an_interrupted_run_leaves_the_best_point():
    model, watch = Point([-1.2, 1.0]), Watch(last=5, interrupt=True)
    with pytest.raises(KeyboardInterrupt):
        optimizers.minimize(
            model, np.zeros((1, 2)), np.zeros((1, 1)), loss=rosenbrock, callbacks=[watch], method="trust-ncg", verbose=0
        )
    best = watch.weights[int(np.argmin([logs["loss"] for logs in watch.logs]))]
    np.testing.assert_array_equal(model.get_weights()[0], best)


def test_layers_run_as_at_inference():
    model = keras.Sequential(
        [layers.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(1, name="line")]
    )
    model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
    statistics = [v.numpy() for v in model.layers[0].non_trainable_variables]
    result = optimizers.minimize(model, X, Y[:, None], verbose=0)
    np.testing.assert_allclose(result.fun, model.evaluate(X, Y[:, None], batch_size=120, verbose=0), rtol=1e-5)
    for before, after in zip(statistics, model.layers[0].non_trainable_variables, strict=True):
        np.testing.assert_array_equal(before, after.numpy())


def test_two_inputs_and_two_losses():
    """Each head is a least-squares problem of its own."""
    a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
    heads = {"p": layers.Dense(1, name="p")(a), "q": layers.Dense(1, name="q")(b)}
    model = keras.Model({"a": a, "b": b}, heads)
    model.compile(loss={"p": "mse", "q": "mse"}, loss_weights={"p": 1.0, "q": 3.0})
    target = (X @ [[1.0], [0.0], [2.0], [-1.0]] + 0.1 * rng.normal(size=(120, 1))).astype("float32")
    optimizers.minimize(model, {"a": X, "b": 2 * X}, {"p": target, "q": target}, verbose=0)
    design = np.concatenate([X, np.ones((120, 1))], axis=1)
    expected = np.linalg.lstsq(design, target, rcond=None)[0]
    np.testing.assert_allclose(model.get_layer("p").kernel, expected[:4], atol=1e-4)
    np.testing.assert_allclose(model.get_layer("q").kernel, expected[:4] / 2, atol=1e-4)


BAD = {
    "method": "Nelder-Mead",
    "max_iterations": 0,
    "batch_size": 0,
    "sample_weight": np.ones(3),
    "verbose": 2,
    "loss": "no such loss",
    "bounds": {"no such variable": (0, 1)},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    with pytest.raises(ValueError, match="minimize"):
        optimizers.minimize(logistic(), X, Y[:, None], **{"verbose": 0, name: BAD[name]})


@pytest.mark.parametrize(
    "bounds", [np.zeros((3, 2)), {"kernel": (1, 0)}, {"kernel": ("low", 1)}, {"kernel": 1}, {"(": (0, 1)}, 7]
)
def test_bad_bounds(bounds):
    with pytest.raises(ValueError, match="bounds"):
        optimizers.minimize(logistic(), X, Y[:, None], bounds=bounds, verbose=0)


def test_bounds_want_a_method_that_takes_them():
    with pytest.raises(ValueError, match="L-BFGS-B"):
        optimizers.minimize(logistic(), X, Y[:, None], "BFGS", bounds={"kernel": (0, 1)}, verbose=0)


def test_a_model_without_a_loss():
    with pytest.raises(ValueError, match="compiled"):
        optimizers.minimize(Point([0.0, 0.0]), np.zeros((1, 2)), verbose=0)


def test_a_loss_that_is_not_finite():
    with pytest.raises(ValueError, match="nan"):
        optimizers.minimize(logistic(), X * np.nan, Y[:, None], verbose=0)
