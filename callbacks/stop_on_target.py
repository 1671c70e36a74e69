"""Stops a run that is good enough."""

from keras_dlopt.arguments import check_choice, check_number
from keras_dlopt.callbacks.callback import Callback
from keras_dlopt.callbacks.monitor import monitored


class StopOnTarget(Callback):
    """Ends the run after the first epoch in which a metric reaches its target.

    Args:
        monitor: name of the metric in the epoch's logs.
        target: the value to reach.
        mode: whether the metric must be at most, "min", or at least, "max", the target. Defaults to "max".

    Raises:
        ValueError: if an argument is out of its range, or the logs of an epoch, with validation for a metric that
            begins with "val_", have no such metric.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    >>> model.compile(keras.optimizers.SGD(0.25), "mse")  # the error halves in every epoch
    >>> stop = callbacks.StopOnTarget("loss", 0.1, mode="min")
    >>> model.fit(np.ones((1, 1)), np.ones((1, 1)), epochs=9, callbacks=[stop], verbose=0).history["loss"]
    [1.0, 0.25, 0.0625]
    """

    def __init__(self, monitor, target, *, mode="max"):
        super().__init__()
        self._target = check_number("StopOnTarget", "target", target)
        self._mode = check_choice("StopOnTarget", "mode", mode, ("min", "max"))
        self._monitor = monitor

    def on_epoch_end(self, epoch, logs=None):
        value = monitored(self, self._monitor, epoch, logs)
        if value is not None and (value <= self._target if self._mode == "min" else value >= self._target):
            self.model.stop_training = True
