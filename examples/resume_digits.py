"""A script that may be killed at any time: started again, it goes on, and ends as if nothing had happened.

    python examples/resume_digits.py          # Ctrl-C it, kill -9 it, pull the plug; then the same line again

Digits with dropout, a one-cycle learning rate, pruning and averaged weights, with a checkpoint every second. The last
line is a checksum of the weights: the same however often the run was broken off.

It printed, killed twice (`kill -9`), and the last line alone when it was not:

    ResumeExactly: going on in epoch 21 after batch 1
    ResumeExactly: going on in epoch 52 after batch 1
    test accuracy 0.976, zeros 75%, weights bcc299ca
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import zlib

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_dlopt import callbacks

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--folder", default="resume_digits", help="of the checkpoints; remove it to begin anew")
folder = parser.parse_args().folder

keras.utils.set_random_seed(0)  # the data come in the same order each time
tf.config.experimental.enable_op_determinism()
x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x.astype("float32") / 16, y, test_size=0.3, random_state=0)
model = keras.Sequential(
    [
        keras.Input((64,)),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(10),
    ]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.AdamW(), loss, metrics=["accuracy"], jit_compile=False)
model.fit(
    x_train,
    y_train,
    epochs=80,
    validation_data=(x_test, y_test),
    verbose=0,
    callbacks=[
        callbacks.AverageWeights("ema"),
        callbacks.Prune(0.75),
        callbacks.OneCycle(0.01),
        callbacks.ResumeExactly(folder, every=1),
    ],
)
accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
weights = model.get_weights()
zeros = np.mean(np.concatenate([w.ravel() for w in weights if w.ndim == 2]) == 0)
checksum = zlib.crc32(b"".join(w.tobytes() for w in weights))
print(f"test accuracy {accuracy:.3f}, zeros {zeros:.0%}, weights {checksum:08x}")
