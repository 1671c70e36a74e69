"""What a training step costs: when it was traced, of which data, and how many operations it has."""

import keras

from keras_dlopt.step.surround import release, surround

IS_JAX = keras.backend.backend() == "jax"


class TracedStep:
    """Looks on when the step of a model is traced, and notes the shapes.

    Attributes:
        traces: how often it was traced.
        specs: shapes and dtypes of its arguments, the first time; `None` before.
    """

    def __init__(self, model):
        self.model, self.traces, self.specs = model, 0, None
        surround(model, self)

    def __call__(self, step, *args):
        self.traces += 1
        if self.specs is None:
            self._step, self.specs = step, keras.tree.map_structure(_spec, args)
        return step(*args)

    def leave(self):
        """Looks on no longer."""
        release(self.model, self)

    def batch_size(self):
        """The size of the batches it was traced with, or `None`."""
        data = keras.tree.flatten(self.specs[-1]) if self.specs else []
        return data[0].shape[0] if data and len(data[0].shape) else None

    def flops(self, batch_size=None):
        """Floating-point operations of one step as XLA (JAX) or TensorFlow's profiler counts them, or `None`."""
        if self.specs is None:
            return None
        try:
            return (_on_jax if IS_JAX else _on_tensorflow)(self._step, self.specs, batch_size) or None
        except Exception:  # whatever a model of one's own does in its step that cannot be traced apart
            return None


def _spec(value):
    if value is None:
        return None
    if IS_JAX:
        import jax

        return jax.ShapeDtypeStruct(value.shape, value.dtype)
    import tensorflow as tf

    return tf.TensorSpec(value.shape, value.dtype)


def _on_jax(step, specs, batch_size):
    import jax

    costs = jax.jit(lambda *args: step(*args)).lower(*specs).cost_analysis()
    return float(costs["flops"])


def _on_tensorflow(step, specs, batch_size):
    import tensorflow as tf

    def whole(spec):
        return None if spec is None else tf.TensorSpec([batch_size if n is None else n for n in spec.shape], spec.dtype)

    specs = keras.tree.map_structure(whole, specs)
    graph = tf.function(lambda data: step(data)).get_concrete_function(*specs).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return float(tf.compat.v1.profiler.profile(graph, options=options).total_float_ops)
