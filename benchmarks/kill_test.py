"""Kills short runs with SIGKILL at random times, starts them again, and compares the end with a run never killed.

    python benchmarks/kill_test.py [--kills 30]

Four kinds of run, each with dropout, validation and data that are shuffled: arrays; `tf.data` with shuffle; arrays with
pruning, averaged weights (EMA), a one-cycle learning rate, RecordOptimizer and EarlyStopping all on; the same on
`tf.data` with eight steps an execution and the optimizer's own averaging. A run is started again until it ends; what
must be the same bit for bit are weights, optimizer, masks, random seeds, history and the scalars that TensorBoard
shows. `kill_test.md` has the result; runs that `kill_test.json` holds are not made again.
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

KINDS = {
    "arrays": "arrays",
    "dataset": "`tf.data` with shuffle",
    "all": "arrays, all callbacks on",
    "executions": "`tf.data`, eight steps an execution, all callbacks on",
}


def train(kind, folder):
    """The script that is killed; prints what the run ends with."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_dlopt import callbacks

    keras.utils.set_random_seed(11)
    tf.config.experimental.enable_op_determinism()
    x = np.random.default_rng(1).normal(size=(960, 8)).astype("float32")
    y = x[:, :1] ** 2 - x[:, 1:2]
    layers = [keras.Input((8,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dropout(0.2)]
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    per_execution = 8 if kind == "executions" else 1
    optimizer = keras.optimizers.AdamW(1e-2, use_ema=kind == "executions", ema_momentum=0.9)
    model.compile(optimizer, "mse", metrics=["mae"], jit_compile=False, steps_per_execution=per_execution)
    if kind in ("arrays", "all"):
        data = {"x": x, "y": y, "batch_size": 16}
    else:
        data = {"x": tf.data.Dataset.from_tensor_slices((x, y)).shuffle(200, seed=5).batch(16).prefetch(2)}

    class Pace(callbacks.Callback):
        """Says that the run is on, and makes it last long enough to be killed."""

        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) <= per_execution:
                print("RUNNING", flush=True)
            time.sleep(0.004 * per_execution)

    on, scalars = [], {}
    if kind in ("all", "executions"):
        on = [
            keras.callbacks.EarlyStopping(patience=5, start_from_epoch=2, restore_best_weights=True),
            *([] if kind == "executions" else [callbacks.AverageWeights("ema")]),
            callbacks.Prune(0.75),
            callbacks.OneCycle(1e-2),
            callbacks.RecordOptimizer(f"{folder}/log", every=7),
        ]
    resume = callbacks.ResumeExactly(f"{folder}/run", every_steps=17, keep=3)
    history = model.fit(
        **data, epochs=8, validation_data=(x[:100], y[:100]), verbose=0, callbacks=[*on, Pace(), resume]
    ).history
    if on:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        log = EventAccumulator(f"{folder}/log", size_guidance={"scalars": 0}).Reload()
        scalars = {tag: [(e.step, e.value) for e in log.Scalars(tag)] for tag in sorted(log.Tags()["scalars"])}
    arrays = [np.asarray(v) for v in (*model.variables, *model.optimizer.variables)]
    end = {
        "variables": hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest(),
        "history": hashlib.sha256(json.dumps(history, sort_keys=True).encode()).hexdigest(),
        "scalars": hashlib.sha256(json.dumps(scalars).encode()).hexdigest(),
        "steps": int(model.optimizer.iterations),
        "zeros": sum(int(np.sum(w == 0)) for w in model.get_weights()),
        "rows": len(scalars.get("optimizer/learning_rate", ())),
        "epochs": len(history["loss"]),
    }
    print("END " + json.dumps(end), flush=True)


def run(kind, folder, kill_after=None, by=signal.SIGKILL):
    """Runs the script once, and sends it a signal that many seconds after its first step.

    Returns:
        What it ended with, `None` if it did not, its exit code, and its output.
    """
    command = [sys.executable, os.path.abspath(__file__), "--train", kind, folder]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        said = ""
        if kill_after is not None:
            for line in process.stdout:
                said += line
                if line.startswith(("RUNNING", "ResumeExactly")):
                    break
            time.sleep(kill_after)
            process.send_signal(by)
        said += process.communicate()[0]
        ends = [line for line in said.splitlines() if line.startswith("END ")]
        if not ends and (kill_after is None or process.returncode not in (-signal.SIGKILL, 75)):
            errors.seek(0)
            raise RuntimeError(errors.read())
    return json.loads(ends[0][4:]) if ends else None, process.returncode, said


def kill_until(kind, folder, kills, rng, longest=3.0):
    """Kills a run up to `kills` times, then lets it end. Returns its end and the number of kills that hit it."""
    hits = 0
    for _ in range(kills):
        end, *_ = run(kind, folder, rng.uniform(0.0, longest))
        if end is not None:
            return end, hits
        hits += 1
    return run(kind, folder)[0], hits


def report(rows):
    """The Markdown page."""
    lines = [
        "# Runs killed at random times",
        "",
        "`python benchmarks/kill_test.py --kills 30` kills short runs by SIGKILL and starts them again until they end.",
        "Compared bit for bit with a run never killed: variables of model and optimizer, history, and, where they are",
        "recorded, the scalars that TensorBoard shows. All callbacks on: pruning, averaged weights, one-cycle learning",
        "rate, RecordOptimizer, EarlyStopping.",
        "",
        "| kind of run | runs | kills | identical |",
        "|---|---|---|---|",
    ]
    for kind, about in KINDS.items():
        own = [row for row in rows if row["kind"] == kind]
        lines.append(f"| {about} | {len(own)} | {_kills(own)} | {sum(not row['different'] for row in own)} |")
    lines.append(f"| all | {len(rows)} | {_kills(rows)} | {sum(not row['different'] for row in rows)} |")
    return "\n".join(lines) + "\n"


def _kills(rows):
    return sum(row["kills"] for row in rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", nargs=2)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.train:
        train(*arguments.train)
        return
    kept = pathlib.Path(__file__).with_suffix(".json")
    rows = json.loads(kept.read_text()) if kept.exists() else []
    references = {}
    while _kills(rows) < arguments.kills:
        kind = list(KINDS)[len(rows) % len(KINDS)]
        rng = random.Random(1000 * arguments.seed + len(rows))
        if kind not in references:
            with tempfile.TemporaryDirectory() as folder:
                references[kind] = run(kind, folder)[0]
        with tempfile.TemporaryDirectory() as folder:
            end, hits = kill_until(kind, folder, min(3, arguments.kills - _kills(rows)), rng)
        different = [name for name, value in references[kind].items() if end[name] != value]
        rows.append({"kind": kind, "kills": hits, "different": different, "end": end})
        kept.write_text(json.dumps(rows, indent=1))
        print(rows[-1], flush=True)
    kept.with_suffix(".md").write_text(report(rows))
    print(report(rows))


if __name__ == "__main__":
    main()
