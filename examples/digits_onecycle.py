"""The same optimizer for the same eight epochs, with a constant learning rate and with `callbacks.OneCycle`.

OneCycle is told its peak and nothing else: it takes the number of steps from the run, also when eight steps run in one
execution. The rate of 0.02 is too high to keep, and good to pass through.

It printed:

    constant 0.005   test accuracy 0.972, of three seeds 0.967 to 0.980
    constant 0.02    test accuracy 0.972, of three seeds 0.959 to 0.985
    OneCycle(0.02)   test accuracy 0.990, of three seeds 0.985 to 0.993
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_dlopt as dlopt

x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(
    x.reshape(-1, 8, 8, 1).astype("float32") / 16, y, test_size=0.3, random_state=0, stratify=y
)


def accuracy(learning_rate, callbacks, seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        dlopt.optimizers.AdamW(learning_rate, weight_decay=0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
        steps_per_execution=8,
    )
    model.fit(x_train, y_train, batch_size=32, epochs=8, callbacks=callbacks, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


for name, learning_rate, schedule in (
    ("constant 0.005", 0.005, None),
    ("constant 0.02", 0.02, None),
    ("OneCycle(0.02)", 0.02, dlopt.callbacks.OneCycle),
):
    found = [accuracy(learning_rate, [schedule(learning_rate)] if schedule else [], seed) for seed in range(3)]
    print(f"{name:<16} test accuracy {sum(found) / 3:.3f}, of three seeds {min(found):.3f} to {max(found):.3f}")
