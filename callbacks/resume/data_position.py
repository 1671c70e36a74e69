"""Where in its data a run is, and how another process gets there."""

import keras

from keras_dlopt.callbacks.resume.run_state import equal, read_generators


def go_to(epoch_iterator, position):
    """Brings the data of a run that has just begun to `position`.

    `fit` is then given the last execution behind once more, with its data gone: it is for `pass_over`.

    Args:
        epoch_iterator: what `fit` draws from.
        position: `epochs`, the number of whole epochs behind; `executions`, those of the epoch begun, >= 1;
            `num_batches`, how many an epoch has, as far as was known.

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
        drawn = next(begun)
        last = _draw(drawn[-1], epoch_iterator.steps_per_execution)

    def enumerate_rest():
        del epoch_iterator._enumerate_iterator
        yield drawn
        yield from begun

    epoch_iterator._enumerate_iterator = enumerate_rest
    after = read_generators()
    return last, [name for name in after if not equal(before[name], after[name])]


def pass_over(model, callbacks, logs):
    """Lets the next step of `fit` do nothing but return `logs`, unseen by the callbacks.

    So an epoch whose steps are all behind ends with the logs of its last one. JAX's trainer needs a step to have been
    made besides: else it forgets the variables' values when the data end.

    Args:
        model: the model in training.
        callbacks: the `CallbackList` of `fit`.
        logs: of the last step behind.
    """
    function = model.train_function

    def step(*args):
        model.train_function = function
        return (logs, args[0]) if keras.backend.backend() == "jax" else logs

    def begin(batch, given=None):
        del callbacks.on_train_batch_begin

    def end(batch, given=None):
        del callbacks.on_train_batch_end

    model.train_function, callbacks.on_train_batch_begin, callbacks.on_train_batch_end = step, begin, end


def _draw(iterator, batches):
    """Draws what one execution draws; data that end before it has a batch end the epoch, as in `fit`."""
    batch = next(iterator)
    try:
        for _ in range(batches - 1):
            batch = next(iterator)
    except StopIteration:
        pass
    return batch
