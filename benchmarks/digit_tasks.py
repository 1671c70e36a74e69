"""What benchmarks train on: scikit-learn's digits, plain, and at random places and sizes on pieces of photographs."""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits, load_sample_images
from sklearn.model_selection import train_test_split

BATCH = 64


def digits(seed=0):
    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1).astype("float32") / 16
    return train_test_split(x, y, test_size=0.3, random_state=0, stratify=y)


def scattered(seed=0, train=3000, test=2000):
    """Digits on photographs: the digits of training and testing are different ones."""
    photos = load_sample_images().images
    x_train, x_test, y_train, y_test = digits()
    rng = np.random.default_rng(0)

    def draw(x, y, count):
        rows = np.empty((count, 24, 24, 3), "float32")
        chosen = rng.integers(len(x), size=count)
        for row, i in zip(rows, chosen, strict=True):
            photo = photos[rng.integers(2)]
            top, left = rng.integers(photo.shape[0] - 24), rng.integers(photo.shape[1] - 24)
            row[:] = photo[top : top + 24, left : left + 24] / 255
            side = rng.integers(14, 21)
            index = np.arange(side) * 8 // side
            digit = x[i, :, :, 0][np.ix_(index, index)]
            top, left = rng.integers(25 - side, size=2)
            piece = row[top : top + side, left : left + side]
            piece[:] = piece * (1 - digit[..., None]) + rng.uniform(0.6, 1.0, size=3) * digit[..., None]
        return rows + rng.normal(scale=0.03, size=rows.shape).astype("float32"), y[chosen]

    (x_train, y_train), (x_test, y_test) = draw(x_train, y_train, train), draw(x_test, y_test, test)
    return x_train, x_test, y_train, y_test


def plain_cnn():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10),
        ]
    )


def fit(model, data, epochs, rate, *callbacks):
    steps = epochs * -(-len(data[0]) // BATCH)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    model.fit(data[0], data[2], batch_size=BATCH, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def accuracy(model, data):
    return float((model.predict(data[1], verbose=0).argmax(-1) == data[3]).mean())


def copied(model):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy
