"""A small network taught in four ways by two larger ones, whose answers may be kept on disk.

The student has a twenty-third of a teacher's weights, and 200 labelled rows. Each line is the mean test accuracy of
three seeds and the range; the last also prunes the student, in the same `fit`.

It printed, where 200 rows of answers say little more than their labels, and features much more:

    teacher 0: 0.987
    teacher 1: 0.987
    labels alone              0.817, from 0.791 to 0.867
    one teacher, from disk    0.817, from 0.794 to 0.854
    two teachers              0.818, from 0.793 to 0.852
    decoupled                 0.743, from 0.709 to 0.809
    one and its features      0.878, from 0.852 to 0.902
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import tempfile

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_dlopt as dlopt
from keras_dlopt.compress import distill, distillation

x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(
    x.reshape(-1, 8, 8, 1).astype("float32") / 16, y, test_size=0.3, random_state=0, stratify=y
)
x_few, y_few = x_train[:200], y_train[:200]


def network(width):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(width, 3, padding="same", activation="relu", name="features"),
            layers.MaxPooling2D(),
            layers.Conv2D(2 * width, 3, activation="relu", name="last"),
            layers.GlobalAveragePooling2D(name="embedding"),
            layers.Dense(10),
        ]
    )


def accuracy(model, x, y, epochs, *callbacks):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(dlopt.optimizers.AdamW(0.01), loss, metrics=["accuracy"], jit_compile=False)
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[dlopt.callbacks.WarmupCosine(0.01), *callbacks])
    return model.evaluate(x_test, y_test, verbose=0)[1]


teachers = []
for seed in range(2):
    keras.utils.set_random_seed(seed)
    teachers.append(network(32))
    print(f"teacher {seed}: {accuracy(teachers[-1], x_train, y_train, 15):.3f}")
answers = distillation.cache_logits(teachers[0], x_few, pathlib.Path(tempfile.mkdtemp()) / "answers.npy")
hint = distillation.Hint("features", "features", weight=1.0)
relation = distillation.Relational("embedding", "embedding", weight=0.05)
ways = {
    "labels alone": lambda student: student,
    "one teacher, from disk": lambda student: distill(answers, student, alpha=0.7),
    "two teachers": lambda student: distill(teachers, student, alpha=0.7),
    "decoupled": lambda student: distill(teachers[0], student, alpha=0.5, decoupled=distillation.DKD(others=2.0)),
    "one and its features": lambda student: distill(teachers[0], student, alpha=0.7, features=[hint, relation]),
}
for name, way in [*ways.items(), ("two teachers, 80 % zeros", ways["two teachers"])]:
    found = []
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        callbacks = [dlopt.callbacks.Prune(0.8)] if "zeros" in name else []
        found.append(accuracy(way(network(6)), x_few, y_few, 40, *callbacks))
    print(f"{name:<25} {np.mean(found):.3f}, from {min(found):.3f} to {max(found):.3f}", flush=True)
