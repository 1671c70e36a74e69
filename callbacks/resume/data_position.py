"""Where in its data a run is, and how another process gets there."""

import keras

from keras_dlopt.callbacks.resume.run_state import equal, read_generators


def read_iterator(epoch_iterator):
    """The `tf.data` iterator in use, as bytes; `None` where only drawing again leads there.

    That is so for arrays, whose order is drawn by an operation that has no state to save, for `PyDataset`, Grain and
    generators, for datasets that call Python or draw random numbers without a seed of their own, for a dataset that is
    distributed over replicas, and on JAX, which hides the iterator.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    # In a variable of the generator where the number of batches is not known.
    iterator = epoch_iterator._epoch_iterator.gi_frame.f_locals.get("iterator", epoch_iterator._current_iterator)
    if type(epoch_iterator.data_adapter).__name__ != "TFDatasetAdapter" or not hasattr(iterator, "_iterator_resource"):
        return None
    refuse_state = tf.data.experimental.ExternalStatePolicy.FAIL.value
    try:
        state = tf.raw_ops.SerializeIterator(
            resource_handle=iterator._iterator_resource, external_state_policy=refuse_state
        )
        return tf.io.serialize_tensor(state).numpy()
    except (tf.errors.FailedPreconditionError, tf.errors.UnimplementedError):
        return None


def write_iterator(iterator, state):
    """Puts a new iterator over the same dataset where the other one was."""
    import tensorflow as tf

    tf.raw_ops.DeserializeIterator(
        resource_handle=iterator._iterator_resource, serialized=tf.io.parse_tensor(state, tf.variant)
    )


def go_to(epoch_iterator, position):
    """Brings the data of a run that has just begun to `position`.

    Args:
        epoch_iterator: what `fit` draws from.
        position: `epochs`, the number of whole epochs behind; `executions`, those of the epoch begun; `iterator`, from
            `read_iterator`; `num_batches`, how many an epoch has, as far as was known.

    Returns:
        The last batch that was drawn on the way; and the generators of random numbers that the data have moved.
    """
    before, last = read_generators(), None
    if position["iterator"] is None:
        for _ in range(position["epochs"]):
            with epoch_iterator.catch_stop_iteration():
                for _, _, iterator in epoch_iterator:
                    last = _draw(iterator, epoch_iterator.steps_per_execution)
    epoch_iterator._num_batches = position["num_batches"]
    begun = epoch_iterator._enumerate_iterator()
    for i in range(position["executions"]):
        _, _, iterator = next(begun)
        if i == 0 and position["iterator"] is not None:
            write_iterator(iterator, position["iterator"])
        last = _draw(iterator, epoch_iterator.steps_per_execution)

    def enumerate_rest():
        del epoch_iterator._enumerate_iterator
        return begun

    epoch_iterator._enumerate_iterator = enumerate_rest
    after = read_generators()
    return last, [name for name in after if not equal(before[name], after[name])]


def _draw(iterator, batches):
    """Draws what one execution draws; data that end before it has a batch end the epoch, as in `fit`."""
    batch = next(iterator)
    try:
        for _ in range(batches - 1):
            batch = next(iterator)
    except StopIteration:
        pass
    return batch
