"""A run that can be killed anywhere, and ends as if it had not been."""

import collections
import os
import time

import keras
import numpy as np
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.callbacks.callback import EVERY_OTHER, Callback, callbacks_in_use, in_caller
from keras_dlopt.callbacks.resume import run_state
from keras_dlopt.callbacks.resume.data_position import go_to, pass_over
from keras_dlopt.callbacks.resume.preemption import Preemption
from keras_dlopt.callbacks.resume.store import Store
from keras_dlopt.callbacks.resume.writing import Writing
from keras_dlopt.distribute import is_chief
from keras_dlopt.distribute.agreement import from_chief
from keras_dlopt.distribute.plan import last


class ResumeExactly(Callback):
    """Kill the process, start the same script again: the run ends as one that was never killed, bit for bit.

    What is kept: weights, optimizer, metrics, seeds of layers, all that is attached to the optimizer's step (masks,
    records), the state of every callback (Keras's, ours and the user's, see `Callback`), the generators of Python,
    NumPy and TensorFlow, and the position in the data; of a model of your own also further optimizers and TensorFlow
    variables that are attributes of it or its layers, by themselves, in a list or in a dictionary. It is copied to the
    host between two steps and written by a thread; no step waits for the disk. A file is complete or not there, and has
    a checksum: of the newest `keep` files the newest that is whole is taken.

    Data are drawn again, without computing, up to where the run was: they must come in the same order each time the
    script runs (`keras.utils.set_random_seed`), and cost the time it takes to read them. Where data draw from Python's
    or NumPy's generator, as arrays that are shuffled do on JAX, nothing else in the run may.

    Bit for bit needs operations that are so themselves: `tf.config.experimental.enable_op_determinism()`. Under a
    strategy the state is that of the first replica. Not kept are TensorFlow's own generators inside of a step
    (`tf.random.uniform`; Keras's layers do not use them) and the order of validation data that are shuffled.

    TensorBoard shows every step once: `RecordOptimizer` goes on after what the checkpoint knows of, and the files that
    Keras's own callback has written since are cut off there, if they are local.

    SIGTERM, which a cloud sends to a machine that it takes away, ends the step, writes a checkpoint, and ends the
    process with `exit_code`, for a supervisor to start it again.

    Of several workers the first writes; all read its newest checkpoint, so the folder must be one that all see. They
    stop for it at the same batch, and wait if the one before is still being written; after SIGTERM none is written.

    A folder belongs to one call of `fit`: remove it to begin anew. It must be the last callback of the list.

    Args:
        path: a folder, local or one that TensorFlow can write, such as `"gs://bucket/run"`.
        every: seconds from one checkpoint to the next, > 0; with several workers as many batches as the chief had in
            that time, the first checkpoint after one. Defaults to 60.
        every_steps: a number of batches instead, >= 1; `every` is then unused. The next execution's end counts.
        keep: how many checkpoints stay, >= 1. Defaults to 3.
        grace: seconds that a checkpoint after SIGTERM may take, > 0; if no step ends in that time, the process ends
            with those that it has. Defaults to 25, of the 30 that clouds give.
        exit_code: of the process after SIGTERM. Defaults to 75, `EX_TEMPFAIL`.

    Raises:
        ValueError: if an argument is out of its range; when the run begins, if the model is not built, another
            callback comes behind, or the folder belongs to another run or is not seen by all workers.

    Example: a run that ends in the middle, and goes on.

    >>> import keras, numpy as np, tempfile
    >>> from keras_dlopt import callbacks
    >>> class PowerCut(callbacks.Callback):
    ...     def on_train_batch_end(self, batch, logs=None):
    ...         if int(self.model.optimizer.iterations) == 15:
    ...             raise KeyboardInterrupt
    >>> def run(path, *others):
    ...     keras.utils.set_random_seed(1)
    ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    ...     model.compile("adam", "mse")
    ...     resume = callbacks.ResumeExactly(path, every_steps=4)
    ...     x = np.linspace(0, 1, 80).reshape(40, 2)
    ...     return model.fit(x, x[:, :1], batch_size=4, epochs=3, callbacks=[*others, resume], verbose=0).history
    >>> path = tempfile.mkdtemp()
    >>> try:
    ...     _ = run(path, PowerCut())
    ... except KeyboardInterrupt:
    ...     pass
    >>> resumed = run(path)
    ResumeExactly: going on in epoch 2 after batch 2
    >>> resumed == run(tempfile.mkdtemp())
    True
    """

    after = EVERY_OTHER

    def __init__(self, path, every=60.0, *, every_steps=None, keep=3, grace=25.0, exit_code=75):
        super().__init__()
        if not isinstance(path, str | os.PathLike) or not os.fspath(path):
            raise invalid("ResumeExactly", "path", path, "the path of a folder")
        self._every = check_number("ResumeExactly", "every", every, 0, ends="()")
        if every_steps is not None:
            check_number("ResumeExactly", "every_steps", every_steps, 1, integer=True)
        self._every_steps = every_steps
        check_number("ResumeExactly", "grace", grace, 0, ends="()")
        self._exit_code = check_number("ResumeExactly", "exit_code", exit_code, 0, 255, integer=True)
        self._store = Store(path, check_number("ResumeExactly", "keep", keep, 1, integer=True))
        self._writing = Writing(self._store)
        self._preemption = Preemption(grace, exit_code)

    def on_train_begin(self, logs=None):
        self.end_run()
        self._epoch_iterator = in_caller("epoch_iterator", EpochIterator)
        if self._epoch_iterator is None:
            raise invalid("ResumeExactly", "model", self.model, "trained by `fit`")
        if not all(layer.built for layer in self.model._flatten_layers()):
            raise invalid("ResumeExactly", "model", self.model, "built: give it an Input, or call `build`")
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        self._others = _named(callback for callback in callbacks_in_use() if callback is not self)
        self._at_start = {name: run_state.read_attributes(callback) for name, callback in self._others.items()}
        self._first_epoch = None
        self._batches = 0
        made = last()
        self._workers = 1 if made is None else made.workers
        # Workers read at the same batches, for that takes all of them: without a number of batches they begin with one.
        self._batches_apart = self._every_steps or (1 if self._workers > 1 else None)
        self._writing.wait_for_all()
        self._saved = self._newest()
        if self._saved is not None:
            self.model._initial_epoch = self._saved["epoch"]
        self._wait_from_now()
        self._preemption.watch()
        self.at_end(self._preemption.stop)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        if self._first_epoch is None:
            self._first_epoch = epoch
            if self._saved is not None:
                self._restore(self._saved)
                self._saved = None

    def on_train_batch_end(self, batch, logs=None):
        per_execution = self._epoch_iterator.steps_per_execution
        self._batches += per_execution
        if self._preemption.came:
            if self._workers == 1:  # the others may be at another batch
                self._writing.wait()
                self._save((batch + 1) // per_execution, logs)
            self._end()
        if self._is_due() and not self.model.stop_training:
            self._save((batch + 1) // per_execution, logs)

    def on_test_batch_end(self, batch, logs=None):
        if self._preemption.came:  # the metrics of the epoch are gone: the last checkpoint it is
            self._end()

    def on_train_end(self, logs=None):
        self._writing.wait()
        self.end_run()

    def _newest(self):
        """The newest checkpoint, on all workers the one that the chief finds."""
        saved = self._store.newest() if is_chief() else None
        step = from_chief(saved["batches"] if saved is not None else 0)
        if is_chief() or not step:
            return saved
        if step not in self._store.steps():
            accepted = f"a folder that all workers see; the chief's checkpoint after {step} batches is not in it here"
            raise invalid("ResumeExactly", "path", self._store.path, accepted)
        return self._store.read(step)

    def _is_due(self):
        if self._batches_apart is None:
            due = time.monotonic() - self._last_time >= self._every
        else:
            due = self._batches - self._last_batches >= self._batches_apart
        return due and (self._writing.idle or self._workers > 1)

    def _wait_from_now(self):
        self._last_batches, self._last_time = self._batches, time.monotonic()

    def _end(self):
        self._writing.wait()
        raise SystemExit(self._exit_code)

    def _save(self, executions, logs):
        if self._workers > 1 and self._every_steps is None:
            batches_a_second = (self._batches - self._last_batches) / (time.monotonic() - self._last_time)
            self._batches_apart = from_chief(min(max(1, int(self._every * batches_a_second)), 2**30))
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()  # during an epoch the trainer holds the state
        callbacks = {name: run_state.read_callback(c, self._at_start[name]) for name, c in self._others.items()}
        state = {
            "batches": self._batches,
            "first_epoch": self._first_epoch,
            "epoch": self._epoch,
            "executions": executions,
            "num_batches": self._epoch_iterator._num_batches,
            "logs": keras.tree.map_structure(lambda value: np.array(keras.ops.convert_to_numpy(value)), logs or {}),
            "builds": run_state.read_builds(self.model),
            "variables": run_state.read_variables(self.model),
            "generators": run_state.read_generators(),
            "callbacks": callbacks,
        }
        flushes = [callback.flush for callback in self._others.values() if hasattr(callback, "flush")]
        if is_chief():
            self._writing.start(self._batches, state, flushes)
        self._wait_from_now()

    def _restore(self, saved):
        model = self.model
        model._initial_epoch = None  # later calls of `fit` begin at the beginning
        batch = saved["executions"] * self._epoch_iterator.steps_per_execution
        print(f"ResumeExactly: going on in epoch {saved['epoch'] + 1} after batch {batch}", flush=True)
        position = {name: saved[name] for name in ("executions", "num_batches")}
        position["epochs"] = saved["epoch"] - saved["first_epoch"]
        last, moved = go_to(self._epoch_iterator, position)
        # Without a strategy Keras leaves the metrics to the first step: too late for their values.
        model._symbolic_build(data_batch=last)
        run_state.write_builds(model, saved["builds"])
        run_state.write_variables(model, saved["variables"], self._store.path)
        for name, callback in self._others.items():
            if name in saved["callbacks"]:
                run_state.write_callback(callback, saved["callbacks"][name])
        run_state.write_generators({n: s for n, s in saved["generators"].items() if n not in moved})
        self._first_epoch, self._batches = saved["first_epoch"], saved["batches"]
        pass_over(model, in_caller("self", keras.callbacks.CallbackList), saved["logs"])
        self._wait_from_now()


def _named(callbacks):
    """The callbacks by a name that another process gives them, too. What shows progress is nothing to keep."""
    counts, named = collections.Counter(), {}
    for callback in callbacks:
        kind = type(callback).__name__
        if not isinstance(callback, keras.callbacks.ProgbarLogger):
            counts[kind] += 1
            named[f"{kind} {counts[kind]}"] = callback
    return named
