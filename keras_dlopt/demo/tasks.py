"""What the ladder climbs: data in three fixed parts, a network in two sizes, an augmentation, a target accuracy."""

import dataclasses
import hashlib
import pathlib
import string
import sysconfig
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_dlopt import data
from keras_dlopt.demo import networks

# Which rows are held out never changes; --seeds varies weights, order and augmentation, not the split.
SPLIT_SEED = 20_26


class Unavailable(Exception):
    """What the demo was asked for cannot be had; the message is the one line that the user should see."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One problem of the demo.

    Args:
        name: what `--task` or `--data` calls it.
        about: one sentence for the report: source, sizes, how it was split.
        unit: what one label is, e.g. "image".
        train, validation, test: pairs of arrays, inputs and integer labels; the number of training rows is a whole
            number of batches, so that the mean over batches is the mean over rows.
        network: `network("full")` and `network("student")` build fresh models that end in logits.
        augmentation: `augmentation(seed)` is a function for `Dataset.map`.
        batch: rows a step.
        epochs: the default budget of one rung.
        target: validation accuracy whose first epoch the table shows.
    """

    name: str
    about: str
    unit: str
    train: tuple
    validation: tuple
    test: tuple
    network: Callable
    augmentation: Callable
    batch: int
    epochs: int
    target: float

    def rows(self, augment, seed):
        """The training part as a `tf.data.Dataset`, reshuffled every epoch."""
        rows = tf.data.Dataset.from_tensor_slices(self.train)
        rows = rows.shuffle(len(self.train[0]), seed=seed).batch(self.batch, drop_remainder=True)
        if augment:
            rows = rows.map(self.augmentation(seed))
        return rows.prefetch(4)

    def divided(self, seed):
        """The same task with its training and validation rows divided anew; the test rows stay apart."""
        both = [np.concatenate(arrays) for arrays in zip(self.train, self.validation, strict=True)]
        order = np.random.default_rng(seed).permutation(len(both[0]))
        train, validation = np.split(order, [len(self.train[0])])
        return dataclasses.replace(
            self, train=tuple(a[train] for a in both), validation=tuple(a[validation] for a in both)
        )

    def limited(self, rows):
        """The same task with the first `rows` rows of each part, in training rounded to whole batches."""
        train = max(1, rows // self.batch) * self.batch
        return dataclasses.replace(
            self,
            about=f"{self.about} Of these, only the first {rows} of each part.",
            train=tuple(a[:train] for a in self.train),
            validation=tuple(a[:rows] for a in self.validation),
            test=tuple(a[:rows] for a in self.test),
        )


def load(name, rows=None):
    """The task of that name, with at most `rows` rows in each part.

    Raises:
        Unavailable: if its data cannot be had here.
    """
    task = images(name) if name in DOWNLOADS else {"digits": digits, "text": text}[name]()
    return task if rows is None else task.limited(rows)


def digits():
    """scikit-learn's bundled digits: 1,797 grey images of 8x8 pixels, 10 classes."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images, labels = (bunch.images[..., None] / 16).astype("float32"), bunch.target.astype("int32")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    test, validation, train = np.split(order, [540, 773])
    return Task(
        name="digits",
        about="scikit-learn's digits: 1,797 grey images of 8x8 pixels, 10 classes; 1,024 to train, 233 to validate, "
        "540 to test.",
        unit="image",
        train=(images[train], labels[train]),
        validation=(images[validation], labels[validation]),
        test=(images[test], labels[test]),
        network=_image_network(images.shape[1:], 10),
        augmentation=_image_augmentation(flip=False),
        batch=32,
        epochs=10,
        target=0.95,
    )


# Names of `keras.datasets`, and the validation accuracy to reach.
DOWNLOADS = {"mnist": 0.98, "fashion_mnist": 0.88, "cifar10": 0.65}


def images(name):
    """MNIST, Fashion-MNIST or CIFAR-10 by Keras's loader, which downloads it once and keeps a copy."""
    try:
        (x, y), test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception for what the network raised
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Unavailable(f"--data {name} is downloaded once, and this failed: {reason}") from error

    def prepared(pixels, labels):
        pixels = pixels if pixels.ndim == 4 else pixels[..., None]
        return (pixels / 255).astype("float32"), labels.reshape(-1).astype("int32")

    x, y = prepared(x, y)
    batch, held = 128, 5000
    order = np.random.default_rng(SPLIT_SEED).permutation(len(x))
    validation, train = order[:held], order[held : held + (len(x) - held) // batch * batch]
    return Task(
        name=name,
        about=f"{name} by Keras's loader: {len(train):,} images to train, {held:,} to validate, its own "
        f"{len(test[0]):,} to test.",
        unit="image",
        train=(x[train], y[train]),
        validation=(x[validation], y[validation]),
        test=prepared(*test),
        network=_image_network(x.shape[1:], 10),
        augmentation=_image_augmentation(flip=name != "mnist"),
        batch=batch,
        epochs=5,
        target=DOWNLOADS[name],
    )


def _image_network(shape, classes):
    def network(size):
        width, dense = {"full": (32, 64), "student": (16, 32)}[size]
        return networks.convolutional(shape, classes, width, dense)

    return network


def _image_augmentation(flip):
    def augmentation(seed):
        # By up to 5 % of the width: the digits are centred, more would leave their like (and scored lower).
        shift = keras.layers.RandomTranslation(0.05, 0.05, fill_mode="constant", seed=seed)
        return data.augment(shift, *([keras.layers.RandomFlip("horizontal", seed=seed + 1)] if flip else []))

    return augmentation


CHARACTERS = "".join(sorted(set(string.printable) - set("\t\r\x0b\x0c")))
LENGTH = 64


def text(folder=None):
    """Python's standard library as found on this machine, character by character; whole files are held out."""
    folder = pathlib.Path(folder or sysconfig.get_paths()["stdlib"])
    files = [path for path in sorted(folder.glob("*.py")) if path.stat().st_size >= 4096]
    # The head of every file, so that no single one dominates; every eighth file validates, every eighth tests.
    parts = {"validation": files[0::8], "test": files[1::8], "train": [f for i, f in enumerate(files) if i % 8 > 1]}
    sizes = {"validation": 256, "test": 512, "train": 2048}
    windows = {part: _windows(chosen, sizes[part]) for part, chosen in parts.items()}
    if any(len(windows[part]) < sizes[part] for part in sizes):
        raise Unavailable(f"--task text needs Python's own sources, and there are too few `.py` files in {folder}")
    digest = hashlib.sha256(b"".join(windows[part].tobytes() for part in sorted(windows))).hexdigest()[:12]
    return Task(
        name="text",
        about=f"Heads of {len(files)} modules of this Python's standard library as characters ({len(CHARACTERS)} "
        f"kinds), in windows of {LENGTH}; {', '.join(f'{sizes[p]:,} windows to {v}' for p, v in _VERBS)}, from "
        f"different files (sha256 {digest}...).",
        unit="character",
        **{part: (found[:, :-1], found[:, 1:]) for part, found in windows.items()},
        network=lambda size: networks.transformer(
            LENGTH, len(CHARACTERS) + 1, **{"full": FULL_TEXT, "student": STUDENT_TEXT}[size]
        ),
        augmentation=lambda seed: data.augment(data.RandomTokens(0.05, len(CHARACTERS) + 1, seed=seed)),
        batch=32,
        epochs=6,
        target=0.40,
    )


_VERBS = (("train", "train"), ("validation", "validate"), ("test", "test"))
FULL_TEXT = {"width": 64, "depth": 2, "heads": 4}
STUDENT_TEXT = {"width": 32, "depth": 1, "heads": 2}


def _windows(files, number):
    """The first `number` windows of LENGTH + 1 token ids (0: any other character), dealt round the files."""
    ids = {character: index for index, character in enumerate(CHARACTERS, start=1)}
    columns = []
    for path in files:
        tokens = np.array([ids.get(c, 0) for c in path.read_text("utf-8", errors="replace")], "int32")
        starts = range(0, len(tokens) - LENGTH, LENGTH)
        columns.append([tokens[start : start + LENGTH + 1] for start in starts])
    depth = max(map(len, columns), default=0)
    dealt = [column[row] for row in range(depth) for column in columns if row < len(column)]
    return np.array(dealt[:number], "int32").reshape(-1, LENGTH + 1)
