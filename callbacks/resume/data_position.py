"""Where in its data a run is, and how another process gets there."""

from keras_dlopt.callbacks.resume.run_state import equal, read_generators


def go_to(epoch_iterator, position):
    """Brings the data of a run that has just begun to `position`.

    Args:
        epoch_iterator: what `fit` draws from.
        position: `epochs`, the number of whole epochs behind; `executions`, those of the epoch begun; `num_batches`,
            how many an epoch has, as far as was known.

    Returns:
        The last batch that was drawn on the way; and the generators of random numbers that the data have moved.
    """
    before, last = read_generators(), None
    for _ in range(position["epochs"]):
        with epoch_iterator.catch_stop_iteration():
            for _, _, iterator in epoch_iterator:
                last = _draw(iterator, epoch_iterator.steps_per_execution)
    epoch_iterator._num_batches = position["num_batches"]
    begun = epoch_iterator._enumerate_iterator()
    for _ in range(position["executions"]):
        _, _, iterator = next(begun)
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
