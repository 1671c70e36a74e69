"""A search for the learning rate of a run: trials at the rates that a range test leaves, longer for the better ones."""

import dataclasses
import math
import random

import keras
import numpy as np

from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.step.model_state import ModelState
from keras_dlopt.tune.chart import chart
from keras_dlopt.tune.find_learning_rate import find_learning_rate
from keras_dlopt.tune.range_test import RangeTest

WHERE = "search_learning_rate"


@dataclasses.dataclass(frozen=True, eq=False)
class RateSearch:
    """The trials of a search for a learning rate.

    Attributes:
        rates: learning rates of the trials, rising.
        losses: for each trial its validation loss after every epoch it had; `inf` where it was not finite.
        range_test: the `RangeTest` that the rates were chosen by.

    Example: the first two trials went on for a second epoch.

    >>> search = RateSearch(np.array([0.1, 0.2, 0.4]), ([1.2, 1.0], [1.0, 0.5], [1.5]), None)
    >>> search.best
    0.2
    """

    rates: np.ndarray
    losses: tuple
    range_test: RangeTest

    @property
    def best(self):
        """The rate with the smallest validation loss among the trials that had the most epochs."""
        longest = max(map(len, self.losses))
        return min(self._after(longest), key=lambda trial: trial[1])[0]

    def _after(self, epochs):
        """Rate and smallest loss so far of each trial that had so many epochs."""
        trials = zip(self.rates, self.losses, strict=True)
        return [(float(rate), min(losses[:epochs])) for rate, losses in trials if len(losses) >= epochs]

    def plot(self, path=None):
        """Smallest validation loss of the trials over their learning rates, a line for every length they had.

        Args:
            path: file to write, .png, .svg or .pdf; `None` writes none.

        Returns:
            A `matplotlib.figure.Figure`.
        """

        def draw(axes):
            lengths = sorted({len(losses) for losses in self.losses})
            for shade, epochs in enumerate(lengths, 1):
                points = zip(*self._after(epochs), strict=True)
                label = f"after {epochs} epochs" if epochs > 1 else "after an epoch"
                axes.plot(*points, "o-", color="#2166ac", alpha=shade / len(lengths), label=label)
            axes.axvline(self.best, color="#1a7f37", linewidth=1.2, linestyle="--", label=f"best: {self.best:.2g}")
            axes.set_yscale("log")

        return chart(path, "validation loss", draw)


