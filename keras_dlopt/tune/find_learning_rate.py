"""A learning-rate range test in one call."""

import math
import random

import keras
import numpy as np

from keras_dlopt import callbacks
from keras_dlopt.arguments import check_number, invalid


def find_learning_rate(
    model,
    x,
    y=None,
    *,
    batch_size=32,
    steps=100,
    low=1e-6,
    high=1.0,
    sweep="exponential",
    smoothing=0.9,
    diverge=4.0,
    sample_weight=None,
    class_weight=None,
    seed=0,
):
    """Trains on a few batches at rising learning rates, then puts everything back, and suggests a rate.

    Afterwards weights, optimizer, metrics and seed generators are bit for bit as before, and so are the random states
    of Python and NumPy: training goes on as if nothing had been. Arrays are drawn in an order of this call's own.
    Datasets are iterated anew, from their beginning: a `tf.data` pipeline that reshuffles goes on with the next of its
    orders.

    Args:
        model: a compiled model whose learning rate is a number. What it learns in the test is forgotten.
        x, y, sample_weight: data as `fit` takes it: arrays, or a dataset alone. No generator: it could not be put back.
        batch_size: rows of a batch, for arrays. Defaults to 32.
        steps: batches of the sweep, >= 3. Defaults to 100.
        low, high, sweep, smoothing, diverge: see `callbacks.LearningRateFinder`.
        class_weight: as in `fit`.
        seed: of the order of arrays.

    Returns:
        A `RangeTest`: `valley`, `steepest`, `minimum`, `plot(path)`, and the losses.

    Raises:
        ValueError: if an argument is out of its range, the model is not compiled, or its learning rate follows a
            schedule.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import tune
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.5), "mse")
    >>> x = np.random.default_rng(0).normal(size=(64, 2))
    >>> before = model.get_weights()
    >>> found = tune.find_learning_rate(model, x, x[:, :1], batch_size=8, steps=40, low=1e-4, high=10)
    >>> 1e-3 < found.valley < 1
    True
    >>> all(np.array_equal(a, b) for a, b in zip(before, model.get_weights())), float(model.optimizer.learning_rate)
    (True, 0.5)
    """
    where = "find_learning_rate"
    finder = callbacks.LearningRateFinder(low, high, steps=steps, sweep=sweep, smoothing=smoothing, diverge=diverge)
    check_number(where, "batch_size", batch_size, 1, integer=True)
    if getattr(model, "optimizer", None) is None:
        raise invalid(where, "model", model, "a compiled model")
    if hasattr(x, "__next__"):
        raise invalid(where, "x", x, "arrays or a dataset: what is taken from a generator cannot be put back")
    data = {"x": x, "epochs": steps}  # every epoch has a step at least
    if y is not None or all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(x)):
        arrays = {"x": x, "y": y, "sample_weight": sample_weight}
        arrays = {name: value for name, value in arrays.items() if value is not None}
        rows = len(keras.tree.flatten(x)[0])
        order = np.random.default_rng(seed)
        epochs = math.ceil(steps * batch_size / rows)
        chosen = np.concatenate([order.permutation(rows) for _ in range(epochs)])[: steps * batch_size]
        data = keras.tree.map_structure(lambda array: np.asarray(array)[chosen], arrays)
        data |= {"batch_size": batch_size, "shuffle": False}
    executions, states = model.steps_per_execution, (random.getstate(), np.random.get_state())
    model.steps_per_execution = 1  # a loss for every step
    try:
        model.fit(**data, class_weight=class_weight, callbacks=[finder], verbose=0)
    finally:
        model.steps_per_execution = executions
        finder.put_back()
        if model.train_function is not None:
            model.make_train_function(force=True)  # of as many steps as before
        random.setstate(states[0])
        np.random.set_state(states[1])
    return finder.result
