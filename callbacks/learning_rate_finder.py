"""The learning-rate range test as a callback."""

import functools
import math

import numpy as np
from keras import ops

from keras_dlopt import step
from keras_dlopt.arguments import check_choice, check_number, invalid
from keras_dlopt.callbacks.batch_stages import batch_of_shapes
from keras_dlopt.callbacks.callback import Callback
from keras_dlopt.callbacks.run_length import run_length
from keras_dlopt.callbacks.schedule import SCHEDULE_CALLBACKS
from keras_dlopt.step.model_state import ModelState
from keras_dlopt.tune.range_test import RangeTest, smooth


class LearningRateFinder(Callback):
    r"""Range test: raises the learning rate from `low` to `high`, batch by batch, then ends the run and undoes it.

    In step $t$ of $n$ the rate is, inside the compiled step,

    $$\eta_t = \eta_0 (\eta_1 / \eta_0)^{t/(n-1)} \quad\text{or}\quad \eta_t = \eta_0 + (\eta_1 - \eta_0)\,t/(n-1)$$

    for the exponential and the linear sweep. The sweep ends early when the smoothed loss is `diverge` times the
    smallest so far, or not finite. Weights, optimizer, metrics and seed generators, all variables, are then what they
    were, bit for bit, from a copy on the host. The data that this run of `fit` has drawn stays drawn:
    `tune.find_learning_rate` puts that back too, in one call. With `steps_per_execution=k` there is one point for
    `k` steps, their mean, at the rate half-way. It stands behind callbacks
    that write weights when the run ends.

    Args:
        low, high: rates of the first and the last step, 0 < low < high.
        steps: batches of the sweep, >= 3; by default the whole run.
        sweep: "exponential" or "linear".
        smoothing: beta of the moving average, in [0, 1).
        diverge: factor that ends the sweep, > 1.

    Attributes:
        result: a `tune.RangeTest`, once the run has ended.

    Raises:
        ValueError: if an argument is out of its range; when the run begins, if its length is unknown, the model
            cannot be built before its first step, or the optimizer's learning rate follows a schedule.

    Source: Smith, "Cyclical learning rates for training neural networks", arXiv 1506.01186, section 3.3.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> finder = callbacks.LearningRateFinder(0.01, 1.0, sweep="linear", diverge=1e9)
    >>> _ = model.fit(np.ones((12, 2)), np.ones((12, 1)), batch_size=4, callbacks=[finder], verbose=0)
    >>> [round(float(rate), 3) for rate in finder.result.rates]
    [0.01, 0.505, 1.0]
    """

    # What these write when the run ends is undone, too.
    after = ("AverageWeights", "Cluster", "EarlyStopping", "Prune", "SwapEMAWeights", *SCHEDULE_CALLBACKS)

    def __init__(self, low=1e-6, high=1.0, *, steps=None, sweep="exponential", smoothing=0.9, diverge=4.0):
        super().__init__()
        where = "LearningRateFinder"
        self.low = check_number(where, "low", low, 0, ends="()")
        self.high = check_number(where, "high", high, low, ends="()")
        self.steps = steps if steps is None else check_number(where, "steps", steps, 3, integer=True)
        self.sweep = check_choice(where, "sweep", sweep, ("exponential", "linear"))
        self.smoothing = check_number(where, "smoothing", smoothing, 0, 1, "[)")
        self.diverge = check_number(where, "diverge", diverge, 1, ends="()")
        self.result = self._saved = self._observer = None

    def on_train_begin(self, logs=None):
        model = self.model
        self.end_run()
        self._steps = run_length(self, self.steps)
        if self._steps < 3:
            raise invalid(type(self).__name__, "steps", self._steps, "3 or more: so long is this run")
        if any(isinstance(o, step.Follow) and o.of == "learning_rate" for o in step.observers(model.optimizer)):
            raise invalid(type(self).__name__, "model", model, "trained without a schedule of its learning rate")
        batch = batch_of_shapes()
        if batch is not None:
            model._symbolic_build(data_batch=batch)  # which TensorFlow leaves to the first step
        saved = ModelState(model)
        self._rate = functools.partial(_rate_at, self.low, self.high, self._steps, self.sweep)
        follow = step.Follow(model.optimizer, "learning_rate", self._rate)
        follow.start = self._done = follow.count()
        step.attach(model.optimizer, follow, model)
        self.at_end(follow.put_back)
        self._saved, self._observer = saved, follow
        self._batches, self._rates, self._losses = 0, [], []
        model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        model, first = self.model, self._done  # on JAX this hands the state back to the variables
        self._done = self._observer.count()
        last = max(self._done - 1, first)
        middle = (first + last) / 2 - self._observer.start
        self._batches += getattr(model, "steps_per_execution", 1)
        if "loss" not in (logs or {}):
            raise invalid(type(self).__name__, "model", list(logs or ()), "one whose train_step returns its `loss`")
        loss = float(logs["loss"])
        model.reset_metrics()  # so that the next loss is that of one batch, not a mean since the epoch began
        if math.isfinite(loss):
            self._rates.append(float(ops.convert_to_numpy(self._rate(middle))))
            self._losses.append(loss)
            smoothed = smooth(self._losses, self.smoothing)
            if smoothed[-1] <= self.diverge * smoothed.min() and self._batches < self._steps:
                return
        model.stop_training = True

    def on_train_end(self, logs=None):
        losses = np.array(self._losses)
        self.result = RangeTest(np.array(self._rates), losses, smooth(losses, self.smoothing))
        self.put_back()

    def put_back(self):
        """Gives every variable the value it had when the run began; for a run that broke off."""
        if self._observer is not None:
            model = self.model
            self.end_run()
            self._saved.put_back()
            self._saved = self._observer = None
            if model.train_function is not None:
                model.make_train_function(force=True)


def _rate_at(low, high, steps, sweep, t):
    share = ops.cast(t, "float32") / (steps - 1)
    if sweep == "linear":
        return low + (high - low) * share
    return low * ops.exp(math.log(high / low) * share)
