"""A batch that grows during the run."""

import keras
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_dlopt import step
from keras_dlopt.arguments import check_choice, check_number, invalid
from keras_dlopt.callbacks.callback import Callback, in_caller
from keras_dlopt.callbacks.joined_batches import JoinedBatches
from keras_dlopt.callbacks.schedule import SCHEDULE_CALLBACKS
from keras_dlopt.callbacks.stages import in_epochs, parse_stages, stage_at
from keras_dlopt.step.rate_factor import check_rate_is_number
from keras_dlopt.step.scaled_rate import ScaledRate

_POWERS = {"linear": 1.0, "sqrt": 0.5, "none": 0.0}


class BatchSizeSchedule(Callback):
    r"""Trains on batches that grow from stage to stage, in place of a learning rate that falls, or with one that rises.

    The data of `fit` stay as they are, arrays, `tf.data`, `PyDataset`, batch by batch of the first size; later on, so
    many batches in a row become one as the size asks for. Sizes change between two epochs, and are few and static: each
    compiles the step once, and once more for a smaller batch at an epoch's end. Under a strategy they are those of all
    replicas together. Schedule callbacks, `Prune` and `AverageWeights` of the same run know that later epochs have
    fewer steps. With `steps_per_epoch`, data begin anew where the size changes.

    The learning rate, a schedule's or the optimizer's own, is multiplied in the step by

    $$(B / B_0)^p, \qquad p = 1 \text{ ("linear")}, \; 1/2 \text{ ("sqrt")}, \; 0 \text{ ("none")}.$$

    "none" is Smith et al.: growing by a factor is letting the rate fall by it. "linear" holds the rate for each sample
    with SGD, "sqrt" with Adam. `optimizer.learning_rate` stays what it is without; the logs have `batch_size`, and
    `learning_rate` as it was used.

    The same number of updates results from gradient accumulation that grows, without the gain: batches as small as
    ever take the time they take. Keras's accumulates over a number that is fixed when the optimizer is built.

    Args:
        sizes: `{when: size}`. `when` is 0, a share of the run in (0, 1), rounded to an epoch, or a whole number of
            epochs; a size is a multiple of the first one, that of the data.
        coupling: "linear", "sqrt" or "none". Defaults to "none".

    Raises:
        ValueError: if an argument is none of these; when the run begins, if the data have batches of another size, the
            stages do not fit the number of epochs, or the learning rate is coupled and no number.

    Source: Smith et al., "Don't decay the learning rate, increase the batch size", arXiv 1711.00489.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1), "mse")
    >>> grow = callbacks.BatchSizeSchedule({0: 4, 0.5: 8}, coupling="linear")
    >>> x, y = np.ones((16, 2)), np.ones((16, 1))
    >>> history = model.fit(x, y, batch_size=4, epochs=4, callbacks=[grow], verbose=0).history
    >>> history["batch_size"], [round(rate, 2) for rate in history["learning_rate"]]
    ([4, 4, 8, 8], [0.1, 0.1, 0.2, 0.2])
    >>> int(model.optimizer.iterations)
    12
    """

    after = (*SCHEDULE_CALLBACKS, "ReduceLROnPlateau")
    lengths = ("sizes",)

    def __init__(self, sizes, coupling="none"):
        super().__init__()
        self._power = _POWERS[check_choice("BatchSizeSchedule", "coupling", coupling, tuple(_POWERS))]
        self._sizes = parse_stages("BatchSizeSchedule", "sizes", sizes)
        for _, size in self._sizes:
            check_number("BatchSizeSchedule", "sizes", size, 1, integer=True)
            if size % self._sizes[0][1]:
                raise invalid("BatchSizeSchedule", "sizes", sizes, "multiples of the first one")

    def set_params(self, params):
        super().set_params(params)
        # Before any callback's run begins, so that all of them know how long it is.
        if params and params.get("steps") and params.get("epochs", 0) > self._sizes[-1][0]:
            begun = in_epochs("BatchSizeSchedule", "sizes", self._sizes, params["epochs"])
            factors = [self._factor(begun[stage_at(begun, epoch)][1]) for epoch in range(params["epochs"])]
            params["epoch_steps"] = [-(-params["steps"] // factor) for factor in factors]

    def _factor(self, size):
        """How many batches of the data make one."""
        return size // self._sizes[0][1]

    def on_train_begin(self, logs=None):
        self.end_run()
        self._begun = in_epochs("BatchSizeSchedule", "sizes", self._sizes, self.params["epochs"])
        self._iterator = in_caller("epoch_iterator", EpochIterator)
        if self._iterator is None:
            raise invalid("BatchSizeSchedule", "model", self.model, "trained by `fit`")
        self._adapter, self._steps = self._iterator.data_adapter, self._iterator.steps_per_epoch
        found, first = self._adapter.batch_size, self._sizes[0][1]
        if found not in (None, first):
            raise invalid("BatchSizeSchedule", "sizes", dict(self._sizes), f"{found}, as the data, at 0")
        self._stage, self._used = 0, []
        if self._power:
            check_rate_is_number("BatchSizeSchedule", self.model.optimizer)
        self.at_end(_detach, self._used)

    def on_epoch_begin(self, epoch, logs=None):
        stage = stage_at(self._begun, epoch)
        if stage != self._stage:
            self._stage = stage
            self._join(self._factor(self._size))
            _detach(self._used)
            factor = (self._size / self._sizes[0][1]) ** self._power
            if factor != 1:
                self._used.append(ScaledRate(factor))
                step.attach(self.model.optimizer, self._used[0], self.model)

    @property
    def _size(self):
        return self._begun[self._stage][1]

    def _join(self, factor):
        """From now on the run draws so many batches of the data at a time."""
        iterator = self._iterator
        iterator.data_adapter = JoinedBatches(self._adapter, factor, self._size)
        iterator._num_batches = iterator.data_adapter.num_batches
        iterator.steps_per_epoch = self._steps and -(-self._steps // factor)
        iterator._current_iterator = None
        if keras.backend.backend() == "tensorflow":
            strategy, dataset = iterator._distribute_strategy, iterator.data_adapter.get_tf_dataset()
            iterator._distributed_dataset = strategy.experimental_distribute_dataset(dataset)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["batch_size"] = self._size
            rate = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer).learning_rate
            factor = self._used[0].factor if self._used else 1.0
            logs["learning_rate"] = float(keras.ops.convert_to_numpy(rate)) * factor

    def on_train_end(self, logs=None):
        self.end_run()
        self._iterator = self._adapter = None


def _detach(used):
    while used:
        rate = used.pop()
        if rate.optimizer is not None:
            step.detach(rate.optimizer, rate)
