"""The user's tf.data, made fit for several replicas."""

import keras

from keras_dlopt.arguments import check_choice, check_number, invalid
from keras_dlopt.distribute import plan

SHARDING = ("data", "file", "off")


def dataset(data, batch=None, *, drop_remainder=True, shard="data"):
    """A `tf.data.Dataset` in global batches that all replicas can share, sharded over workers and prefetched.

    Args:
        data: the dataset, of single samples with `batch`, else in global batches.
        batch: samples in a global batch, a multiple of the number of replicas. Given rather than made before, it leaves
            the number of batches known.
        drop_remainder: whether the last batch is left out if it is smaller. A TPU needs that, and elsewhere a batch too
            small for all replicas gives some of them nothing, and BatchNormalization NaN.
        shard: how several workers share the data: "data" (each reads everything and takes its share, so nothing is
            lost or seen twice), "file" (each reads its own files; at least one a worker) or "off" (each worker's data
            are its own already; the batch is still the global one, of which it gives its share). On JAX "data" or
            "off", the same for all data of a run.

    Returns:
        The dataset.

    Raises:
        ValueError: if the global batch cannot be known or does not divide by the number of replicas, or several
            workers on JAX shard some data in another way than others.

    Example:

    >>> import tensorflow as tf
    >>> from keras_dlopt import distribute
    >>> _ = distribute.strategy("cpu")
    >>> data = distribute.dataset(tf.data.Dataset.range(10), batch=4)
    >>> [len(batch) for batch in data]
    [4, 4]
    """
    import tensorflow as tf

    if not isinstance(data, tf.data.Dataset):
        raise invalid("dataset", "data", data, "a tf.data.Dataset")
    check_choice("dataset", "shard", shard, SHARDING)
    made = plan.needed("dataset(...)")
    if made.device == "tpu" and not drop_remainder:
        raise invalid("dataset", "drop_remainder", drop_remainder, "True on a TPU, which compiles for one shape")
    jax_workers = made.workers if keras.backend.backend() == "jax" else 1
    if batch is not None:
        size = check_number("dataset", "batch", batch, 1, integer=True)
        static = False
    else:
        size, static = _batch_size(data)
        if size is None:
            raise invalid("dataset", "batch", batch, "given, for these data are not batched")
    if size % made.replicas:
        raise invalid("dataset", "batch", size, f"a multiple of the {made.replicas} replicas that share it")
    # Keras on JAX shards by itself, unless told that each worker's batches are its own.
    share = size // jax_workers if shard == "off" else size
    if batch is not None:
        data = data.batch(share, drop_remainder)
    elif share < size or (drop_remainder and not static):
        data = data.rebatch(share, drop_remainder)
    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy
    options.experimental_distribute.auto_shard_policy = policy[shard.upper()]
    if made.deterministic:
        options.deterministic = True
    if jax_workers > 1:
        if shard == "file":
            raise invalid("dataset", "shard", shard, "'data' or 'off' on JAX")
        if made.shard not in (None, shard):
            accepted = f"{made.shard!r}, as before: on JAX all data of a run are sharded in one way"
            raise invalid("dataset", "shard", shard, accepted)
        made.shard = shard
        made.strategy.auto_shard_dataset = shard == "data"
    why = f"{size // made.replicas} a replica; a smaller last one is {'left out' if drop_remainder else 'kept'}"
    made.note("data", f"batches of {size}, sharded by {shard}", why)
    return data.prefetch(tf.data.AUTOTUNE).with_options(options)


def _batch_size(data):
    """The size of the dataset's batches, `None` if it has none; and whether all are known to have it."""
    import tensorflow as tf
    from tensorflow.python.data.experimental.ops import distribute

    shapes = [spec.shape for spec in tf.nest.flatten(data.element_spec) if hasattr(spec, "shape")]
    if any(shape.rank == 0 for shape in shapes):
        return None, False
    size = int(distribute.compute_batch_size(data))
    return (size, all(shape[0] == size for shape in shapes)) if size > 0 else (None, False)
