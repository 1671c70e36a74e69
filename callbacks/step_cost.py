"""What a training step costs: when it was traced, of which data, and how many operations it has."""

import keras

from keras_dlopt.step.surround import release, surround

IS_JAX = keras.backend.backend() == "jax"


class TracedStep:
    """Looks on when the step of a model is traced.

    Args:
        model: a compiled model.
        data: the `EpochIterator` of the run, or `None`.

    Attributes:
        traces: how often it was traced.
        latest: the `Trace` in use, on batches of full size; `None` before the first one.
    """

    outermost = True  # what others do to the batch belongs to the step

    def __init__(self, model, data=None):
        self.model, self._data, self.traces, self.latest, self._traced = model, data, 0, None, None
        surround(model, self)

    def __call__(self, step, *args):
        self.traces += 1
        # Another step, or one on batches of another size: else this is for a smaller batch at the end of an epoch.
        traced = self.model.train_step, self._announced_size()
        if traced != self._traced:
            self._traced, self.latest = traced, Trace(step, keras.tree.map_structure(_spec, args))
        return step(*args)

    def leave(self):
        """Looks on no longer, and lets the data go."""
        release(self.model, self)
        self._data = None

    def batch_size(self):
        """The full size of the batches by now, or `None` if nothing tells."""
        return self._announced_size() or (None if self.latest is None else self.latest.batch_size())

    def _announced_size(self):
        return getattr(getattr(self._data, "data_adapter", None), "batch_size", None)


class Trace:
    """A step as it was traced.

    Args:
        step: the function.
        specs: shapes and dtypes of its arguments.
    """

    def __init__(self, step, specs):
        self._step, self._specs, self._counted = step, specs, {}

    def batch_size(self):
        """The size of the batches it was traced with, or `None`."""
        data = keras.tree.flatten(self._specs[-1])
        return data[0].shape[0] if data and len(data[0].shape) else None

    def flops(self, batch_size):
        """Floating-point operations of one step as XLA (JAX) or TensorFlow's profiler counts them, or `None`."""
        if batch_size not in self._counted:
            self._counted[batch_size] = self._count(batch_size)
        return self._counted[batch_size]

    def _count(self, batch_size):
        try:
            return (_on_jax if IS_JAX else _on_tensorflow)(self._step, self._specs, batch_size) or None
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
