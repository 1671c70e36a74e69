"""A lower learning rate when a metric stops improving, beside any schedule."""

from keras_dlopt import step
from keras_dlopt.arguments import check_choice, check_number
from keras_dlopt.callbacks.callback import Callback
from keras_dlopt.callbacks.monitor import monitored
from keras_dlopt.callbacks.schedule import SCHEDULE_CALLBACKS
from keras_dlopt.step.rate_factor import RateFactor


class ReduceLROnPlateau(Callback):
    """Multiplies the learning rate by a factor when a metric has stopped improving.

    Keras's callback of this name writes the learning rate, which a schedule overwrites at the next step. This one
    multiplies what a schedule callback of the run writes, for the rest of the run; without one it lowers the
    optimizer's own rate. `warmup` epochs are not watched: a metric that is poor while the rate is still small says
    nothing. For a metric of validation, epochs without it (`validation_freq`) do not count. The log's `learning_rate`
    is the rate last used.

    Args:
        monitor: name of the metric in the epoch's logs. Defaults to "val_loss".
        factor: what the rate is multiplied by, in (0, 1). Defaults to 0.1.
        patience: number of epochs without improvement before that, 1 or more. Defaults to 10.
        mode: whether the metric should fall, "min", or rise, "max". Defaults to "min".
        min_delta: the least change that is an improvement, >= 0. Defaults to 1e-4.
        cooldown: number of epochs after a reduction before counting goes on, with the last of them. Defaults to 0.
        min_lr: the rate is not brought below this. Defaults to 0.
        warmup: number of epochs at the start of the run that are not watched. Defaults to 0.

    Raises:
        ValueError: if an argument is out of its range, the optimizer's learning rate is a schedule object, or the logs
            of an epoch, with validation for a metric that begins with "val_", have no such metric.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> used = [callbacks.Constant(0.1), callbacks.ReduceLROnPlateau("loss", 0.5, patience=1)]
    >>> x = np.zeros((4, 1))                               # a loss of zero never improves
    >>> rates = model.fit(x, x, epochs=4, callbacks=used, verbose=0).history["learning_rate"]
    >>> [round(rate, 4) for rate in rates]
    [0.1, 0.1, 0.05, 0.025]
    """

    after = tuple(SCHEDULE_CALLBACKS)

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        *,
        mode="min",
        min_delta=1e-4,
        cooldown=0,
        min_lr=0.0,
        warmup=0,
    ):
        super().__init__()
        name = "ReduceLROnPlateau"
        self._factor = check_number(name, "factor", factor, 0, 1, "()")
        self._patience = check_number(name, "patience", patience, 1, integer=True)
        self._sign = {"min": 1, "max": -1}[check_choice(name, "mode", mode, ("min", "max"))]
        self._min_delta = check_number(name, "min_delta", min_delta, 0)
        self._cooldown = check_number(name, "cooldown", cooldown, 0, integer=True)
        self._min_lr = check_number(name, "min_lr", min_lr, 0)
        self._warmup = check_number(name, "warmup", warmup, 0, integer=True)
        self._monitor = monitor

    def on_train_begin(self, logs=None):
        self.end_run()
        self._best, self._waited, self._cooling = float("inf"), 0, 0
        self._rate = RateFactor("ReduceLROnPlateau", self.model.optimizer, self._min_lr)
        step.attach(self.model.optimizer, self._rate, self.model)
        self.at_end(_detach, self._rate)

    def on_epoch_end(self, epoch, logs=None):
        value = monitored(self, self._monitor, epoch, logs)
        if logs is not None:
            logs["learning_rate"] = self._rate.latest()
        if epoch < self._warmup or value is None:
            return
        value *= self._sign
        self._cooling = max(self._cooling - 1, 0)
        if value < self._best - self._min_delta:
            self._best, self._waited = value, 0
        elif not self._cooling:
            self._waited += 1
            if self._waited >= self._patience:
                self._rate.lower(self._factor)
                self._waited, self._cooling = 0, self._cooldown

    def on_train_end(self, logs=None):
        self.end_run()

    def get_state(self):
        """What it has seen, and the factor so far."""
        factor = float(self._rate.factor.numpy())
        return {"best": self._best, "waited": self._waited, "cooling": self._cooling, "factor": factor}

    def set_state(self, state):
        """Goes on from `get_state`; a rate that no schedule writes is the optimizer's, which keeps it itself."""
        self._best, self._waited, self._cooling = state["best"], state["waited"], state["cooling"]
        self._rate.factor.assign(state["factor"])


def _detach(rate):
    if rate.optimizer is not None:
        step.detach(rate.optimizer, rate)
