"""One cycle over the run."""

from keras_dlopt import schedules
from keras_dlopt.callbacks.schedule import ScheduleCallback


class OneCycle(ScheduleCallback, schedule=schedules.OneCycle):
    """Takes the learning rate up to the peak and, in the rest of the run, down to far below where it began.

    The formula is that of `schedules.OneCycle`, with as many steps as the run has; how it behaves in a run is
    told in `ScheduleCallback`.

    Args:
        peak: the highest learning rate, > 0.
        warmup: length of the way up: a share of the run in (0, 1), or a number of steps. Defaults to 0.3.
        div: the run begins at `peak / div`, >= 1. Defaults to 25.
        final_div: the run ends at `peak / div / final_div`, >= 1. Defaults to 1e4.
        steps: length of the schedule in steps; by default that of the run. Data of unknown length need it.

    Raises:
        ValueError: if an argument is out of its range; when the run begins, if the way up is longer than the
            run, its length is unknown, or the optimizer's learning rate is not a number but a schedule.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(), "mse")
    >>> x, y = np.ones((100, 2)), np.ones((100, 1))
    >>> history = model.fit(x, y, batch_size=10, epochs=4, callbacks=[callbacks.OneCycle(0.1)], verbose=0)
    >>> [round(rate, 4) for rate in history.history["learning_rate"]]
    [0.0924, 0.0812, 0.0283, 0.0]
    >>> round(float(model.optimizer.learning_rate), 4)  # the optimizer's own, put back
    0.01
    """
