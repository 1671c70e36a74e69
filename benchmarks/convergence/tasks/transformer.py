"""A small transformer that reads the standard library's source, character by character."""

import pathlib
import sysconfig

import keras
import numpy as np
from keras import layers, ops

from convergence.tasks.digits import cross_entropy
from convergence.tasks.task import Task, indices

CHARACTERS, WIDTH, BLOCKS, HEADS, CONTEXT, BATCH = 97, 48, 2, 4, 32, 16
TEXT, PART = 1_500_000, 4096


def text():
    """Codes of the first 1.5 million characters, printable ASCII and the line end; everything else is one code."""
    files = sorted(pathlib.Path(sysconfig.get_path("stdlib")).glob("*.py"))
    source = "".join(file.read_text("utf-8", errors="replace") for file in files)[:TEXT]
    codes = np.frombuffer(source.encode("ascii", errors="replace"), "uint8").astype("int32") - 32
    return np.where((codes >= 0) & (codes < 95), codes, np.where(codes == ord("\n") - 32, 95, 96))


def model():
    tokens = keras.Input((CONTEXT,), dtype="int32")
    positions = ops.arange(CONTEXT)
    x = layers.Embedding(CHARACTERS, WIDTH, name="tokens")(tokens)
    x = x + layers.Embedding(CONTEXT, WIDTH, name="positions")(positions)
    for _ in range(BLOCKS):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y, use_causal_mask=True)
        y = layers.LayerNormalization()(x)
        x = x + layers.Dense(WIDTH)(layers.Dense(4 * WIDTH, activation="gelu")(y))
    return keras.Model(tokens, layers.Dense(CHARACTERS, name="head")(layers.LayerNormalization()(x)))


def characters():
    """Next-character prediction; every 20th part of 4096 characters validates, another 20th tests."""
    codes = text()
    parts = np.split(codes, range(PART, len(codes), PART))
    train = [part for i, part in enumerate(parts) if i % 20 not in (0, 10)]
    train = ops.convert_to_tensor(np.concatenate(train))
    within = ops.arange(CONTEXT + 1)

    def error(model, sequences):
        return cross_entropy(sequences[:, 1:], model(sequences[:, :-1]))

    def loss(model, batch):
        return error(model, ops.take(train, batch[0][:, None] + within, axis=0))

    def held_out(remainder):
        rows = np.concatenate([p[: len(p) // (CONTEXT + 1) * (CONTEXT + 1)] for p in parts[remainder::20]])
        rows = rows.reshape(-1, CONTEXT + 1)
        chosen = np.random.default_rng(0).choice(len(rows), 192, replace=False)
        sequences = ops.convert_to_tensor(rows[chosen])
        return lambda model: error(model, sequences)

    return Task(
        measure="cross-entropy",
        steps=300,
        model=model,
        loss=loss,
        batches=indices(len(train) - CONTEXT, BATCH),
        values={"validation": held_out(0), "test": held_out(10)},
        trials=8,
        finalists=1,
        arguments={"global_clipnorm": 1.0},
    )
