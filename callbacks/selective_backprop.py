"""Training on the hard part of a batch."""

import functools

import keras

from keras_dlopt.arguments import check_choice, check_length, check_number, in_steps, invalid
from keras_dlopt.callbacks.batch_stages import BatchStages
from keras_dlopt.callbacks.run_length import end_in_steps
from keras_dlopt.step.hard_rows import hard_rows, row_losses


class SelectiveBackprop(BatchStages):
    r"""Trains on the rows of a batch whose loss is large: a fixed share of them, so that shapes stay as they are.

    Inside the compiled step, the model sees the whole batch once more, as it does when it predicts; then the rows
    that are kept make the step, and the others are left out. Of $n$ rows, $k$, `keep` times $n$, are drawn without
    replacement, with odds

    $$F_i^\beta, \qquad \beta = 1/\text{keep} - 1,$$

    where $F_i$ is the share of rows whose loss is not larger than that of row $i$; $\beta$ is the exponent with which
    the paper, which keeps each row by a coin of its own, keeps this share on average. `select="top"` keeps the $k$
    largest. A backward pass costs two forward passes: a step costs about $1/3 + \text{keep}$ of a whole one, so that
    there is something to save below 2/3.

    A row's loss is what it adds to the loss of the batch: weighted by `sample_weight`, `class_weight` and
    `loss_weights`, the mean over its tokens, without regularization. Rows that are kept keep their weight. What the
    training logs say, loss and metrics, is of the rows that were kept, and so looks worse than validation.

    The additional pass changes nothing: BatchNormalization normalizes by its moving statistics and gathers none, and
    Dropout drops nothing. The step on the kept rows gathers theirs, which are not those of all: `end` leaves the rest
    of the run to whole batches, which bring them back. Under a strategy every replica chooses among its own rows.

    Args:
        keep: share of the rows, in (0, 1). Defaults to 0.5.
        begin: from which step on: a share of the run, or a number of steps. What is hard must have been learned first.
            Defaults to 0.5.
        end: from which step on batches are whole again. Defaults to 0.9.
        select: "sample" or "top". Defaults to "sample".
        seed: of the draw, a whole number >= 0.
        steps: length of the run, for data of unknown length.

    Raises:
        ValueError: if an argument is out of its range; when the run begins, if `end` is not after `begin` and within
            the run, the model was not compiled with a loss, or one that does not give a number a row.

    Source: Jiang et al., "Accelerating deep learning by focusing on the biggest losers", arXiv 1910.00762.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    >>> model.compile(keras.optimizers.SGD(0.25), "mse")
    >>> hard = callbacks.SelectiveBackprop(0.5, begin=0, end=1, select="top", steps=1)
    >>> _ = model.fit(np.ones((2, 1)), np.array([[0.0], [2.0]]), callbacks=[hard], verbose=0)  # 2, and not their mean
    >>> float(model.get_weights()[0][0, 0])
    1.0
    """

    lengths = ("begin", "end")

    def __init__(self, keep=0.5, begin=0.5, end=0.9, *, select="sample", seed=0, steps=None):
        super().__init__(steps)
        where = "SelectiveBackprop"
        self._keep = check_number(where, "keep", keep, 0, 1, "()")
        self._begin, self._end_of_choice = check_length(where, "begin", begin, 0), check_length(where, "end", end)
        self._beta = None if check_choice(where, "select", select, ("sample", "top")) == "top" else 1 / keep - 1
        self._seed = check_number(where, "seed", seed, 0, 2**31 - 1, integer=True)

    def on_train_begin(self, logs=None):
        if self.model._compile_loss is None:
            raise invalid("SelectiveBackprop", "model", self.model.name, "compiled with a loss, by which to rank rows")
        super().on_train_begin(logs)

    def stages(self, run):
        begin, end = in_steps(self._begin, run), end_in_steps(self, self._end_of_choice, run)
        if end <= begin:
            raise invalid("SelectiveBackprop", "end", self._end_of_choice, f"after `begin`, which is step {begin}")
        choose = functools.partial(_chosen, self.model, self._keep, self._beta, self._seed)
        return [(0, None), (begin, choose), (end, None)]


def _chosen(model, keep, beta, seed, x, y, sample_weight):
    losses = row_losses(model, y, model(x, training=False) if model._call_has_training_arg else model(x), sample_weight)
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    rows = hard_rows(losses, keep, beta, (seed, optimizer._iterations))
    return keras.tree.map_structure(
        lambda t: t if t is None else keras.ops.take(t, rows, axis=0), (x, y, sample_weight)
    )
