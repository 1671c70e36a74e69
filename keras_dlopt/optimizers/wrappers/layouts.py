"""Which axes of a weight are inputs, in Keras's layouts."""


def input_axes(variable):
    """The axes over which the weights of one output unit run: all but the last one.

    That is (inputs, outputs) of Dense and Embedding and (height, width, inputs, outputs) of convolutions. The query,
    key and value kernels of MultiHeadAttention, (inputs, heads, size), have an output unit for each head and
    component. Scalars, biases and gains have no inputs: an empty tuple.

    Example:

    >>> import keras
    >>> input_axes(keras.Variable(keras.ops.ones((3, 3, 2, 4))))
    (0, 1, 2)
    """
    rank = len(variable.shape)
    parents = variable.path.split("/")
    if rank == 3 and len(parents) > 1 and parents[-2] in ("query", "key", "value"):
        return (0,)
    return tuple(range(rank - 1))
