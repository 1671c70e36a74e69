"""The loss over all data and its gradient, as functions of one flat vector of weights."""

import keras
import numpy as np
from keras import ops, tree

from keras_dlopt.arguments import check_number, invalid


class Objective:
    """Loss and gradient as functions of one flat float64 vector, and the best point seen."""

    def __init__(self, model, batches, loss):
        self.model, self.batches = model, batches
        self.rows = sum(rows for rows, _ in batches)
        self.feasible, self.best, self.last, self.calls = None, (np.inf, None, None), None, 0
        (x, y, weight) = _each(lambda a: a[:1], batches[0][1])
        outputs = model(x, training=False)
        self.compute_loss = _added(model, loss) if loss else model.compute_loss
        self.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weight)  # builds what the loss has to build
        self.variables = model.trainable_variables
        if not self.variables:
            raise invalid("minimize", "model", model.name, "a model with trainable variables")
        self.ends = np.cumsum([int(np.prod(v.shape)) for v in self.variables])[:-1]
        self.rounding = 10 * epsilon(self.variables)
        self.value_and_gradient, self.product = _compiled(self._loss)

    def _loss(self, values, batch):
        x, y, weight = batch
        mapping = list(zip(self.variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
            outputs = self.model(x, training=False)
            return self.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weight)

    def __call__(self, vector):
        if self.last is not None and np.array_equal(vector, self.last[1]):
            return self.last[0], self.last[2].copy()
        values = self._split(vector)
        value, gradient = 0.0, np.zeros(vector.shape)
        for rows, batch in self.batches:
            part, parts = self.value_and_gradient(values, batch)
            value += float(part) * rows / self.rows
            gradient += np.concatenate([_flat(p) for p in parts]) * (rows / self.rows)
        self.calls += 1
        value = self._resolve(value, vector, gradient)
        self.last = value, vector.copy(), gradient
        low, high = self.feasible
        if value < self.best[0] and np.all((low <= vector) & (vector <= high)):
            self.best = self.last
        return value, gradient.copy()

    def hessian_product(self, vector, direction):
        """The Hessian at `vector` times `direction`, exactly."""
        values, directions = self._split(vector), self._split(np.asarray(direction))
        product = np.zeros(vector.shape)
        for rows, batch in self.batches:
            parts = self.product(values, directions, batch)
            product += np.concatenate([_flat(p) for p in parts]) * (rows / self.rows)
        return product

    def _resolve(self, value, vector, gradient):
        """`value`, with the digits below its rounding error taken from the gradients.

        A float32 loss near its minimum hardly changes where the weights still do, and line searches lose their way.
        Gradients keep their digits there: f(b) - f(a) = (g(a) + g(b)) / 2 (b - a) up to third order.
        """
        lowest, point, slope = self.best
        if point is None:
            return value
        estimate = lowest + 0.5 * (slope + gradient) @ (vector - point)
        return estimate if abs(estimate - value) <= self.rounding * abs(value) else value

    def _split(self, vector):
        parts = zip(np.split(vector, self.ends), self.variables, strict=True)
        return [ops.cast(ops.convert_to_tensor(part.reshape(v.shape)), v.dtype) for part, v in parts]

    def vector(self):
        return np.concatenate([_flat(v) for v in self.variables])

    def assign(self, vector):
        for variable, value in zip(self.variables, self._split(vector), strict=True):
            variable.assign(value)


def epsilon(variables):
    """Relative precision of the coarsest of `variables`: float32's, or float64's where all of them are."""
    double = all(keras.backend.standardize_dtype(v.dtype) == "float64" for v in variables)
    return float(np.finfo("float64" if double else "float32").eps)


def _flat(value):
    return ops.convert_to_numpy(value).astype("float64").ravel()


def _compiled(function):
    """Compiled: `function(values, batch)` and its gradient for `values`; and its Hessian there times `directions`."""
    if keras.backend.backend() == "jax":
        import jax

        def product(values, directions, batch):
            return jax.jvp(lambda values: jax.grad(function)(values, batch), (values,), (directions,))[1]

        return jax.jit(jax.value_and_grad(function)), jax.jit(product)
    import tensorflow as tf

    def gradient(tape, value, values):
        gradients = tape.gradient(value, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [tf.convert_to_tensor(g) for g in gradients]

    @tf.function
    def value_and_gradient(values, batch):
        with tf.GradientTape() as tape:
            tape.watch(values)
            value = function(values, batch)
        return value, gradient(tape, value, values)

    @tf.function
    def product(values, directions, batch):
        with tf.GradientTape() as tape:
            tape.watch(values)
            _, gradients = value_and_gradient(values, batch)
            along = tf.add_n([tf.reduce_sum(g * d) for g, d in zip(gradients, directions, strict=True)])
        return gradient(tape, along, values)

    return value_and_gradient, product


def make_batches(x, y, sample_weight, batch_size):
    """Pairs of a number of rows and the tensors of such a batch."""
    data = _each(_array, (x, y, sample_weight))
    shapes = [a.shape for a in tree.flatten(data) if a is not None]
    lengths = {shape[0] if shape else 0 for shape in shapes}
    if len(lengths) != 1 or not min(lengths):
        accepted = "arrays of equally many rows in `x`, `y` and `sample_weight`, at least one"
        raise invalid("minimize", "x", f"arrays of shapes {shapes}", accepted)
    rows = lengths.pop()
    if batch_size is None:
        batch_size = rows
    check_number("minimize", "batch_size", batch_size, low=1, integer=True)
    batches = []
    for i in range(0, rows, batch_size):
        part = _each(lambda a, i=i: ops.convert_to_tensor(a[i : i + batch_size]), data)
        batches.append((min(batch_size, rows - i), part))
    return batches


def _each(function, data):
    """`function` of each array; `None`, for what was not given, stays."""
    return tree.map_structure(lambda a: None if a is None else function(a), data)


def _array(value):
    array = np.asarray(value)
    return array.astype(keras.config.floatx()) if array.dtype.kind == "f" else array


def make_loss(loss):
    """A `keras.losses.Loss`, whose value is a mean over the rows."""
    if loss is None or isinstance(loss, keras.losses.Loss):
        return loss
    try:
        loss = keras.losses.get(loss)
    except (TypeError, ValueError):
        raise invalid("minimize", "loss", loss, "a Keras loss, its name or a function (y_true, y_pred)") from None
    if isinstance(loss, keras.losses.Loss):
        return loss
    made = keras.losses.Loss(name="loss")
    made.call = loss
    return made


def _added(model, loss):
    """`loss` and what the layers add: regularization and `add_loss`."""

    def compute_loss(x, y, y_pred, sample_weight):
        return loss(y, y_pred, sample_weight) + sum(ops.sum(added) for added in model.losses)

    return compute_loss
