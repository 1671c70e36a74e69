"""Half of the channels of a residual network leave: a smaller dense model, faster wherever it runs.

Digits on 16 x 16 pixels. The network is trained, then trained further while `callbacks.Prune` zeroes channels with all
that is coupled to them; `compress.remove_channels` takes them out. The last line shows the same without training: only
the removal, which is where fine-tuning would start.

It printed:

    dense          accuracy 0.991  112,682 weights  1.01 times as fast
    in training    accuracy 0.994   28,698 weights  3.23 times as fast
    taking the zero channels out changed the outputs by 0.0e+00 at most
    at once        accuracy 0.148   28,698 weights  3.22 times as fast
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

x, y = load_digits(return_X_y=True)
x = np.kron(x.reshape(-1, 8, 8, 1).astype("float32") / 16, np.ones((1, 2, 2, 1), "float32"))
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=0, stratify=y)
folder = pathlib.Path(tempfile.mkdtemp())


def network():
    def convolution(x, filters, strides=1):
        x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
        return layers.BatchNormalization(momentum=0.9)(x)

    x = inputs = keras.Input((16, 16, 1))
    for filters, strides in ((32, 1), (64, 2)):
        x = layers.ReLU()(convolution(x, filters, strides))
        x = layers.ReLU()(layers.Add()([x, convolution(layers.ReLU()(convolution(x, filters)), filters)]))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def fit(model, epochs, *callbacks):
    model.compile(
        dlopt.optimizers.AdamW(2e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    model.fit(x_train, y_train, epochs=epochs, callbacks=[dlopt.callbacks.WarmupCosine(2e-3), *callbacks], verbose=0)


def show(name, model):
    exported = dlopt.compress.export(model, folder / f"{name}.tflite")
    accuracy = (model.predict(x_test, verbose=0).argmax(-1) == y_test).mean()
    ratio = dlopt.compress.latency_ratio(folder / "dense.tflite", exported.path, rounds=100)
    print(f"{name:<14} accuracy {accuracy:.3f}  {model.count_params():>7,} weights  {ratio.median:.2f} times as fast")


keras.utils.set_random_seed(0)
model = network()
fit(model, 8)
show("dense", model)
at_once = dlopt.compress.remove_channels(model, 0.5)
fit(model, 8, dlopt.callbacks.Prune(0.5, pattern="channels"))
smaller = dlopt.compress.remove_channels(model)
show("in training", smaller)
difference = np.abs(model.predict(x_test, verbose=0) - smaller.predict(x_test, verbose=0)).max()
print(f"taking the zero channels out changed the outputs by {difference:.1e} at most")
show("at once", at_once)
