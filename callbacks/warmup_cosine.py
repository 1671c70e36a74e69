"""Linear warm-up and cosine decay over the run."""

from keras_dlopt import schedules
from keras_dlopt.callbacks.schedule import ScheduleCallback


class WarmupCosine(ScheduleCallback, schedule=schedules.WarmupCosine):
    """Warms the learning rate up to the peak, then lets it fall along a cosine to the end of the run.

    The formula is that of `schedules.WarmupCosine`, with as many steps as the run has; how it behaves in a
    run is told in `ScheduleCallback`.

    Args:
        peak: the highest learning rate, reached after the warm-up, > 0.
        warmup: length of the warm-up: a share of the run in (0, 1), or a number of steps. Defaults to 0.05.
        floor: the learning rate at the end, in [0, peak]. Defaults to 0.
        steps: length of the schedule in steps; by default that of the run. Data of unknown length need it.

    Raises:
        ValueError: if an argument is out of its range; when the run begins, if the warm-up is longer than the
            run, its length is unknown, or the optimizer's learning rate is not a number but a schedule.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.AdamW(), "mse")
    >>> x, y = np.ones((100, 2)), np.ones((100, 1))
    >>> warmup = callbacks.WarmupCosine(3e-3, warmup=0.1)
    >>> history = model.fit(x, y, batch_size=10, epochs=4, callbacks=[warmup], verbose=0)
    >>> [round(rate, 5) for rate in history.history["learning_rate"]]
    [0.00286, 0.00189, 0.00064, 1e-05]
    """
