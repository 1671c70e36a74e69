"""Steps whose gradients are not finite, undone during `fit`."""

import logging

import keras

from keras_dlopt import step
from keras_dlopt.arguments import check_choice, check_number, invalid
from keras_dlopt.callbacks.callback import Callback
from keras_dlopt.callbacks.schedule import SCHEDULE_CALLBACKS
from keras_dlopt.step.finite import FiniteSteps
from keras_dlopt.step.rate_factor import RateFactor

_LOG = logging.getLogger(__name__)


class NonFiniteGuard(Callback):
    """Undoes every step whose gradients have NaN or infinity, and logs the batch and the variables they came from.

    Gradients are looked at inside the compiled step. With "skip", weights, slots and the optimizer's counter stay what
    they were, as if the batch had not been there. With "rollback" they go back to the last copy, which is made between
    two steps, every `every` batches, and the learning rate, whether a schedule writes it or not, is multiplied by
    `factor` for the rest of the run. At the end of the epoch the logger `keras_dlopt.callbacks.non_finite_guard` warns
    of each of the last 32 such batches, counted from 0 in this run, and the log's `non_finite` is how many there were
    in the run.

    What the forward pass itself writes, such as the moving statistics of BatchNormalization, no optimizer sees: inputs
    that are not finite reach them. A copy takes the memory of weights and optimizer once more. Float16 with loss
    scaling skips such steps before this callback sees them.

    Args:
        action: "skip" or "rollback". Defaults to "skip".
        every: number of batches from one copy to the next, of "rollback"; an execution is not cut.
            Defaults to 100.
        factor: what "rollback" multiplies the learning rate by, in (0, 1]. Defaults to 0.5.

    Raises:
        ValueError: if an argument is out of its range; before the first step of "rollback", if the model is not built,
            or the optimizer's learning rate is a schedule object.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    >>> model.compile(keras.optimizers.SGD(0.25), "mse")
    >>> x, y = np.ones((3, 1)), np.array([[1.0], [np.nan], [1.0]])
    >>> guard = callbacks.NonFiniteGuard()
    >>> _ = model.fit(x, y, batch_size=1, callbacks=[guard], verbose=0)
    >>> float(model.get_weights()[0][0, 0])  # of two steps
    0.75
    """

    after = tuple(SCHEDULE_CALLBACKS)

    def __init__(self, action="skip", *, every=100, factor=0.5):
        super().__init__()
        self._action = check_choice("NonFiniteGuard", "action", action, ("skip", "rollback"))
        self._every = check_number("NonFiniteGuard", "every", every, 1, integer=True)
        self._factor = check_number("NonFiniteGuard", "factor", factor, 0, 1, "(]")

    def on_train_begin(self, logs=None):
        self.end_run()
        optimizer = self.model.optimizer
        if self._action == "rollback" and not all(layer.built for layer in self.model._flatten_layers()):
            raise invalid(
                "NonFiniteGuard", "model", self.model, "built, to go back to: give it an Input, or call `build`"
            )
        rate = RateFactor("NonFiniteGuard", optimizer) if self._action == "rollback" else None
        self._finite = FiniteSteps(rate, self._factor)
        used = [self._finite] if rate is None else [rate, self._finite]
        for observer in used:
            step.attach(optimizer, observer, self.model)
        self.at_end(_detach, used)
        self._told = self._since_copy = 0
        self._batch = -1

    def on_epoch_begin(self, epoch, logs=None):
        self._batch = -1

    def on_train_batch_end(self, batch, logs=None):
        self._since_copy += batch - self._batch
        self._batch = batch
        if self._action == "rollback" and self._since_copy >= self._every:
            if keras.backend.backend() == "jax":
                self.model.jax_state_sync()  # the trainer holds the state during an epoch
            self._finite.copy()
            self._since_copy = 0

    def get_state(self):
        """How many of the undone steps are logged, and the batches since the last copy."""
        return {"told": self._told, "since_copy": self._since_copy, "batch": self._batch}

    def set_state(self, state):
        """Goes on from `get_state`."""
        self._told, self._since_copy, self._batch = state["told"], state["since_copy"], state["batch"]

    def on_epoch_end(self, epoch, logs=None):
        number = self._finite.number()
        for batch, paths in self._finite.latest(since=self._told):
            _LOG.warning("batch %d undone, gradients not finite: %s", batch, ", ".join(paths))
        self._told = number
        if logs is not None:
            logs["non_finite"] = number

    def on_train_end(self, logs=None):
        self.end_run()


def _detach(observers):
    for observer in observers:
        if observer.optimizer is not None:
            step.detach(observer.optimizer, observer)
