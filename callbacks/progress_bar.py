"""How far a run is, on one line."""

import os
import time

import keras

from keras_dlopt.callbacks.callback import Callback, callbacks_in_use
from keras_dlopt.callbacks.schedule import SCHEDULE_CALLBACKS

_REFRESH, _LINE = 0.2, 30.0  # seconds between two looks at the values, and between two lines within an epoch


class ProgressBar(Callback):
    """Shows a run as a bar an epoch: batches a second, time left, loss and metrics, learning rate, sparsity.

    In a terminal or a notebook the bar moves, and a line stays of each epoch. Elsewhere there are lines only, one every
    30 seconds and one an epoch; where the environment has `CI`, one an epoch. Keras's own bar is taken off the run.
    The learning rate and, with `Prune`, the sparsity are shown; on JAX, which holds them back during an epoch, as of
    the last epoch's end. It comes after callbacks that add to the logs, which it shows.

    Attributes:
        console: the `rich.console.Console` it writes to; standard output unless set before `fit`.

    Example:

    >>> import keras, numpy as np, re, io, rich.console
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    >>> model.compile(keras.optimizers.SGD(0.5), "mse")
    >>> bar = callbacks.ProgressBar()
    >>> bar.console = rich.console.Console(file=io.StringIO(), width=100)
    >>> _ = model.fit(np.ones((4, 1)), np.ones((4, 1)), batch_size=4, callbacks=[bar])
    >>> re.sub(r"in .*/s", "in 0.1 s, 50 batches/s", bar.console.file.getvalue().strip())
    'epoch 1/1 in 0.1 s, 50 batches/s  loss 1  learning_rate 0.5'
    """

    after = ("AverageWeights", "NonFiniteGuard", "Prune", "ReduceLROnPlateau", "Throughput", *SCHEDULE_CALLBACKS)

    def __init__(self):
        super().__init__()
        self.console = None

    def set_model(self, model):
        super().set_model(model)
        callbacks = callbacks_in_use()
        for i in reversed(range(len(callbacks))):
            if callbacks[i] is self:
                break
            if isinstance(callbacks[i], keras.callbacks.ProgbarLogger):
                del callbacks[i]

    def on_train_begin(self, logs=None):
        from rich import console, progress

        self.end_run()
        if self.console is None:
            self.console = console.Console(highlight=False)
        self._is_ci = bool(os.environ.get("CI"))
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=20),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[rate]}", markup=False),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[values]}", markup=False),
            console=self.console,
            transient=True,
            disable=self._is_ci or not (self.console.is_terminal or self.console.is_jupyter),
        )
        self._bar.start()
        self.at_end(self._bar.stop, atexit=True)  # gives the cursor back, after an error too
        self._known = self._extras()
        self._task = None

    def on_epoch_begin(self, epoch, logs=None):
        self._name = f"epoch {epoch + 1}/{self.params['epochs']}"
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(self._name, total=self.params.get("steps"), rate="", values="")
        self._first = self._done = 0
        self._began = self._looked = self._wrote = time.monotonic()

    def on_train_batch_begin(self, batch, logs=None):
        if not self._done:
            self._first = batch  # a run that goes on within an epoch

    def on_train_batch_end(self, batch, logs=None):
        self._done, now = batch + 1, time.monotonic()
        if now - self._looked < _REFRESH:
            return
        self._looked = now
        if keras.backend.backend() != "jax":
            self._known |= self._extras()
        values = _text({**(logs or {}), **self._known})
        self._bar.update(self._task, completed=self._done, rate=self._rate(now), values=values)
        if self._bar.disable and not self._is_ci and now - self._wrote > _LINE:
            self._wrote = now
            total = self.params.get("steps") or "?"
            self._say(f"{self._name} batch {self._done}/{total}, {self._left(now)}{self._rate(now)}  {values}")

    def on_epoch_end(self, epoch, logs=None):
        logs, now = logs or {}, time.monotonic()
        self._known |= self._extras()
        self._known |= {name: logs[name] for name in ("learning_rate", "sparsity") if name in logs}
        self._say(f"{self._name} in {now - self._began:.1f} s, {self._rate(now)}  {_text({**logs, **self._known})}")

    def on_train_end(self, logs=None):
        self.end_run()

    def get_state(self):
        """Nothing: another process has a bar of its own."""
        return {}

    def set_state(self, state):
        """Nothing, see `get_state`."""

    def _rate(self, now):
        return f"{(self._done - self._first) / max(now - self._began, 1e-9):.3g} batches/s"

    def _left(self, now):
        made, total = self._done - self._first, self.params.get("steps")
        return f"{(now - self._began) / made * (total - self._done):.0f} s left, " if total and made else ""

    def _extras(self):
        """What is shown beside the logs."""
        optimizer = self.model.optimizer
        return (
            {} if optimizer is None else {"learning_rate": float(keras.ops.convert_to_numpy(optimizer.learning_rate))}
        )

    def _say(self, text):
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _text(values):
    return "  ".join(f"{n} {v:.4g}" if isinstance(v, int | float) else f"{n} {v}" for n, v in values.items())
