"""Whether XLA is at work."""

import keras


def compiled_by_xla():
    """Whether XLA compiles what is being traced: it fuses elementwise work itself, and a loop would be in its way."""
    if keras.backend.backend() == "jax":
        return True
    import tensorflow as tf
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    return GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
