"""Weight averaging during `fit`."""

import contextlib
import warnings

import keras
import numpy as np

from keras_dlopt import step
from keras_dlopt.arguments import check_choice, check_length, check_number, in_steps, invalid
from keras_dlopt.callbacks.callback import Callback, callbacks_in_use
from keras_dlopt.callbacks.run_length import run_length, steps_until
from keras_dlopt.step.surround import replace


class AverageWeights(Callback):
    r"""Trains on, and validates and ends with the mean of the weights.

    "swa" is the equal mean of the weights after every update from `begin` on; "ema" the exponential mean, whose decay
    after $t$ updates is $\min(d, (1 + t)/(10 + t))$. The mean is kept inside the compiled step and never steers
    training: it takes the weights' place during validation, and when the run ends. Callbacks that keep the best weights
    of an epoch (EarlyStopping with `restore_best_weights`, ModelCheckpoint with `save_best_only`) find the mean there,
    which validation has measured; the run ends with what EarlyStopping restores. Any other checkpoint in between has
    the weights of training. Trainable weights are averaged, in float32 or better.

    Statistics of BatchNormalization belong to the weights they were gathered with. At the end they are gathered anew,
    with the mean weights, from `data`. Validation during the run uses those at hand.

    Args:
        kind: "ema" or "swa". Defaults to "ema".
        decay: $d$ in [0, 1), of "ema". Defaults to 0.999.
        begin: from which update on: a number of updates, or a share of the run in (0, 1). Defaults to 0.
        data: inputs of training, for BatchNormalization: a NumPy array, which is cut into batches of 32, or an iterable
            of batches of inputs. "swa" of a model with BatchNormalization needs it.

    Raises:
        ValueError: if an argument is out of its range; before the first step, if the run ends before `begin`, or `data`
            is needed.

    Reference:
        Izmailov et al., "Averaging weights leads to wider optima and better generalization", arXiv 1803.05407.
        Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", 1992.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    >>> model.compile(keras.optimizers.SGD(0.25), "mse")
    >>> mean = callbacks.AverageWeights("swa", begin=1)
    >>> x, y = np.ones((3, 1)), np.ones((3, 1))
    >>> _ = model.fit(x, y, batch_size=1, callbacks=[mean], verbose=0)  # weights 0.5, 0.75, 0.875
    >>> float(model.get_weights()[0][0, 0])
    0.8125
    """

    # These scale what the weights move by, or take updates back, before they enter the mean; EarlyStopping restores
    # the weights whose statistics are gathered at the end.
    after = ("FreezeLayers", "GradualUnfreeze", "NonFiniteGuard", "EarlyStopping")
    lengths = ("begin",)

    def __init__(self, kind="ema", decay=0.999, begin=0, *, data=None):
        super().__init__()
        check_choice("AverageWeights", "kind", kind, ("ema", "swa"))
        check_number("AverageWeights", "decay", decay, 0, 1, "[)")
        self._begin = check_length("AverageWeights", "begin", begin, least=0)
        self._kind, self._decay, self._data = kind, decay, data
        self._average = None

    def on_train_begin(self, logs=None):
        self.end_run()
        begin = self._begin
        if begin:
            run = run_length(self)
            begin = in_steps(begin, run)
            if begin >= run:
                raise invalid("AverageWeights", "begin", self._begin, f"before the end of the run, of {run} steps")
        if self._kind == "swa" and self._data is None and _has_batch_norm(self.model):
            accepted = "inputs of training: the mean weights need BatchNormalization statistics of their own"
            raise invalid("AverageWeights", "data", None, accepted)
        self._average = step.Average(begin, self._decay if self._kind == "ema" else None)
        step.attach(self.model.optimizer, self._average, self.model)
        undo = contextlib.ExitStack()
        undo.callback(_detach, self._average)
        for callback in callbacks_in_use():
            if getattr(callback, "restore_best_weights", False) or getattr(callback, "save_best_only", False):
                replace(undo, callback, "on_epoch_end", _with_mean(self._average, callback.on_epoch_end))
        self.at_end(undo.close)
        self._fresh = True

    def on_epoch_begin(self, epoch, logs=None):
        if self._fresh and epoch and self._average.optimizer.built:  # a run that goes on
            accumulated = self._average.optimizer.gradient_accumulation_steps or 1
            self._average.updates.assign(steps_until(self.params, epoch) // accumulated)
        self._fresh = False

    def on_test_begin(self, logs=None):
        if self._average is not None and self._average.has_any():
            self._average.swap()

    def on_test_end(self, logs=None):
        if self._average is not None and self._average.swapped:
            self._average.swap()

    def on_train_end(self, logs=None):
        self.end_run()
        if self._average.has_any():
            if not any(_has_restored(callback) for callback in callbacks_in_use()):
                self._average.swap()
            if self._data is not None:
                step.reestimate_batch_norm(self.model, _batches(self._data))
        else:
            warnings.warn("AverageWeights: the run ended before the first weights to average.", stacklevel=2)
        self._average = None

    def get_state(self):
        """The mean so far."""
        return {str(i): np.array(keras.ops.convert_to_numpy(v)) for i, v in enumerate(self._average.variables)}

    def set_state(self, state):
        """Goes on with the mean of `get_state`."""
        for i, variable in enumerate(self._average.variables):
            variable.assign(state[str(i)])


def _has_batch_norm(model):
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in model._flatten_layers())


def _batches(data, size=32):
    if isinstance(data, np.ndarray):
        return (data[i : i + size] for i in range(0, len(data), size))
    return data


def _with_mean(average, on_epoch_end):
    """`on_epoch_end` of a callback, with the mean in the weights' place."""

    def call(epoch, logs=None):
        if not average.has_any():
            return on_epoch_end(epoch, logs)
        average.swap()
        try:
            on_epoch_end(epoch, logs)
        finally:
            average.swap()

    return call


def _has_restored(callback):
    """Whether it is an `EarlyStopping` that ends the run with the best weights."""
    return getattr(callback, "restore_best_weights", False) and callback.best_weights is not None


def _detach(average):
    if average.is_in_place():  # broken off in validation
        average.swap()
    if average.optimizer is not None:
        step.detach(average.optimizer, average)
