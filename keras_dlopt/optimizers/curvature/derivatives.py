"""Gradients and products with the Hessian of a function of a list of tensors, on either backend."""

import keras


def gradient(function, values):
    """The gradient of the scalar `function(values)`, one tensor a value; zeros where it does not depend on one."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(function)(values)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(values)
        result = function(values)
    parts = tape.gradient(result, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [tf.convert_to_tensor(part) for part in parts]  # an embedding's part is sparse


def hessian_product(function, values, direction):
    """The Hessian of the scalar `function(values)` times `direction`, a list like `values`."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jvp(jax.grad(function), (values,), (direction,))[1]
    direction = [keras.ops.stop_gradient(u) for u in direction]  # which may be the values themselves
    return gradient(lambda values: _inner_product(gradient(function, values), direction), values)


def _inner_product(a, b):
    return sum(keras.ops.sum(x * y) for x, y in zip(a, b, strict=True))
