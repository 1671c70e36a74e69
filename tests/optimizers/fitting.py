"""A small network, trained by `fit` on fixed data."""

import keras
import numpy as np
from keras import layers

_rng = np.random.default_rng(3)
X = _rng.normal(size=(64, 10)).astype("float32")
Y = _rng.integers(0, 4, 64)

# A graph, as fast to make as there is one: TensorFlow's compiles slower with XLA, JAX's without is no graph at all.
JIT = keras.backend.backend() == "jax"


def net(dtype="float32"):
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            layers.Input((10,)),
            layers.Dense(16, activation="tanh", name="hidden", kernel_constraint="max_norm", dtype=dtype),
            layers.Dense(4, name="head", dtype=dtype),
        ]
    )


def fit(optimizer, epochs=3, model=None, **kwargs):
    model = model or net()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, **{"jit_compile": JIT, **kwargs})
    history = model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model, history.history["loss"]
