"""Suggested learning rates against a grid of real runs, on scikit-learn's digits and on text.

    KERAS_BACKEND=tensorflow python benchmarks/learning_rate_finder.py [--only "text, Adam"]

For each task and seed: the best validation loss of a run at each rate of the grid (half decades), and of a run at each
suggestion: the three of the range test, and the one of `tune.search_learning_rate`. A run keeps its rate throughout.
Saves after every run and goes on where it stopped; the table goes to learning_rate_finder.md.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import platform
import statistics
from collections.abc import Callable
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from text_task import character_transformer, text

from keras_dlopt import atomic, tune

RESULTS = pathlib.Path(__file__).with_suffix(".json")
SEEDS, BATCH = (0, 1, 2), 64
NAMES = ("valley", "steepest", "minimum", "search")


def digits(seed):
    x, y = load_digits(return_X_y=True)
    return train_test_split((x / 16).astype("float32"), y, test_size=0.25, random_state=seed, stratify=y)


def dense_net():
    layers = [keras.layers.Dense(64, "relu"), keras.layers.Dense(32, "relu"), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((64,)), *layers])


@dataclasses.dataclass(frozen=True)
class Task:
    """Data (seed -> x, x_val, y, y_val), network, optimizer, epochs of a run, the grid."""

    data: Callable
    network: Callable
    optimizer: Callable
    epochs: int
    grid: tuple

    def compiled(self, seed):
        keras.utils.set_random_seed(seed)
        model = self.network()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(self.optimizer(), loss, jit_compile=False)
        return model


def half_decades(low, high):
    return tuple(float(f"{rate:.2g}") for rate in np.geomspace(low, high, round(2 * math.log10(high / low)) + 1))


TASKS = {
    "digits, SGD with momentum": Task(
        digits, dense_net, lambda: keras.optimizers.SGD(0.01, momentum=0.9), 15, half_decades(1e-3, 1)
    ),
    "digits, Adam": Task(digits, dense_net, keras.optimizers.Adam, 15, half_decades(1e-4, 0.1)),
    "text, Adam": Task(
        lambda seed: text(1000, 300), character_transformer, keras.optimizers.Adam, 8, half_decades(1e-4, 0.1)
    ),
}


def best_loss(task, seed, rate):
    x, x_val, y, y_val = task.data(seed)
    model = task.compiled(seed)
    model.optimizer.learning_rate = rate
    history = model.fit(x, y, BATCH, task.epochs, validation_data=(x_val, y_val), verbose=0).history
    return float(np.nan_to_num(np.array(history["val_loss"]), nan=np.inf).min())


def suggestions(task, seed):
    x, x_val, y, y_val = task.data(seed)
    model = task.compiled(seed)
    search = tune.search_learning_rate(
        model, x, y, epochs=task.epochs, validation_data=(x_val, y_val), batch_size=BATCH, seed=seed
    )
    return {name: getattr(search.range_test, name) for name in NAMES[:3]} | {"search": search.best}


def measure(name, task, done):
    """All runs of a task that are not there yet."""

    def once(key, function, *args):
        if key not in done:
            done[key] = function(task, seed, *args)
            with atomic.replacing(RESULTS) as temporary:
                pathlib.Path(temporary).write_text(json.dumps(done, indent=1) + "\n")
            print(key, done[key], flush=True)

    for seed in SEEDS:
        once(f"{name} {seed} suggestions", suggestions)
        for rate in task.grid:
            once(f"{name} {seed} {rate:.2g}", best_loss, rate)
        for suggestion, rate in done[f"{name} {seed} suggestions"].items():
            once(f"{name} {seed} {suggestion}", best_loss, rate)


def table(done):
    lines = [
        "# Suggested learning rates against a grid of real runs",
        "",
        f"`python benchmarks/learning_rate_finder.py`: TensorFlow {version('tensorflow')}, Keras {version('keras')}, "
        f"{os.cpu_count()} cores ({platform.machine()}).",
        "Best validation loss of a run, and how far it is above the best of the grid (half decades). Of a single seed",
        "the best of the grid is also the luckiest of its runs; `all` compares means over the seeds, with that rate of",
        "the grid which has the smallest.",
        "",
        "| task | seed | best of the grid | " + " | ".join(NAMES) + " |",
        "|" + "---|" * (3 + len(NAMES)),
    ]
    for name, task in TASKS.items():
        seeds = [seed for seed in SEEDS if f"{name} {seed} {NAMES[-1]}" in done]
        for label, some in [*((str(seed), [seed]) for seed in seeds), ("all", seeds)]:
            if not some:
                continue
            grid = {rate: _mean(done, name, some, f"{rate:.2g}") for rate in task.grid}
            best = min(grid, key=grid.get)
            cells = [name, label, f"{grid[best]:.4f} at {best:.2g}"]
            for suggestion in NAMES:
                loss = _mean(done, name, some, suggestion)
                rates = "/".join(f"{done[f'{name} {seed} suggestions'][suggestion]:.2g}" for seed in some)
                cells.append(f"{loss:.4f} at {rates} ({loss / grid[best] - 1:+.0%})")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _mean(done, name, seeds, run):
    return statistics.mean(done[f"{name} {seed} {run}"] for seed in seeds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="tasks whose name contains this")
    arguments = parser.parse_args()
    done = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, task in TASKS.items():
        if arguments.only in name:
            measure(name, task, done)
    RESULTS.with_suffix(".md").write_text(table(done))
    print(table(done))


if __name__ == "__main__":
    main()
