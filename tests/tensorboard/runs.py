"""Runs made of numbers that a test knows, written as training writes them."""

import numpy as np

from keras_dlopt.tensorboard.format import BINS, Layout, Record
from keras_dlopt.tensorboard.writer import RecordWriter

STATS = ["gradient_norm", "gradient_max", "gradient_zeros", "gradient_nonfinite", "update_norm", "weight_norm"]
STATS += ["weight_zeros", "v_mean"]
GLOBALS = ["learning_rate", "gradient_norm", "update_norm", "weight_norm", "update_ratio", "clipped", "loss_scale"]
GLOBALS += ["dropped"]


def layout_of(variables, stats=STATS, ranges=()):
    state = [
        {"slot": slot, "dtype": "float32", "bytes": 4000, "variable": i} for slot in "mv" for i in range(len(variables))
    ]
    return Layout("Adam", 1, variables, [[10, 100]] * len(variables), stats, ["gradient"], GLOBALS, list(ranges), state)


def arrays_of(layout, count, seed=0):
    """Random statistics (records, stats, variables), healthy ones: no check finds anything."""
    rng = np.random.default_rng(seed)
    stats = np.zeros((count, len(layout.stats), len(layout.variables)), "float32")
    scale = {"gradient_norm": 1.0, "gradient_max": 0.1, "update_norm": 1e-2, "weight_norm": 10.0, "v_mean": 1e-6}
    for name, size in scale.items():
        if name in layout.stats:
            stats[:, layout.stats.index(name)] = size * rng.uniform(0.5, 1.5, stats[:, 0].shape)
    return stats


def write(folder, layout, stats, steps=None, dropped=0.0, without=()):
    """Writes a run, variables at `without` having no histogram, and returns its globals (records, globals)."""
    rows = np.zeros((len(stats), len(layout.globals)), "float32")
    rows[:, 0] = 1e-3
    for name in ("gradient_norm", "update_norm", "weight_norm"):
        rows[:, GLOBALS.index(name)] = np.linalg.norm(stats[:, layout.stats.index(name)], axis=1)
    rows[:, 4] = rows[:, 2] / rows[:, 3]
    rows[:, 5:7] = np.nan
    rows[:, 7] = dropped
    codes = np.zeros((len(stats), 1, BINS, len(layout.variables)), "uint8")
    codes[:, 0, 30], codes[:, 0, 31] = 221, 127  # shares of 3/4 and 1/4
    codes[..., list(without)] = 0
    ranges = np.tile(np.float32([-1, 2, 0.125]), (len(layout.ranges), 1)) if layout.ranges else None
    writer = RecordWriter(folder)
    steps = range(len(stats)) if steps is None else steps
    records = [Record(t, *parts, ranges) for t, *parts in zip(steps, rows, stats, codes, strict=True)]
    assert writer.offer(lambda: (layout, records))
    writer.close()
    return rows
