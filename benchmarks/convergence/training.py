"""Many runs of one task with one optimizer, for the price of one compilation."""

import functools
import time

import keras
import numpy as np
import tensorflow as tf

from keras_dlopt.optimizers.schedule_free.averaging import ScheduleFree
from keras_dlopt.schedules import WarmupCosine


class Runs:
    """Trains `task` with `optimizer` from any seed, with any rate: all runs share one traced function.

    The learning rates and the batches of a block of steps are its inputs. Between runs the weights get the initial
    values of another seed, the optimizer's variables those that they were built with.
    """

    def __init__(self, task, optimizer):
        self.task, self.optimizer = task, optimizer
        self.model = task.model()
        self.variables = self.model.trainable_variables
        optimizer.build(self.variables)
        self.built_state = [keras.ops.convert_to_numpy(v) for v in optimizer.variables]
        arrays = task.batches(np.random.default_rng(0), 1)
        batches = [tf.TensorSpec([None, *array.shape[1:]], array.dtype) for array in arrays]
        self.steps = tf.function(self._steps, [tf.TensorSpec([None]), batches])
        self.values = {split: tf.function(lambda v=v: v(self.model)) for split, v in task.values.items()}

    def _steps(self, rates, batches):
        for i in tf.range(len(rates)):
            self._step(rates[i], [array[i] for array in batches])

    def _step(self, rate, batch):
        self.optimizer.learning_rate = rate
        with tf.GradientTape() as tape:
            loss = self.task.loss(self.model, batch)
        self.optimizer.apply(tape.gradient(loss, self.variables), self.variables)

    def start(self, seed):
        """Weights of `seed`, an optimizer that has seen nothing."""
        for variable, value in zip(self.model.variables, initial_weights(self.task.model, seed), strict=True):
            variable.assign(value)
        keras.utils.set_random_seed(seed)
        for variable, value in zip(self.optimizer.variables, self.built_state, strict=True):
            variable.assign(value)

    def train(self, seed, rates, split, points=1):
        """Trains from `seed` with `rates`, one a step; returns the value of `split` at `points` equidistant places.

        A value that is not finite is infinite, and ends the run.
        """
        self.start(seed)
        batches = self.task.batches(np.random.default_rng(seed), len(rates))
        values = []
        for block in np.split(np.arange(len(rates)), points):
            self.steps(tf.constant(rates[block]), [tf.constant(array[block]) for array in batches])
            values.append(self.value(split))
            if not np.isfinite(values[-1]):
                break
        return values + [float("inf")] * (points - len(values))

    def value(self, split):
        """The task's value at the weights that the optimizer says to evaluate."""
        training = [keras.ops.copy(v) for v in self.variables]
        if self.optimizer.use_ema:
            self.optimizer.finalize_variable_values(self.variables)
        if isinstance(self.optimizer, ScheduleFree):
            for variable, average in zip(
                self.variables, self.optimizer.evaluation_weights(self.variables), strict=True
            ):
                variable.assign(average)
        value = float(self.values[split]())
        for variable, weights in zip(self.variables, training, strict=True):
            variable.assign(weights)
        return value if np.isfinite(value) else float("inf")

    def step_seconds(self, rate, steps=40, rounds=5):
        """Seconds of a step: the fastest of some short rounds, after compilation."""
        self.start(0)
        rates = tf.fill([steps], rate)
        batches = [tf.constant(array) for array in self.task.batches(np.random.default_rng(0), steps)]
        self.steps(rates, batches)
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            self.steps(rates, batches)
            seconds.append(time.perf_counter() - start)
        return min(seconds) / steps


@functools.lru_cache
def initial_weights(model, seed):
    """The weights that `model` makes from a seed, for every optimizer the same."""
    keras.utils.set_random_seed(seed)
    return [keras.ops.convert_to_numpy(v) for v in model().variables]


def rates(peak, steps, schedule):
    """The learning rate of every step.

    Args:
        peak: the highest.
        steps: the length of the run.
        schedule: "warm-up and cosine" (5 % of the steps, then to zero), "cosine" or "constant".
    """
    if schedule == "constant":
        return np.full(steps, peak, "float32")
    warmup = 0.05 if schedule == "warm-up and cosine" else 1
    return np.array(WarmupCosine(peak, steps, warmup)(np.arange(1, steps + 1)), "float32")
