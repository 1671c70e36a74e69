"""Tasks on scikit-learn's 1797 images of digits, 8x8 each."""

import keras
import numpy as np
from keras import layers, ops

from convergence.tasks.task import Task, indices

SPLITS = ("validation", "test")


def load():
    """Images (n, 8, 8, 1) in [0, 1] and labels, in three parts: 897 to train, 300 to validate, 600 to test."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images, labels = data.images[order, ..., None] / 16, data.target[order]
    cuts = [897, 1197]
    return list(zip(np.split(images.astype("float32"), cuts), np.split(labels.astype("int32"), cuts), strict=True))


def cross_entropy(labels, logits):
    return ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))


def convolutional():
    """A convolutional net, on digits shifted by up to a pixel each way."""
    (images, labels), *held_out = load()
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    images = np.concatenate([padded[:, i : i + 8, j : j + 8] for i in range(3) for j in range(3)])
    images, labels = ops.convert_to_tensor(images), ops.convert_to_tensor(np.tile(labels, 9))

    def model():
        return keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(16, 3, activation="relu", padding="same"),
                layers.Conv2D(32, 3, activation="relu", strides=2, padding="same"),
                layers.Flatten(),
                layers.Dense(32, activation="relu"),
                layers.Dense(10),
            ]
        )

    def loss(model, batch):
        return cross_entropy(ops.take(labels, batch[0]), model(ops.take(images, batch[0], axis=0)))

    return Task(
        measure="cross-entropy",
        steps=300,
        model=model,
        loss=loss,
        batches=indices(len(images), 64),
        values={
            s: lambda model, x=x, y=y: cross_entropy(y, model(x)) for s, (x, y) in zip(SPLITS, held_out, strict=True)
        },
    )


def softmax(penalty=1e-4):
    """Softmax regression with an L2 penalty: convex, and the value is the training objective itself."""
    images, labels = (ops.convert_to_tensor(part) for part in load()[0])

    def model():
        return keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(10)])

    def objective(model, x, y):
        squares = sum(ops.sum(ops.square(w)) for w in model.trainable_variables)
        return cross_entropy(y, model(x)) + penalty * squares

    def value(model):
        return objective(model, images, labels)

    return Task(
        measure="objective",
        steps=400,
        model=model,
        loss=lambda model, batch: objective(model, ops.take(images, batch[0], axis=0), ops.take(labels, batch[0])),
        batches=indices(len(images), 64),
        values={"validation": value, "test": value},
    )


def autoencoder():
    """An autoencoder with a narrow place of four numbers, 64-16-4-16-64."""
    train, *held_out = (ops.convert_to_tensor(images.reshape(-1, 64)) for images, _ in load())

    def model():
        return keras.Sequential(
            [
                keras.Input((64,)),
                layers.Dense(16, activation="tanh"),
                layers.Dense(4),
                layers.Dense(16, activation="tanh"),
                layers.Dense(64),
            ]
        )

    def error(model, x):
        return ops.mean(ops.square(model(x) - x))

    return Task(
        measure="mean squared error",
        steps=400,
        model=model,
        loss=lambda model, batch: error(model, ops.take(train, batch[0], axis=0)),
        batches=indices(len(train), 64),
        values={s: lambda model, x=x: error(model, x) for s, x in zip(SPLITS, held_out, strict=True)},
    )
