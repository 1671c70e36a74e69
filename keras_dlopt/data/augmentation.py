"""Augmentation: random changes of the inputs that leave the labels true."""

import keras
from keras import ops

from keras_dlopt.arguments import check_number, invalid


def augment(*layers):
    """Composes layers into one function for `tf.data.Dataset.map`: it changes the inputs and passes the rest on.

    The layers run in training mode, one after the other, on batches. They stay outside the model, so a saved or an
    exported model carries nothing of them. Use any of Keras's random preprocessing layers (`RandomTranslation`,
    `RandomRotation`, `RandomZoom`, `RandomFlip`, ...) or `RandomTokens`.

    Args:
        layers: `keras.layers.Layer` objects, inputs in, inputs of the same shape out. At least one.

    Returns:
        A function `(inputs, *rest) -> (augmented inputs, *rest)`; `rest` is labels and sample weights, if any.

    Raises:
        ValueError: if there is no layer, or one is not a layer.

    Example:

    >>> import keras, numpy as np, tensorflow as tf
    >>> shift = augment(keras.layers.RandomTranslation(0.25, 0.25, fill_mode="constant", seed=1))
    >>> images, labels = np.ones((4, 8, 8, 1), "float32"), np.arange(4)
    >>> rows = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4).map(shift)
    >>> changed, same = next(iter(rows))
    >>> changed.shape, same.numpy().tolist()
    (TensorShape([4, 8, 8, 1]), [0, 1, 2, 3])
    """
    if not layers or not all(isinstance(layer, keras.layers.Layer) for layer in layers):
        raise invalid("augment", "layers", layers, "one or more `keras.layers.Layer` objects")

    def change(inputs, *rest):
        for layer in layers:
            inputs = layer(inputs, training=True)
        return (inputs, *rest) if rest else inputs

    return change


@keras.saving.register_keras_serializable("keras_dlopt")
class RandomTokens(keras.layers.Layer):
    """Replaces a random share of integer tokens by random ones, in training only: the text twin of pixel noise.

    Each token is kept with probability `1 - rate`, else drawn anew and uniformly from `0 ... vocabulary - 1` (so the
    chance that it really changes is `rate * (1 - 1 / vocabulary)`). The corruption is the one of BERT's and of
    data-noising language models (Xie et al., arXiv:1703.02573, "unigram noising" with uniform q).

    Args:
        rate: share of tokens to draw anew, in [0, 1).
        vocabulary: number of tokens, a whole number >= 2.
        seed: whole number, for draws that repeat; by default different ones every time.

    Returns:
        A tensor of the input's shape and dtype.

    Example:

    >>> import numpy as np
    >>> tokens = np.zeros((1, 10000), "int32")
    >>> noisy = RandomTokens(0.1, vocabulary=1000, seed=0)(tokens, training=True)
    >>> bool(0.08 < np.mean(np.asarray(noisy) != 0) < 0.12)
    True
    """

    def __init__(self, rate, vocabulary, seed=None, **kwargs):
        kwargs.setdefault("dtype", "int32")
        super().__init__(**kwargs)
        self.rate = check_number("RandomTokens", "rate", rate, 0, 1, "[)")
        self.vocabulary = check_number("RandomTokens", "vocabulary", vocabulary, 2, integer=True)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=None):
        if not training:
            return inputs
        shape = ops.shape(inputs)
        drawn = keras.random.randint(shape, 0, self.vocabulary, dtype="int32", seed=self.generator)
        replaced = keras.random.uniform(shape, seed=self.generator) < self.rate
        return ops.where(replaced, ops.cast(drawn, inputs.dtype), inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "vocabulary": self.vocabulary, "seed": self.seed}
