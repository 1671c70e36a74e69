"""Clicks of users on items: most rows of the two embedding tables get no gradient in a step."""

import keras
import numpy as np
from keras import layers, ops

from convergence.tasks.task import Task

USERS, ITEMS, WIDTH, BATCH, HELD_OUT = 2000, 1000, 8, 256, 8192


def model():
    users, items = keras.Input((), dtype="int32"), keras.Input((), dtype="int32")
    product = layers.Dot(axes=1)(
        [layers.Embedding(USERS, WIDTH, name="users")(users), layers.Embedding(ITEMS, WIDTH, name="items")(items)]
    )
    popularity = layers.Flatten()(layers.Embedding(ITEMS, 1, name="popularity")(items))
    return keras.Model([users, items], layers.Add()([product, popularity]))


def clicks():
    """Sparse embeddings: users and items drawn by Zipf's law, a logistic model of rank 8 to be found again."""
    generator = np.random.default_rng(0)
    vectors = [1.2 * generator.normal(size=(n, WIDTH)) / WIDTH**0.25 for n in (USERS, ITEMS)]
    popularity = generator.normal(size=ITEMS)
    shares = [1 / (10 + np.arange(n)) for n in (USERS, ITEMS)]

    def draw(generator, *shape):
        user, item = (generator.choice(len(p), size=shape, p=p / p.sum()).astype("int32") for p in shares)
        logit = np.einsum("...i,...i->...", vectors[0][user], vectors[1][item]) + popularity[item]
        return user, item, (generator.random(shape) < 1 / (1 + np.exp(-logit))).astype("float32")

    def loss(model, batch):
        users, items, labels = batch
        logits = model([users, items])[:, 0]
        return ops.mean(ops.binary_crossentropy(labels, logits, from_logits=True))

    held_out = {
        split: tuple(ops.convert_to_tensor(a) for a in draw(generator, HELD_OUT)) for split in ("validation", "test")
    }
    return Task(
        measure="cross-entropy",
        steps=400,
        model=model,
        loss=loss,
        batches=lambda generator, steps: draw(generator, steps, BATCH),
        values={split: lambda model, batch=batch: loss(model, batch) for split, batch in held_out.items()},
    )
