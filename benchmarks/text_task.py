"""What benchmarks train on: the next character of Python's own sources, by a small transformer."""

import os
import pathlib

import keras
import numpy as np
from keras import layers


def text(train=2000, test=500, length=64):
    """Rows of ASCII, and the next character of every one of theirs: (x, x_test, y, y_test)."""
    sources = sorted(pathlib.Path(os.__file__).parent.glob("[a-i]*.py"))
    codes = np.frombuffer(b"".join(path.read_bytes() for path in sources), "uint8") & 127
    rows = codes[: (train + test) * (length + 1)].reshape(-1, length + 1).astype("int32")
    rows = np.random.default_rng(0).permutation(rows)
    return rows[:train, :-1], rows[train:, :-1], rows[:train, 1:], rows[train:, 1:]


def character_transformer(width=64):
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(128, width)(inputs)
    x = layers.Add()([x, layers.Conv1D(width, 4, padding="causal")(x)])  # in the place of positions
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, width // 4)(y, y, use_causal_mask=True)])
        y = layers.Dense(4 * width, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(width)(y)])
    return keras.Model(inputs, layers.Dense(128, name="logits")(x))
