"""What several workers must agree on, because each by itself would decide otherwise."""

import keras
import numpy as np

from keras_dlopt.distribute import plan


def from_chief(number):
    """The chief's `number`, on every worker; all must ask, at the same place between two steps.

    Args:
        number: a whole number of at most 31 bits.

    Returns:
        The number that the chief gave.

    Example:

    >>> from_chief(5)
    5
    """
    made = plan.last()
    if made is None or made.workers == 1:
        return number
    if keras.backend.backend() == "jax":
        from jax.experimental import multihost_utils

        return int(multihost_utils.broadcast_one_to_all(np.int32(number)))
    import tensorflow as tf

    def given(context):
        # TensorFlow keeps int32 on the host, where GPUs do not reduce.
        return tf.constant(number if context.replica_id_in_sync_group == 0 else 0, "float64")

    values = made.strategy.experimental_distribute_values_from_function(given)
    return int(made.strategy.reduce("SUM", values, axis=None))