def search_learning_rate(
    model,
    x,
    y=None,
    *,
    epochs,
    validation_data=None,
    batch_size=32,
    steps_per_epoch=None,
    trials=8,
    low=1e-6,
    high=10.0,
    sample_weight=None,
    class_weight=None,
    seed=0,
):
    r"""Trains at several learning rates for a part of the run each, then puts everything back, and suggests the best.

    Where a range test says where to begin, this says where a run of `epochs` ends well. The rates are `trials`
    logarithmic steps from a third of the test's `valley` to where its loss was smallest. All of them train for
    `epochs / trials`, the better half on to twice that, and so on (successive halving), until two are left that get
    half of the run: together about $\log_2(\text{trials}) / 2 + 1/2$ runs. Compared is the smallest
    validation loss so far. All trials start from the model as it is. Of arrays they see the same batches; a dataset is
    iterated anew for each, and when one goes on.

    Afterwards weights, optimizer, metrics and seed generators are bit for bit as before, and so are the random states
    of Python and NumPy.

    Args:
        model: a compiled model whose learning rate is a number. What it learns in the trials is forgotten.
        x, y, sample_weight: data as `fit` takes it: arrays, or a dataset alone.
        epochs: those of the run that the rate is for, >= 2.
        validation_data: as `fit` takes it. By default the last tenth of the arrays, which is then not trained on.
        batch_size: rows of a batch, for arrays. Defaults to 32.
        steps_per_epoch: batches of an epoch, as in `fit`. Needed for datasets without an end.
        trials: how many rates, >= 2. Defaults to 8.
        low, high: what the range test sweeps. Defaults to 1e-6 and 10.
        class_weight: as in `fit`.
        seed: of the order of arrays.

    Returns:
        A `RateSearch`: `best`, `plot(path)`, the rates and the losses of their trials, `range_test`.

    Raises:
        ValueError: if an argument is out of its range, the model is not compiled, its learning rate follows a
            schedule, a dataset comes without `validation_data` or, without an end, without `steps_per_epoch`, or every
            trial diverged.

    Source: Jamieson, Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", arXiv
    1502.07943.

    Example:

    >>> from keras_dlopt import tune
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x = np.random.default_rng(0).normal(size=(64, 2))
    >>> search = tune.search_learning_rate(model, x, x[:, :1], epochs=8, batch_size=8, trials=4)
    >>> sorted(map(len, search.losses)), 0.01 < search.best < 1
    ([2, 2, 4, 4], True)
    """
    check_number(WHERE, "epochs", epochs, 2, integer=True)
    check_number(WHERE, "trials", trials, 2, integer=True)
    if steps_per_epoch is not None:
        check_number(WHERE, "steps_per_epoch", steps_per_epoch, 1, integer=True)
    data, validation_data = _held_out(x, y, sample_weight, validation_data)
    if steps_per_epoch is None and _is_endless(data):
        raise invalid(WHERE, "steps_per_epoch", None, "given with a dataset that has no end")
    found = find_learning_rate(
        model,
        x,
        y,
        batch_size=batch_size,
        low=low,
        high=high,
        sample_weight=sample_weight,
        class_weight=class_weight,
        seed=seed,
    )
    first, last = found.valley / 3, float(found.rates[found.smoothed.argmin()])
    rates = np.geomspace(first, max(last, 3 * found.valley), trials)
    settings = {"validation_data": validation_data, "class_weight": class_weight, "verbose": 0}
    settings |= {"batch_size": batch_size, "shuffle": False} if isinstance(data, dict) else {}
    settings |= {"steps_per_epoch": steps_per_epoch} if steps_per_epoch else {}
    before, states = ModelState(model), (random.getstate(), np.random.get_state())
    going, after, losses = list(range(trials)), [before] * trials, [[] for _ in rates]
    try:
        while True:
            to = max(1, math.ceil(epochs / max(len(going), 2)))
            for i in going:
                after[i].put_back()
                model.optimizer.learning_rate = rates[i]
                while (epoch := len(losses[i])) < to:
                    # A dataset goes on from epoch to epoch by itself; arrays get an order that all trials share.
                    end = epoch + 1 if isinstance(data, dict) else to
                    arguments = _in_order(data, (seed, epoch)) | settings | {"initial_epoch": epoch, "epochs": end}
                    found_losses = model.fit(**arguments).history["val_loss"]
                    losses[i] += [loss if math.isfinite(loss) else math.inf for loss in found_losses]
                after[i] = ModelState(model)
            if len(going) <= 2:
                break
            going = sorted(sorted(going, key=lambda i: min(losses[i]))[: math.ceil(len(going) / 2)])
    finally:
        before.put_back()
        random.setstate(states[0])
        np.random.set_state(states[1])
    if not any(map(math.isfinite, map(min, losses))):
        accepted = f"such that a rate trains: from {rates[0]:.2g} to {rates[-1]:.2g} no validation loss was finite"
        raise invalid(WHERE, "low", low, accepted)
    return RateSearch(rates, tuple(losses), found)


def _held_out(x, y, sample_weight, validation_data):
    """What to train on, arrays as a dictionary of arguments, and what to validate on."""
    if y is None and not all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(x)):
        if validation_data is None:
            raise invalid(WHERE, "validation_data", None, "given with a dataset: a part of it cannot be held out")
        return x, validation_data
    arrays = {"x": x, "y": y, "sample_weight": sample_weight}
    arrays = {name: keras.tree.map_structure(np.asarray, v) for name, v in arrays.items() if v is not None}
    if validation_data is None:
        rows = len(keras.tree.flatten(x)[0])
        cut = rows - math.ceil(rows / 10)
        validation_data = tuple(keras.tree.map_structure(lambda array: array[cut:], value) for value in arrays.values())
        arrays = keras.tree.map_structure(lambda array: array[:cut], arrays)
    return arrays, validation_data


def _is_endless(data):
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches is None
    return hasattr(data, "cardinality") and int(data.cardinality()) == -1  # tf.data.INFINITE_CARDINALITY


def _in_order(data, seed):
    """The data of an epoch, as `fit` takes them."""
    if not isinstance(data, dict):
        return {"x": data}
    order = np.random.default_rng(seed).permutation(len(keras.tree.flatten(data)[0]))
    return keras.tree.map_structure(lambda array: array[order], data)
