"""The demo from beginning to end: every rung with every seed, and a report after each rung."""

import dataclasses
import os
import pathlib
import shlex
import shutil
import sys
import time

import keras

from keras_dlopt import callbacks
from keras_dlopt.demo import rates, report, tasks
from keras_dlopt.demo.display import Display
from keras_dlopt.demo.interrupt import Interrupt
from keras_dlopt.demo.ladder import NotPossible, choose
from keras_dlopt.demo.measure import measure
from keras_dlopt.demo.training import Job, train


def run(
    task="digits",
    rungs="1-10",
    seeds=1,
    epochs=None,
    rows=None,
    out="runs/demo",
    tune=False,
    started=None,
    console=None,
):
    """Climbs the ladder, shows it, and leaves models, TensorBoard logs and the report in a folder.

    Args:
        task: "digits", "text", "mnist", "fashion_mnist" or "cifar10".
        rungs: which, such as "5,6,8-10"; those that they build on are added.
        seeds: how often to train every rung, with seeds 0, 1, ...
        epochs: budget of every rung; by default the task's.
        rows: use only the first rows of each part, this many.
        out: the folder. It must be new, empty, or hold an earlier demo, whose files are replaced.
        tune: whether to search the learning rates anew on the validation rows.
        started: `time.perf_counter()` at the program's start; by default now.
        console: a `rich.console.Console`; by default one on standard output.

    Returns:
        The report, as in `report.json`. Its "status" is "complete", or "interrupted" if it was stopped from the
        keyboard: then it holds what was finished.

    Raises:
        Unavailable: if a rung is unknown, the data cannot be had or the folder cannot be used.
    """
    started = time.perf_counter() if started is None else started
    chosen = choose(rungs)
    problem = tasks.load(task, rows)
    epochs = epochs or problem.epochs
    out = report.prepare(out)
    growing = report.Report(problem, chosen, seeds, epochs, out, started)
    display = Display(epochs, total=len(chosen) * seeds * epochs, console=console)
    try:
        with display, Interrupt() as interrupt:
            display.say(f"{problem.about}\nAfter every rung, {out / 'report.html'} shows the results so far.")
            search = rates.search(problem, chosen, epochs, display.trial) if tune else rates.found(problem)
            _climb(problem, chosen, seeds, epochs, out, growing, display, interrupt, *search)
        growing.write("complete")
    except KeyboardInterrupt:
        growing.write("interrupted")
    _conclude(growing.content, out, display)
    return growing.content


def _climb(task, rungs, seeds, epochs, out, growing, display, interrupt, learning_rates, source):
    growing.content["learning_rates_from"] = source
    models, files = ({seed: {} for seed in range(seeds)} for _ in range(2))
    for rung in rungs:
        entry = growing.begin(rung, learning_rates.get(rung.number))
        try:
            for seed in range(seeds):
                interrupt.check()
                display.begin(rung, seed)
                name = f"rung{rung.number:02d}-seed{seed}"
                job = Job(
                    task=task,
                    rung=rung,
                    seed=seed,
                    epochs=epochs,
                    learning_rate=entry["learning_rate"],
                    before=models[seed],
                    watch=display.epoch,
                    check=interrupt.check,
                    callbacks=_logs(rung, out / "logs" / name),
                )
                models[seed][rung.number], found = _climb_once(job, out, name, files[seed])
                growing.add(entry, found)
        except NotPossible as reason:
            entry["skipped"] = str(reason)
        growing.write()
        display.finished(entry)


def _climb_once(job, out, name, files):
    """Trains and measures one rung with one seed; returns the model and its entry in the report."""
    trained = train(job)
    first, float32 = next(iter(files.values()), None), files[job.rung.needs] if job.rung.int8 else None
    measured = measure(job.task, job.rung, trained.model, out, name, first, float32)
    files[job.rung.number] = out / measured.file
    reached, seconds = trained.reached(job.task.target)
    return trained.model, {
        "seed": job.seed,
        **dataclasses.asdict(measured),
        "epochs_to_target": reached,
        "seconds_to_target": seconds,
        "seconds": trained.seconds,
        "history": trained.epochs,
    }


def _logs(rung, folder):
    return (
        keras.callbacks.TensorBoard(str(folder), write_graph=False),
        callbacks.RecordOptimizer(folder, every=1 if rung.full_batch else 8),
    )


def _conclude(content, out, display):
    display.table(content)
    for sentence in content["findings"]:
        display.say(f"* {sentence}")
    if content["status"] == "interrupted":
        done = sum(bool(rung["seeds"]) for rung in content["rungs"])
        display.say(
            f"\nInterrupted: a partial report with {done} of {content['planned']} rungs is in {out / 'report.html'}"
        )
        return
    display.say(f"\nReport: {out / 'report.html'} and {out / 'report.json'}, in {content['seconds']:.0f} s. Try next:")
    for line in next_commands(content["task"]["name"], out):
        display.say(f"  {line}")


def next_commands(task, out):
    """Three commands that lead on from here."""
    other = "digits" if task == "text" else "text"
    option = "--data" if task in tasks.DOWNLOADS else "--task"
    demo = [_program("keras-dlopt"), "demo"]
    commands = (
        [_program("tensorboard"), "--logdir", f"{out / 'logs'}"],
        [*demo, option, task, "--rungs", "5,6", "--seeds", "3", "--out", f"{out}-seeds"],
        [*demo, "--task", other, "--out", f"{out}-{other}"],
    )
    return [shlex.join(command) for command in commands]


def _program(name):
    """How to call an installed program from here: by its name if the shell finds it, else by its path."""
    path = pathlib.Path(sys.executable).parent / name
    found = shutil.which(name)
    if found and os.path.samefile(found, path):
        return name
    return str(path.relative_to(pathlib.Path.cwd()) if path.is_relative_to(pathlib.Path.cwd()) else path)
