"""Variables and gradients inside a step, on whatever number of replicas it runs.

On TensorFlow a step runs once in each replica of the strategy. There a gradient is the replica's share of the whole
one, and a variable is the replica's copy, which all replicas must write at the same time. On JAX a distributed step is
one program over all data, and nothing is left to do.
"""

import keras
from keras import ops


def total(gradients):
    """The gradients summed over the replicas: equal on all of them, and dense."""
    if keras.backend.backend() != "tensorflow":
        return list(gradients)
    import tensorflow as tf

    # Sparse gradients first, because the parts of a repeated row have to be added before anything nonlinear.
    dense = [tf.convert_to_tensor(g) for g in gradients]
    replica = tf.distribute.get_replica_context()
    if not dense or replica is None or replica.num_replicas_in_sync == 1:
        return dense
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, dense)


def parts(gradients):
    """What each replica has to give so that the sum is `gradients`, bit for bit: the first gives all."""
    if keras.backend.backend() != "tensorflow":
        return gradients
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return gradients
    first = tf.equal(replica.replica_id_in_sync_group, 0)
    return [tf.where(first, g, tf.zeros_like(g)) for g in gradients]


def read(variable):
    """The value of a variable at this point of the step: a later assignment does not change it."""
    if keras.backend.backend() != "tensorflow":
        return ops.convert_to_tensor(variable)
    import tensorflow as tf

    return tf.convert_to_tensor(_native(variable))


def read_all(variables):
    """The values of variables once all replicas are here, each replica's own where it has a copy."""
    if keras.backend.backend() != "tensorflow":
        return [read(v) for v in variables]
    import tensorflow as tf

    natives, strategy = [_native(v) for v in variables], tf.distribute.get_strategy()

    def read_shared(strategy):
        return [None if _has_copies(strategy, v) else tf.convert_to_tensor(v) for v in natives]

    shared = tf.__internal__.distribute.interim.maybe_merge_call(read_shared, strategy)
    return [tf.convert_to_tensor(v) if x is None else x for v, x in zip(natives, shared, strict=True)]


def write(variables, values):
    """Writes each replica's values into its own copies of the variables, without arithmetic between replicas.

    A variable that was made outside of the strategy has no copies, such as the metrics of a model compiled there: it
    gets the first replica's value.
    """
    values = [ops.cast(x, keras.backend.standardize_dtype(v.dtype)) for v, x in zip(variables, values, strict=True)]
    if keras.backend.backend() != "tensorflow":
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return
    import tensorflow as tf

    def write_everywhere(strategy, variables, values):
        for variable, value in zip(variables, values, strict=True):
            if _has_copies(strategy, variable):
                strategy.extended.update(variable, _assign, args=(value,), group=False)
            else:
                variable.assign(strategy.experimental_local_results(value)[0])

    natives, strategy = [_native(v) for v in variables], tf.distribute.get_strategy()
    tf.__internal__.distribute.interim.maybe_merge_call(write_everywhere, strategy, natives, values)


def _has_copies(strategy, variable):
    import tensorflow as tf

    return strategy.num_replicas_in_sync == 1 or isinstance(variable, tf.distribute.DistributedValues)


def _assign(copy, value):
    copy.assign(value)


def _native(variable):
    return variable.value if isinstance(variable, keras.Variable) else variable
