"""How fast optimizers converge: seven small tasks, one protocol for all.

    python benchmarks/convergence.py [--tasks transformer ...] [--optimizers Muon ...] [--seeds 5]
    python benchmarks/convergence.py --report benchmarks
    python benchmarks/convergence.py --restore benchmarks/convergence.json --time --report benchmarks

For every optimizer the learning rate is searched with the same number of trials, half of them log-uniform over four
decades, half around the best of these, all other arguments at the library's defaults. The best by the validation value
at the end is repeated from fresh seeds. The target is the median final test value of AdamW, tuned like that. Steps to
target is the length of the shortest run, with a schedule of its own length and the same peak, whose median ends at the
target or below; without a schedule, the place where the median of the full runs first is there.

The first command does what is missing under `--out`, a JSON file for each task and optimizer, and may be stopped at
any time; several may run side by side on different tasks. `--report` writes the results up, `--restore` takes them
back from there. `--time` adds the seconds of a step, to be measured on a quiet machine.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import sys
import time
import traceback

# Two runs side by side on two cores are faster than one on both: the tasks are small.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from convergence.contenders import BASELINE, CONTENDERS
from convergence.report import write_report
from convergence.search import measure
from convergence.tasks import TASKS
from convergence.training import Runs

from keras_dlopt.atomic import replacing


def read(path):
    return json.loads(path.read_text())


def write(path, result):
    with replacing(path) as temporary:
        pathlib.Path(temporary).write_text(json.dumps(result) + "\n")


def make_runs(task, optimizer):
    """The contender's `Runs` of a task, and its default learning rate."""
    keras.backend.clear_session()
    made = CONTENDERS[optimizer].make(**task.arguments)
    return Runs(task, made), float(keras.ops.convert_to_numpy(made.learning_rate))


def search(path, task, optimizer, seeds):
    """Measures what is missing at `path`."""
    if path.exists():
        return
    target = None if optimizer == BASELINE else read(path.with_name(f"{BASELINE}.json"))["final"]
    runs, default = make_runs(task, optimizer)
    result = measure(runs, CONTENDERS[optimizer].schedule, default, seeds, target)
    write(path, result)
    print(f"  rate {result['learning_rate']}, final {result['final']}, to target {result['steps_to_target']} steps")


def restore(archive, out):
    """Writes the measurements of a report's JSON file into the folder `out`, but for those that it has."""
    for task, found in read(archive)["results"].items():
        for name, result in found.items():
            if not (path := out / task / f"{name}.json").exists():
                write(path, result)


def add_time(path, task, optimizer):
    """Adds the seconds of a step to the result at `path`, if it is there without."""
    if not path.exists() or "step_seconds" in (result := read(path)):
        return
    runs, _ = make_runs(task, optimizer)
    result["step_seconds"] = runs.step_seconds(result["learning_rate"])
    write(path, result)


def main(argv=None):
    """Runs the benchmark; returns the number of failures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS), metavar="TASK")
    parser.add_argument(
        "--optimizers", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS), metavar="OPTIMIZER"
    )
    parser.add_argument("--budget", type=int, help="trials of the learning rate, in place of each task's own number")
    parser.add_argument("--seeds", type=int, default=5, help="fresh seeds for the best")
    parser.add_argument("--steps", type=int, help="length of a run, a multiple of 20, in place of each task's own")
    parser.add_argument("--out", type=pathlib.Path, default="runs/convergence", help="folder of the measurements")
    parser.add_argument("--time", action="store_true", help="add the seconds of a step to what is measured")
    parser.add_argument("--restore", type=pathlib.Path, metavar="FILE", help="take in a report's convergence.json")
    parser.add_argument("--report", type=pathlib.Path, metavar="FOLDER", help="write up what is measured")
    arguments = parser.parse_args(argv)
    if arguments.restore:
        restore(arguments.restore, arguments.out)
    failures = 0 if arguments.report and not arguments.time else run(arguments)
    if arguments.report:
        results = {
            task: {name: read(path) for name in CONTENDERS if (path := arguments.out / task / f"{name}.json").exists()}
            for task in TASKS
        }
        write_report({task: found for task, found in results.items() if BASELINE in found}, arguments.report)
    return failures


def run(arguments):
    """Measures what is missing; returns the number of failures."""
    failures = 0
    for name in arguments.tasks:
        task = TASKS[name]()
        task = dataclasses.replace(task, steps=arguments.steps or task.steps, trials=arguments.budget or task.trials)
        # The baseline comes first: the others need its result.
        for optimizer in sorted(arguments.optimizers, key=lambda o: o != BASELINE):
            path = arguments.out / name / f"{optimizer}.json"
            start = time.process_time()
            try:
                if arguments.time:
                    add_time(path, task, optimizer)
                else:
                    search(path, task, optimizer, arguments.seeds)
            except Exception:  # one that fails must not stop the others of a long night
                failures += 1
                traceback.print_exc()
            print(f"{name}, {optimizer}: {time.process_time() - start:.1f} s of processor time", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(main())
