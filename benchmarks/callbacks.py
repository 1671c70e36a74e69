"""What each callback costs a step, beside Keras's where Keras has one.

    python benchmarks/callbacks.py [--rounds 20] [--only Prune] [--out benchmarks/callbacks.md]

Runs of `fit` in one process take turns of 100 steps (`turns.py`): one without a callback, a second one without, one
with ours, one with Keras's. Quoted are medians of the ratio to the run without a callback in the same round; how far
"none again" is from 1 is what this machine can tell. Results are kept in callbacks.json after each case and reused;
`--fresh` measures anew. What the cheaper steps save, `cheaper_steps.py` measures; its table is put below.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cheaper_steps
import keras
from turns import STEPS, machine, make_model, measure, ratios

from keras_dlopt import callbacks

NEVER = 10**6


@dataclasses.dataclass(frozen=True)
class Case:
    """A row: folder -> callback, ours and Keras's; and what Keras's needs of the optimizer."""

    name: str
    ours: Callable
    keras: Callable | None = None
    optimizer: dict = dataclasses.field(default_factory=dict)


CASES = (
    Case(
        "OneCycle", lambda _: callbacks.OneCycle(1e-4), lambda _: keras.callbacks.LearningRateScheduler(lambda e: 1e-4)
    ),
    Case(
        "AverageWeights",
        lambda _: callbacks.AverageWeights("ema"),
        lambda _: keras.callbacks.SwapEMAWeights(),
        {"use_ema": True},
    ),
    Case(
        "ReduceLROnPlateau",
        lambda _: callbacks.ReduceLROnPlateau("loss", patience=NEVER),
        lambda _: keras.callbacks.ReduceLROnPlateau("loss", patience=NEVER),
    ),
    Case(
        "StopOnTarget",
        lambda _: callbacks.StopOnTarget("loss", -1.0, mode="min"),
        lambda _: keras.callbacks.EarlyStopping("loss", patience=NEVER),
    ),
    Case(
        "RecordOptimizer",
        lambda folder: callbacks.RecordOptimizer(folder),
        lambda folder: keras.callbacks.TensorBoard(folder, histogram_freq=1, write_graph=False),
    ),
    Case(
        "ResumeExactly",
        lambda folder: callbacks.ResumeExactly(folder, every_steps=STEPS),
        lambda folder: keras.callbacks.BackupAndRestore(folder, save_freq=STEPS),
    ),
    Case("Prune", lambda _: callbacks.Prune(0.8, end=0.9, frequency=STEPS)),
    Case("Cluster", lambda _: callbacks.Cluster(16)),
    Case("NonFiniteGuard", lambda _: callbacks.NonFiniteGuard(), lambda _: keras.callbacks.TerminateOnNaN()),
    Case("NonFiniteGuard (rollback)", lambda _: callbacks.NonFiniteGuard("rollback", every=STEPS)),
    Case("TimeBudget", lambda _: callbacks.TimeBudget(minutes=600)),
    Case("Throughput", lambda _: callbacks.Throughput()),
    Case("ProgressBar", lambda _: callbacks.ProgressBar(), lambda _: keras.callbacks.ProgbarLogger()),
    Case("GradualUnfreeze", lambda _: callbacks.GradualUnfreeze()),
    Case("FreezeLayers", lambda _: callbacks.FreezeLayers()),
)


def makes(case, model_name):
    """What `measure` takes."""

    def make(callback, **optimizer):
        def made(folder):
            return *make_model(model_name, **optimizer), [] if callback is None else [callback(folder)]

        return made

    found = {"none": make(None), "none again": make(None), "ours": make(case.ours)}
    if case.keras is not None:
        found["Keras's"] = make(case.keras, **case.optimizer)
    return found


def report(results):
    """Lines of Markdown."""
    lines = [
        "# What callbacks cost",
        "",
        f"`python benchmarks/callbacks.py`: {machine()}; Adam, float32.",
        "Medians of paired ratios to the same `fit` without a callback in the same round (middle half of the rounds),",
        f"{STEPS} steps a turn, the work at an epoch's end in it; wall time, and the processor time of all threads,",
        "which tells more on a machine in use. ResumeExactly and BackupAndRestore save, Prune chooses its masks, once",
        "a turn.",
        "",
        "| callback | model | clock | ms a step | none again | ours | Keras's | which |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, times in results.items():
        case_name, model_name = name.split(", ")
        case = next(case for case in CASES if case.name == case_name)
        for clock, of in enumerate(("wall", "processor")):
            none = statistics.median(turn[clock] for turn in times["none"]) / STEPS * 1e3
            cells = [case_name, model_name, of, f"{none:.2f}"]
            for other in ("none again", "ours", "Keras's"):
                cells.append("-")
                if other in times:
                    low, middle, high = ratios(times[other], times["none"], clock)
                    cells[-1] = f"{middle:.3f} ({low:.2f}-{high:.2f})"
            cells.append("-" if case.keras is None else type(case.keras("logs")).__name__)
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).with_suffix(".md"))
    arguments = parser.parse_args()
    kept = arguments.out.with_suffix(".json")
    results = json.loads(kept.read_text()) if kept.exists() and not arguments.fresh else {}
    for model_name in ("mlp", "conv"):
        for case in CASES:
            name = f"{case.name}, {model_name}"
            if arguments.only in name and name not in results:
                results[name] = measure(makes(case, model_name), arguments.rounds)
                keras.backend.clear_session()
                kept.write_text(json.dumps(results))
                print("\n".join(report({name: results[name]})[-2:]), flush=True)
    page = [*report(results), "", *cheaper_steps.table(cheaper_steps.saved())]
    arguments.out.write_text("\n".join(page) + "\n")


if __name__ == "__main__":
    main()
