"""What recording costs: `RecordOptimizer` against no recording, and its peers beside it, on the machine at hand.

    python benchmarks/recording.py [--rounds 30] [--only mlp] [--out benchmarks/recording.md]

One process holds one model for each contender, all alike. They take turns, 100 steps each, in another order every
round; quoted are the medians of the ratio to the model without recording in the same round. "none again" is a second
model without recording: how far its ratio is from 1 is what this machine can tell. Results are kept in
recording.json after each case and reused; `--fresh` measures anew.
"""

import argparse
import json
import os
import pathlib
import platform
import random
import statistics
import tempfile
import time
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

HERE = pathlib.Path(__file__).parent
STEPS = 100
CONTENDERS = ("none", "none again", "every=100", "every=1", "keras TensorBoard", "per variable")


def make_model(name):
    """The model, and one batch for it."""
    import keras
    import numpy as np
    from keras import layers

    rng = np.random.default_rng(0)
    if name == "conv":  # 57 k parameters, batch 64
        x = rng.normal(size=(64, 28, 28, 1)).astype("float32")
        body = [
            *(keras.Input((28, 28, 1)), layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D()),
            *(layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D()),
            layers.Conv2D(64, 3, activation="relu"),
            *(layers.GlobalAveragePooling2D(), layers.Dense(10)),
        ]
    else:  # 3.2 M parameters; batch 16: the step is bound by reading and writing weights and state
        x = rng.normal(size=(16, 1024)).astype("float32")
        dense = (layers.Dense(1024, activation="relu") for _ in range(3))
        body = [keras.Input((1024,)), *dense, layers.Dense(10)]
    return keras.Sequential(body), x, rng.integers(0, 10, len(x))


class PerVariable:
    """What wandb.watch does: every 100th step, a histogram of each gradient, one by one, by the host."""

    def __init__(self, model, folder):
        import tensorflow as tf

        from keras_dlopt import step
        from keras_dlopt.step.two_traces import TwoTraces

        class Keep(step.Observer):
            def build(self, optimizer, variables):
                self.kept = [self.add_variable(v.shape) for v in variables]

            def before_apply(self, gradients, variables):
                if getattr(self.carry, "chosen", False):
                    for variable, gradient in zip(self.kept, gradients, strict=True):
                        self.assign(variable, gradient)
                return gradients

        self.observer, self.steps = Keep(), 0
        step.attach(model.optimizer, self.observer, model)
        self.traces = TwoTraces(model, self.observer, lambda: None)
        self.writer = tf.summary.create_file_writer(folder)

    def on_train_batch_begin(self, batch):
        self.traces.install()
        self.traces.chosen = self.steps % STEPS == 0

    def on_train_batch_end(self, batch):
        import tensorflow as tf

        if self.traces.chosen:
            with self.writer.as_default():
                for i, variable in enumerate(self.observer.kept):
                    tf.summary.histogram(f"gradient/{i}", variable.value, step=self.steps, buckets=64)
        self.steps += 1

    def on_epoch_begin(self, epoch):
        pass

    on_epoch_end = on_epoch_begin


class Contender:
    """A model in training, 100 steps at a time."""

    def __init__(self, name, model_name, jit):
        import keras
        import tensorflow as tf

        from keras_dlopt import callbacks

        keras.utils.set_random_seed(0)
        self.model, x, y = make_model(model_name)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(keras.optimizers.Adam(1e-4), loss, jit_compile=jit)
        data = tf.data.Dataset.from_tensors((tf.constant(x), tf.constant(y))).repeat()
        self.data, self.epoch = iter(data), 0
        self.model.optimizer.build(self.model.trainable_variables)
        self.model.make_train_function()
        folder = tempfile.mkdtemp()
        self.callback = None
        if name.startswith("every="):
            self.callback = callbacks.RecordOptimizer(folder, every=int(name.split("=")[1]))
        elif name == "keras TensorBoard":
            self.callback = keras.callbacks.TensorBoard(folder, histogram_freq=1, write_graph=False)
        elif name == "per variable":
            self.callback = PerVariable(self.model, folder)
        if isinstance(self.callback, keras.callbacks.Callback):
            self.callback.set_params({"epochs": 1, "steps": STEPS})
            self.callback.set_model(self.model)
            self.callback.on_train_begin()

    def run(self):
        """Seconds of the next 100 steps, and of processor time."""
        start = time.perf_counter(), time.process_time()
        if self.callback is not None:
            self.callback.on_epoch_begin(self.epoch)
        for batch in range(STEPS):
            if self.callback is not None:
                self.callback.on_train_batch_begin(batch)
            logs = self.model.train_function(self.data)
            if self.callback is not None:
                self.callback.on_train_batch_end(batch)
        float(logs["loss"])
        if self.callback is not None:
            self.callback.on_epoch_end(self.epoch)
        self.epoch += 1
        return time.perf_counter() - start[0], time.process_time() - start[1]


def measure(model_name, jit, rounds):
    """What `Contender.run` returned, a list a contender."""
    contenders = {name: Contender(name, model_name, jit) for name in CONTENDERS}
    for contender in contenders.values():
        contender.run()
    times, order = {name: [] for name in CONTENDERS}, list(CONTENDERS)
    shuffle = random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            times[name].append(contenders[name].run())
    return times


def report(results):
    """The Markdown page."""
    machine = f"{os.cpu_count()} cores ({platform.machine()}), "
    machine += ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "tensorboard"))
    lines = [
        "# What recording costs",
        "",
        f"`python benchmarks/recording.py`: {machine}; Adam, float32.",
        "Medians of paired ratios to the same model without recording in the same round (middle half of the rounds),",
        "100 steps a turn; wall time, and the processor time of all threads, which tells more on a machine in use.",
        "",
        "| case | ms a step | " + " | ".join(CONTENDERS[1:]) + " |",
        "|---" * (len(CONTENDERS) + 1) + "|",
    ]
    for case, times in results.items():
        for clock, of in enumerate(("wall", "processor")):
            of_none = [pair[clock] for pair in times["none"]]
            cells = [f"{case}, {of}", f"{statistics.median(of_none) / STEPS * 1e3:.2f}"]
            for name in CONTENDERS[1:]:
                ratios = [pair[clock] / none for pair, none in zip(times[name], of_none, strict=True)]
                low, middle, high = statistics.quantiles(ratios, n=4)
                cells.append(f"{middle:.3f} ({low:.2f}-{high:.2f})")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "recording.md")
    arguments = parser.parse_args()
    kept = arguments.out.with_suffix(".json")
    results = json.loads(kept.read_text()) if kept.exists() and not arguments.fresh else {}
    for model_name in ("conv", "mlp"):
        for jit in (False, True):
            case = f"{model_name}{', jit' if jit else ''}"
            if arguments.only in case and case not in results:
                results[case] = measure(model_name, jit, arguments.rounds)
                kept.write_text(json.dumps(results))
                print("\n".join(report({case: results[case]}).splitlines()[-2:]), flush=True)
    arguments.out.write_text(report(results))


if __name__ == "__main__":
    main()
