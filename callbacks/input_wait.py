"""How long steps wait for their data."""

import contextlib
import time


class FetchesInGraph:
    """Counts the seconds that the train functions traced while it is on spend in fetching data.

    TensorFlow fetches a batch inside the function it compiles, which the host cannot see: while that is traced, two
    timestamps go around the fetch, outside of what XLA compiles.

    Attributes:
        active: whether what is traced now is the training step.
    """

    def __init__(self):
        import tensorflow as tf
        from tensorflow.python.data.ops.iterator_ops import OwnedIterator

        self.active, self._found = False, False
        self._iterator, self._original = OwnedIterator, OwnedIterator.get_next
        with tf.device("CPU:0"):  # read after every step, without asking the accelerator
            self._seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        wait, original = self, self._original

        def get_next(iterator, *args, **kwargs):
            if not wait.active or not tf.inside_function():
                return original(iterator, *args, **kwargs)
            began = tf.timestamp()
            with tf.control_dependencies([began]):
                data = original(iterator, *args, **kwargs)
            with tf.control_dependencies(tf.nest.flatten(data, expand_composites=True)):
                wait._seconds.assign_add(tf.timestamp() - began)
            wait._found = True
            return data

        OwnedIterator.get_next = self._own = get_next

    def seconds(self):
        """The seconds so far, or `None` if no fetch was found, as with `steps_per_execution` and strategies."""
        return float(self._seconds.numpy()) if self._found else None

    def leave(self):
        """Takes the timestamps out of what is traced from now on."""
        with contextlib.suppress(AttributeError):
            if self._iterator.get_next is self._own:
                self._iterator.get_next = self._original


class FetchesOnHost:
    """Counts the seconds in which a JAX trainer, whose host fetches the data, is fetching.

    Args:
        data: the `EpochIterator` of the run.
    """

    active = False

    def __init__(self, data):
        self._data, self._seconds = data, 0.0
        original = data._get_iterator

        def get_iterator():
            return self._timed(iter(original()))

        data._get_iterator = get_iterator

    def _timed(self, batches):
        while True:
            began = time.perf_counter()
            batch = next(batches, self)
            self._seconds += time.perf_counter() - began
            if batch is self:
                return
            yield batch

    def seconds(self):
        """The seconds so far."""
        return self._seconds

    def leave(self):
        """Leaves the data as they were."""
        vars(self._data).pop("_get_iterator", None)
