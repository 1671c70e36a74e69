"""What saving costs: `ResumeExactly` with one checkpoint in 100 steps against none, in turns, and what that makes of a
minute.

    python benchmarks/resume_overhead.py [--rounds 30] [--out benchmarks/resume_overhead.md]

Two nets of about 3 M parameters, dense and convolutional, with Adam: a checkpoint has three numbers a parameter. Five
runs of `fit` take turns of 100 steps (`turns.py`): without the callback, again without, with it but without a
checkpoint, with one checkpoint in the middle of each turn, and the same on a disk that is made a second slower. A
checkpoint costs what its turn takes longer than that without the callback in the same round. The longest step of a turn
tells whether steps wait for the disk: copying the state holds one of them up, and the slow disk no longer.
"""

import argparse
import json
import os
import pathlib
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from turns import STEPS, machine, make_model, measure

from keras_dlopt import callbacks

NONE, AGAIN, IDLE, SAVES, SLOW = "none", "none again", "no checkpoint", "one checkpoint", "slow disk"


class Longest(keras.callbacks.Callback):
    """The longest time between the ends of two batches, in seconds, of each epoch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_epoch_begin(self, epoch, logs=None):
        self._last, self._longest = None, 0.0

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self._last is not None:
            self._longest = max(self._longest, now - self._last)
        self._last = now

    def on_epoch_end(self, epoch, logs=None):
        self.found.append(self._longest)


class HalfWay(callbacks.ResumeExactly):
    """Saves in the middle of each turn."""

    def _is_due(self):
        return self._batches % STEPS == STEPS // 2


def make(model_name, name, longest):
    """What `measure` takes."""

    def made(folder):
        model, x = make_model(model_name)
        if name in (NONE, AGAIN):
            return model, x, [longest]
        resume = callbacks.ResumeExactly(folder, every=10**6) if name == IDLE else HalfWay(folder)
        if name == SLOW:
            resume._store.write = slower(resume._store.write)
        return model, x, [longest, resume]

    return made


def slower(write):
    """A disk that needs a second more for a checkpoint."""

    def function(*args):
        time.sleep(1.0)
        write(*args)

    return function


def case(model_name, rounds):
    """Seconds: name -> for each turn wall time, processor time and longest step."""
    longest = {name: Longest() for name in (NONE, AGAIN, IDLE, SAVES, SLOW)}
    turns = measure({name: make(model_name, name, longest[name]) for name in longest}, rounds)
    return {n: [(*turn, step) for turn, step in zip(turns[n], longest[n].found[1:], strict=True)] for n in turns}


def quartiles(values, sign=""):
    low, middle, high = (f"{value:{sign}.1f}" for value in statistics.quantiles(values, n=4))
    return f"{middle} ({low} to {high})"


def report(results):
    """The Markdown page."""
    lines = [
        "# What saving costs",
        "",
        f"`python benchmarks/resume_overhead.py`: {machine()}; Adam, float32, checkpoints on a local disk.",
        f"Medians of paired differences in one round (middle half), turns of {STEPS} steps. A minute's share is the",
        "median difference in wall time between a turn with a checkpoint and one without the callback, of 60 s.",
        "",
        "| net | | of a turn, ms of wall time | of processor time | longest step, ms | one a minute |",
        "|---|---|---|---|---|---|",
    ]
    for model_name, turns in results.items():
        lasts = [np.median([turn[clock] for turn in turns[NONE]]) * 1e3 for clock in (0, 1)]
        longest = quartiles([turn[2] * 1e3 for turn in turns[NONE]])
        lines.append(f"| {model_name} | {NONE} | {lasts[0]:.0f} | {lasts[1]:.0f} | {longest} | |")
        for name in (AGAIN, IDLE, SAVES, SLOW):
            more = [[(a[c] - b[c]) * 1e3 for a, b in zip(turns[name], turns[NONE], strict=True)] for c in (0, 1)]
            cells = [model_name, name, quartiles(more[0], "+"), quartiles(more[1], "+")]
            cells.append(quartiles([turn[2] * 1e3 for turn in turns[name]]))
            cells.append(f"{statistics.median(more[0]) / 600:.2f} %" if name in (SAVES, SLOW) else "")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_suffix(".md"))
    arguments = parser.parse_args()
    kept = arguments.out.with_suffix(".json")
    results = json.loads(kept.read_text()) if kept.exists() and not arguments.fresh else {}
    for model_name in ("mlp", "conv"):
        if model_name not in results:
            results[model_name] = case(model_name, arguments.rounds)
            keras.backend.clear_session()
            kept.write_text(json.dumps(results))
    arguments.out.write_text(report(results))
    print(report(results))


if __name__ == "__main__":
    main()
