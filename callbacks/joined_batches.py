"""Data whose batches are several of other data."""

import itertools

import keras
import numpy as np
from keras.src.trainers.data_adapters.data_adapter import DataAdapter


class JoinedBatches(DataAdapter):
    """The batches of another adapter, joined one after the other; the last of an epoch may be smaller.

    Args:
        adapter: a Keras data adapter.
        factor: how many of its batches make one.
        size: the number of rows of one.
    """

    def __init__(self, adapter, factor, size):
        self._adapter, self._factor, self._size = adapter, factor, size

    def get_tf_dataset(self):
        return self._adapter.get_tf_dataset().rebatch(self._size)

    def get_numpy_iterator(self):
        return self._joined(self._adapter.get_numpy_iterator())

    get_jax_iterator = get_numpy_iterator

    def _joined(self, batches):
        batches = iter(batches)
        while parts := list(itertools.islice(batches, self._factor)):
            yield keras.tree.map_structure(lambda *rows: None if rows[0] is None else np.concatenate(rows), *parts)

    @property
    def num_batches(self):
        batches = self._adapter.num_batches
        return None if batches is None else -(-batches // self._factor)

    @property
    def batch_size(self):
        return self._size

    def on_epoch_begin(self):
        self._adapter.on_epoch_begin()

    def on_epoch_end(self):
        self._adapter.on_epoch_end()
