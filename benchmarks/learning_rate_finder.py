"""The range test's suggestions against a grid of real runs, on scikit-learn's digits.

    KERAS_BACKEND=tensorflow python benchmarks/learning_rate_finder.py

For each optimizer and seed: the best validation loss of a run at each rate of the grid (half decades), and of a run at
each suggestion. Saves after every run and goes on where it stopped; prints the table of learning_rate_finder.md.
"""

import json
import pathlib

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_dlopt import atomic, tune

RESULTS = pathlib.Path(__file__).with_suffix(".json")
GRID = [float(f"{rate:.2g}") for rate in np.geomspace(1e-3, 1, 7)]
SEEDS, EPOCHS, BATCH = (0, 1, 2), 15, 64
OPTIMIZERS = {
    "SGD(momentum=0.9)": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "Adam()": lambda: keras.optimizers.Adam(),
}
NAMES = ("valley", "steepest", "minimum")


def compiled(optimizer, seed):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(64, "relu"), keras.layers.Dense(32, "relu"), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((64,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(OPTIMIZERS[optimizer](), loss, steps_per_execution=22)  # an epoch
    return model


def data(seed):
    x, y = load_digits(return_X_y=True)
    return train_test_split((x / 16).astype("float32"), y, test_size=0.25, random_state=seed, stratify=y)


def best_loss(optimizer, seed, rate):
    x, x_val, y, y_val = data(seed)
    model = compiled(optimizer, seed)
    model.optimizer.learning_rate = rate
    history = model.fit(x, y, BATCH, EPOCHS, validation_data=(x_val, y_val), verbose=0).history
    return float(np.nan_to_num(np.array(history["val_loss"]), nan=np.inf).min())


def suggestions(optimizer, seed):
    x, _, y, _ = data(seed)
    model = compiled(optimizer, seed)
    found = tune.find_learning_rate(model, x, y, batch_size=BATCH, steps=100, low=1e-5, high=10.0, seed=seed)
    return {name: getattr(found, name) for name in NAMES}


def measure():
    done = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}

    def once(key, function, *args):
        if key not in done:
            done[key] = function(*args)
            with atomic.replacing(RESULTS) as temporary:
                pathlib.Path(temporary).write_text(json.dumps(done, indent=1) + "\n")
        return done[key]

    print("| optimizer | seed | best of the grid | " + " | ".join(NAMES) + " |\n| --- | --- | --- | --- | --- | --- |")
    for seed in SEEDS:
        for optimizer in OPTIMIZERS:
            rates = once(f"{optimizer} {seed} suggestions", suggestions, optimizer, seed)
            losses = {r: once(f"{optimizer} {seed} {r:.2g}", best_loss, optimizer, seed, r) for r in GRID}
            best = min(losses, key=losses.get)
            cells = [f"{losses[best]:.4f} at {best:.2g}"]
            for name in NAMES:
                loss = once(f"{optimizer} {seed} {name}", best_loss, optimizer, seed, rates[name])
                cells.append(f"{loss:.4f} at {rates[name]:.2g} ({loss / losses[best] - 1:+.0%})")
            print(f"| `{optimizer}` | {seed} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    measure()
