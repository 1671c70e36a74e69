"""Random probes that are a function of the step: equal on all replicas, and again after loading."""

import keras
from keras import ops


def normal(shape, dtype, t):
    """Independent standard normal numbers, the same ones at every call with the same step `t`."""
    dtype, step = keras.backend.standardize_dtype(dtype), ops.cast(t, "int32")
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        seed = ops.stack([step, ops.zeros_like(step)])
        return tf.random.stateless_normal(shape, seed, dtype=dtype, alg="philox")
    import jax

    return jax.random.normal(jax.random.fold_in(jax.random.key(0), step), shape, dtype)
