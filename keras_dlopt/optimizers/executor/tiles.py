"""Pure elementwise work on large arrays, a tile at a time: what it needs in between stays small. On TensorFlow."""

import keras
from keras import ops

from keras_dlopt.optimizers.executor.codecs import BLOCK

TILE = 2**18  # elements


def tile_count(size):
    """How many equal tiles of about `TILE` elements, whole blocks each, `size` elements are; 1 if there is no such.

    Example:

    >>> tile_count(4096 * 4096), tile_count(10_000), tile_count(1000 * 1001)
    (64, 1, 1)
    """
    fewest = -(-size // TILE)
    return next((count for count in range(fewest, 4 * fewest) if size % (count * BLOCK) == 0), 1)


def in_tiles(function, count, arrays, result):
    """`function(arrays)`, of `count` tiles one after the other.

    Args:
        function: from a structure of arrays to another one, of the same tile.
        count: the number of tiles; divides the length of every array.
        arrays: nested dictionaries of arrays with one axis.
        result: the structure that `function` returns for one tile, with KerasTensors in place of arrays.

    Returns:
        What `function` would return for whole arrays.
    """
    import tensorflow as tf

    tiles = keras.tree.map_structure(lambda x: ops.reshape(x, (count, -1)), arrays)
    signature = keras.tree.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), result)
    done = tf.map_fn(function, tiles, parallel_iterations=1, fn_output_signature=signature)
    return keras.tree.map_structure(lambda x: ops.reshape(x, (-1,)), done)
