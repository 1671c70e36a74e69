"""The networks of the ladder, in plain Keras: a convolutional one for images, a transformer for characters.

Each comes in two widths: the full network of rungs 1 to 7 and the student of rungs 8 to 10. All end in logits.
"""

import keras
from keras import layers


def convolutional(shape, classes, width, dense):
    """Two blocks of two 3x3 convolutions (`width`, then `2 * width` channels), a hidden layer, logits."""
    inputs = keras.Input(shape, name="image")
    x = inputs
    for block, channels in enumerate((width, 2 * width), start=1):
        for index in (1, 2):
            x = layers.Conv2D(channels, 3, padding="same", activation="relu", name=f"block{block}_conv{index}")(x)
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(dense, activation="relu", name="hidden")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name=f"convolutional_{width}")


def transformer(length, vocabulary, width, depth, heads):
    """Pre-norm causal transformer (GPT-2's block, Radford et al. 2019): logits of the next token at every position."""
    inputs = keras.Input((length,), dtype="int32", name="tokens")
    x = layers.Embedding(vocabulary, width, name="token")(inputs)
    x = Positions(name="position")(x)
    for block in range(1, depth + 1):
        name = f"block{block}"
        normed = layers.LayerNormalization(name=f"{name}_norm1")(x)
        attended = layers.MultiHeadAttention(heads, width // heads, name=f"{name}_attention")(
            normed, normed, use_causal_mask=True
        )
        x = layers.Add(name=f"{name}_add1")([x, attended])
        hidden = layers.LayerNormalization(name=f"{name}_norm2")(x)
        hidden = layers.Dense(4 * width, activation="gelu", name=f"{name}_expand")(hidden)
        hidden = layers.Dense(width, name=f"{name}_project")(hidden)
        x = layers.Add(name=f"{name}_add2")([x, hidden])
    x = layers.LayerNormalization(name="norm")(x)
    return keras.Model(inputs, layers.Dense(vocabulary, name="logits")(x), name=f"transformer_{width}x{depth}")


@keras.saving.register_keras_serializable("keras_dlopt")
class Positions(layers.Layer):
    """Adds one learned vector to each position of a (batch, length, width) tensor."""

    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], initializer=keras.initializers.RandomNormal(stddev=0.02))

    def call(self, inputs):
        return inputs + self.table
