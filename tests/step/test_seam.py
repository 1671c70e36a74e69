"""An observed run is the unobserved run, and the observer saw what NumPy computes."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dlopt import step

# Uncompiled steps on JAX trace every conditional anew: one case is enough.
TF = keras.backend.backend() == "tensorflow"
BATCH, BATCHES, EPOCHS = 16, 10, 2
RNG = np.random.default_rng(0)
X = RNG.normal(size=(BATCH * BATCHES, 5)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5], [0.0], [3.0]], "float32") + 1.0).astype("float32")
START = np.linspace(-0.5, 0.5, 5, dtype="float32")[:, None]
RATE, MOMENTUM = 0.03, 0.9


class Recorder(step.Observer):
    """Row t: the norms of the gradient used, of the weights before and of the weights after update t."""

    def build(self, optimizer, variables):
        self.rows = self.add_variable((BATCHES * EPOCHS, 3), name="rows")

    def before_apply(self, gradients, variables):
        self.carry.step = ops.cast(self.optimizer.iterations, "int32")
        used = self.all_reduce(self.accumulated(gradients, variables))
        self.carry.row = [norm(used), norm(variables)]
        return gradients

    def after_apply(self, gradients, variables):
        row = ops.stack([*self.carry.row, norm(variables)])[None]
        rows = ops.convert_to_tensor(self.rows)
        written = ops.slice_update(rows, (self.carry.step, 0), row)
        moved = ops.cast(self.optimizer.iterations, "int32") > self.carry.step
        self.assign(self.rows, ops.where(moved, written, rows))


def norm(tensors):
    return ops.sqrt(sum(ops.sum(ops.square(ops.cast(t, "float32"))) for t in tensors))


def read(observer):
    return ops.convert_to_numpy(observer.rows)


class CustomStep(keras.Sequential):
    """A user's own train step, as Keras's guides write it."""

    def train_step(self, *args):
        return self._tf_step(*args) if TF else self._jax_step(*args)

    def _tf_step(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply(gradients, self.trainable_weights)
        self._loss_tracker.update_state(loss)
        return {"loss": self._loss_tracker.result()}

    def _jax_step(self, state, data):
        import jax

        weights, others, slots, metrics = state
        x, y = data

        def loss_of(weights):
            prediction, _ = self.stateless_call(weights, others, x, training=True)
            return self.compute_loss(y=y, y_pred=prediction)

        loss, gradients = jax.value_and_grad(loss_of)(weights)
        weights, slots = self.optimizer.stateless_apply(slots, gradients, weights)
        metrics = self._loss_tracker.stateless_update_state(metrics, loss)
        return {"loss": self._loss_tracker.stateless_result(metrics)}, (weights, others, slots, metrics)


def make_model(kind=keras.Sequential, dtype="float32", jit=not TF, per_execution=1, scaled=False, **optimizer):
    layers = [
        keras.Input((5,)),
        keras.layers.Dense(1, dtype=dtype),
        keras.layers.Activation("linear", dtype="float32"),
    ]
    model = kind(layers)
    model.layers[0].kernel.assign(START)
    inner = keras.optimizers.SGD(RATE, momentum=MOMENTUM, **optimizer)
    inner = keras.optimizers.LossScaleOptimizer(inner, initial_scale=64.0) if scaled else inner
    model.compile(inner, "mse", jit_compile=jit, steps_per_execution=per_execution)
    return model


def train(model, callbacks=()):
    history = model.fit(X, Y, BATCH, EPOCHS, shuffle=False, verbose=0, callbacks=list(callbacks))
    return history.history["loss"], [np.array(w) for w in model.get_weights()]


def numpy_rows(every=1):
    """The same training in float64 NumPy, `every` batches to an update."""
    weights = [START.astype("float64"), np.zeros(1)]
    momenta = [np.zeros((5, 1)), np.zeros(1)]
    size = lambda arrays: np.sqrt(sum((a**2).sum() for a in arrays))  # noqa: E731
    rows = []
    batches = [(X[i : i + BATCH * every], Y[i : i + BATCH * every]) for i in range(0, len(X), BATCH * every)]
    for x, y in batches * EPOCHS:
        residual = x @ weights[0] + weights[1] - y
        gradients = [2 * x.T @ residual / len(x), 2 * residual.mean(0)]
        before = size(weights)
        for w, m, g in zip(weights, momenta, gradients, strict=True):
            m[...] = MOMENTUM * m - RATE * g
            w += m
        rows.append([size(gradients), before, size(weights)])
    return np.array(rows)


CASES = {
    "plain": {"jit": False},
    "jit": {"jit": True},
    "execution of 8": {"per_execution": 8},
    "jit, execution of 8": {"jit": True, "per_execution": 8},
    "custom step": {"kind": CustomStep, "jit": False},
    "custom step, jit, execution of 8": {"kind": CustomStep, "jit": True, "per_execution": 8},
    "accumulation": {"gradient_accumulation_steps": 2},
    "accumulation, jit, execution of 8": {"gradient_accumulation_steps": 2, "jit": True, "per_execution": 8},
    "constant scale": {"loss_scale_factor": 1024.0},
    "loss scaling": {"scaled": True},
    "float16, jit": {"dtype": "mixed_float16", "scaled": True, "jit": True},
    "float16, accumulation": {"dtype": "mixed_float16", "scaled": True, "gradient_accumulation_steps": 2},
}


@pytest.mark.both_backends
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_observed_run_is_the_unobserved_run(case):
    losses, weights = train(make_model(**case))
    model = make_model(**case)
    observer = Recorder()
    step.attach(model.optimizer, observer, model)
    seen_losses, seen_weights = train(model)
    step.detach(model.optimizer, observer)

    assert seen_losses == losses
    for seen, expected in zip(seen_weights, weights, strict=True):
        np.testing.assert_array_equal(seen, expected)
    every = case.get("gradient_accumulation_steps", 1)
    recorded = read(observer)
    tolerance = 2e-2 if case.get("dtype") else 2e-5
    np.testing.assert_allclose(recorded[: 20 // every], numpy_rows(every), rtol=tolerance, atol=tolerance)
    assert not recorded[20 // every :].any()


@pytest.mark.parametrize("case", ["plain", "custom step", "constant scale", "loss scaling"])
def test_observed_run_is_the_unobserved_run_mirrored(case, mirrored):
    # Keras itself fails under MirroredStrategy with steps_per_execution above 1 (on CPU) and with
    # accumulation.
    def build():
        with mirrored.scope():
            return make_model(**CASES[case])

    losses, weights = train(build())
    model = build()
    observer = Recorder()
    step.attach(model.optimizer, observer, model)
    seen_losses, seen_weights = train(model)
    assert seen_losses == losses
    for seen, expected in zip(seen_weights, weights, strict=True):
        np.testing.assert_array_equal(seen, expected)
    np.testing.assert_allclose(read(observer), numpy_rows(), rtol=2e-5)
    first, second = observer.rows.value.values
    np.testing.assert_array_equal(first.numpy(), second.numpy())


class Mask(step.Observer):
    """Holds every second weight at zero, and hides its gradient from the momentum."""

    def before_apply(self, gradients, variables):
        return [None if g is None else g * checkers(g.shape) for g in gradients]

    def after_apply(self, gradients, variables):
        for variable in variables:
            self.assign(variable, variable * checkers(variable.shape))


def checkers(shape):
    shape = tuple(shape)
    return (np.arange(int(np.prod(shape))).reshape(shape) % 2).astype("float32")


@pytest.mark.both_backends
@pytest.mark.parametrize("case", ["plain", "jit, execution of 8", "constant scale", "loss scaling"])
def test_observer_changes_gradients_and_weights(case):
    model = make_model(**CASES[case])
    step.attach(model.optimizer, Mask(), model)
    _, (kernel, bias) = train(model)
    np.testing.assert_allclose(kernel, masked_kernel(), rtol=2e-5)
    assert not kernel[::2].any()
    assert not bias.any()


def test_observer_changes_gradients_and_weights_mirrored(mirrored):
    with mirrored.scope():
        model = make_model()
    step.attach(model.optimizer, Mask(), model)
    _, (kernel, bias) = train(model)
    np.testing.assert_allclose(kernel, masked_kernel(), rtol=2e-5)
    assert not kernel[::2].any()
    assert not bias.any()
    first, second = model.layers[0].kernel.value.values
    np.testing.assert_array_equal(first.numpy(), second.numpy())


def masked_kernel():
    """The same training in float64 NumPy."""
    kept = checkers((5, 1))
    kernel, momentum = START.astype("float64"), np.zeros((5, 1))
    for i in list(range(0, len(X), BATCH)) * EPOCHS:
        x, y = X[i : i + BATCH], Y[i : i + BATCH]
        gradient = 2 * x.T @ (x @ kernel - y) / BATCH * kept
        momentum = MOMENTUM * momentum - RATE * gradient
        kernel = (kernel + momentum) * kept
    return kernel


@pytest.mark.both_backends
def test_non_finite_gradients_are_not_observed():
    model = make_model(dtype="float16", scaled=True)
    observer = Recorder()
    step.attach(model.optimizer, observer, model)
    huge = np.full((4, 5), 1e4, "float32")  # their gradients overflow float16
    model.train_on_batch(huge, np.ones((4, 1), "float32"))
    assert not read(observer).any()
    assert int(model.optimizer.iterations) == 0
    model.train_on_batch(X[:4], Y[:4])
    assert read(observer)[0].all()


def test_sparse_and_missing_gradients():
    seen = []

    class Look(Recorder):
        def before_apply(self, gradients, variables):
            seen.append([type(g).__name__ for g in gradients])
            return super().before_apply(gradients[:1], variables[:1]) + gradients[1:]

    model = keras.Sequential([keras.Input((2,), dtype="int32"), keras.layers.Embedding(7, 1)])
    unused = keras.Variable(np.ones(3), name="unused")
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build([*model.trainable_variables, unused])
    observer = Look()
    step.attach(optimizer, observer)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(np.array([[1, 1]])) * tf.constant([[[3.0], [4.0]]]))
    variables = [*model.trainable_variables, unused]
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply(tape.gradient(loss, variables), variables)
    assert seen == [["IndexedSlices", "NoneType"]]
    np.testing.assert_allclose(read(observer)[0, 0], 7.0)  # the two slices of row 1 add up
