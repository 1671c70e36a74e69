"""What the optimizer does, as TensorBoard scalars."""

import os
import time
import warnings
import weakref

import keras
import numpy as np
from keras import ops

from keras_dlopt import step
from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.callbacks.callback import Callback
from keras_dlopt.callbacks.scalar_log import ScalarLog
from keras_dlopt.distribute import is_chief

# The longest a recorded row waits in the ring, in seconds, before the host fetches it.
_PATIENCE = 10.0


class RecordOptimizer(Callback):
    r"""Logs learning rate, gradient norm and how far every update moves the weights, for TensorBoard.

    At every `every`-th update, counted from 0 by `optimizer.iterations`:

    | tag | value |
    | --- | --- |
    | `optimizer/learning_rate` | the rate the update used, without the multipliers of parameter groups |
    | `optimizer/gradient_norm` | $\lVert g \rVert_2$ of the gradients of all variables, before clipping |
    | `optimizer/update_ratio` | $\lVert w_{t+1} - w_t \rVert_2 \,/\, \lVert w_t \rVert_2$ over all variables
    | | `update_ratio/PATH` | the same for each variable alone; none while it is all zeros |

    A ratio near 1e-3 is the usual rule of thumb: far below nothing is learned, far above training is
    unstable. Gradients are those of the whole batch: summed over replicas, averaged over
    `gradient_accumulation_steps`, unscaled. Steps that a loss scale skips are no updates. NaN and infinity
    are logged as they are.

    The numbers are taken inside the compiled step and wait there in a small ring; the host fetches many at a
    time, and a thread writes the file. On all but recorded steps the cost is that of keeping the weights for
    a comparison; under `tf.distribute` the gradients are summed over the replicas a second time. What is
    recorded is written even if the run breaks off: when the callback is let go, when it is next used, or when
    Python ends. Of several workers only the first writes.

    Args:
        logdir: folder for the event file; made if it does not exist. `tensorboard --logdir` shows it.
        every: number of updates from one record to the next, >= 1. Defaults to 100.

    Raises:
        ValueError: if `every` is not a whole number >= 1, or `logdir` is not a folder.

    Example:

    >>> import keras, numpy as np, tempfile
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="out")])
    >>> model.compile(keras.optimizers.SGD(0.5), "mse")
    >>> logdir = tempfile.mkdtemp()
    >>> x, y = np.ones((40, 2)), np.ones((40, 1))
    >>> recorder = callbacks.RecordOptimizer(logdir, every=4)
    >>> _ = model.fit(x, y, batch_size=4, callbacks=[recorder], verbose=0)
    >>> from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    >>> log = EventAccumulator(logdir).Reload()
    >>> [(event.step, event.value) for event in log.Scalars("optimizer/learning_rate")]
    [(0, 0.5), (4, 0.5), (8, 0.5)]
    """

    def __init__(self, logdir, every=100):
        super().__init__()
        if not isinstance(logdir, str | os.PathLike) or not os.fspath(logdir):
            raise invalid("RecordOptimizer", "logdir", logdir, "the path of a folder")
        if os.path.exists(logdir) and not os.path.isdir(logdir):
            raise invalid("RecordOptimizer", "logdir", logdir, "a folder; this is a file")
        self.logdir = os.fspath(logdir)
        self.every = check_number("RecordOptimizer", "every", every, 1, integer=True)
        self._finish = None

    def on_train_begin(self, logs=None):
        if self._finish is not None:
            self._finish()
        model = self.model
        self._batches = getattr(model, "steps_per_execution", 1)
        ring = 32 + 2 * -(-self._batches // self.every)
        self._observer = _Measure(self.every, ring)
        step.attach(model.optimizer, self._observer, model)
        log = ScalarLog(self.logdir) if is_chief() else _Nowhere()
        # Not a method of this callback, which would keep it alive: it must run when the callback is gone.
        self._finish = weakref.finalize(self, _finish, self._observer, log)
        self._log = log
        # How many batches may run until the ring is half full.
        updates = (ring // 2) * self.every
        self._fetch_after = max(1, updates * (self._observer.optimizer.gradient_accumulation_steps or 1))
        self._since, self._fetched = 0, time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        self._since += self._batches
        late = time.monotonic() - self._fetched > _PATIENCE
        if self._since + self._batches > self._fetch_after or late:
            self._fetch()

    def on_epoch_end(self, epoch, logs=None):
        self._fetch()

    def on_train_end(self, logs=None):
        self._finish()

    def get_state(self):
        """Which update was recorded last."""
        self._fetch()
        return {"last": self._observer.last}

    def set_state(self, state):
        """What `get_state` returned: records of later updates, of a run that was killed, are void."""
        self._observer.last = state["last"]
        self._log.begin_again(state["last"] + 1)

    def flush(self):
        """Waits until all that was fetched is in the file."""
        self._log.flush()

    def _fetch(self):
        _ = self.model  # on JAX this hands the state back to the variables
        self._observer.write_to(self._log)
        self._since, self._fetched = 0, time.monotonic()


class _Nowhere:
    """The log of the workers that write none."""

    def write(self, step, scalars):
        pass

    def close(self):
        pass


def _finish(observer, log):
    try:
        observer.write_to(log)
    except RuntimeError as error:  # JAX: a step that broke off has taken the ring with it
        warnings.warn(f"RecordOptimizer: the last records are lost ({error}).", stacklevel=2)
    finally:
        log.close()
        if observer.optimizer is not None:
            step.detach(observer.optimizer, observer)


class _Measure(step.Observer):
    """Fills the ring: row n // every holds update n's rate, gradient norm, step norms and weight norms."""

    def __init__(self, every, rows):
        self.every, self.rows = every, rows
        self.last = -1
        self.ring = None

    def build(self, optimizer, variables):
        self.paths = _unique([getattr(v, "path", v.name) for v in variables])
        self.ring = self.add_variable((self.rows, 2 + 2 * len(variables)), "float32", name="ring")
        # A column of whole numbers: float32 would lose those above 2**24.
        self.updates = self.add_variable((self.rows,), "int32", keras.initializers.Constant(-1), name="updates")

    def before_apply(self, gradients, variables):
        here = self.carry
        here.update = ops.cast(ops.convert_to_tensor(self.optimizer.iterations), "int32")
        here.gradients = self.all_reduce(self.accumulated(gradients, variables))
        here.before = [_value(v) for v in variables]
        # A schedule would give the next update's rate afterwards; a variable may still be written by others.
        rate = self.optimizer.learning_rate
        here.rate = None if isinstance(rate, keras.Variable) else rate
        return gradients

    def after_apply(self, gradients, variables):
        here = self.carry
        rate = self.optimizer.learning_rate if here.rate is None else here.rate
        rate = ops.cast(ops.convert_to_tensor(rate), "float32")
        after = [_value(v) for v in variables]
        moved = ops.cast(ops.convert_to_tensor(self.optimizer.iterations), "int32") > here.update
        due = ops.logical_and(moved, here.update % self.every == 0)
        ring, updates = _value(self.ring), _value(self.updates)
        place = here.update // self.every % self.rows

        def record():
            steps = [_square(ops.subtract(a, b)) for a, b in zip(after, here.before, strict=True)]
            weights = [_square(b) for b in here.before]
            norm = sum(_square(g) for g in here.gradients if g is not None)
            row = ops.stack([rate, ops.sqrt(norm), *map(ops.sqrt, steps), *map(ops.sqrt, weights)])
            return (
                ops.slice_update(ring, ops.stack([place, 0]), row[None]),
                ops.slice_update(updates, ops.stack([place]), ops.reshape(here.update, (1,))),
            )

        ring, updates = ops.cond(due, record, lambda: (ring, updates))
        self.assign(self.ring, ring)
        self.assign(self.updates, updates)
        vars(here).clear()  # tensors of a trace would keep its graph alive

    def write_to(self, log):
        """Hands every row that is new to the log, on the host."""
        if self.ring is None:  # no step was made
            return
        ring, updates = np.array(ops.convert_to_numpy(self.ring)), ops.convert_to_numpy(self.updates)
        for place in np.argsort(updates):
            if updates[place] > self.last:
                self.last = int(updates[place])
                log.write(self.last, self._scalars(ring[place].astype("float64")))

    @np.errstate(invalid="ignore")
    def _scalars(self, row):
        count = len(self.paths)
        steps, weights = row[2 : 2 + count], row[2 + count :]
        scalars = {"optimizer/learning_rate": row[0], "optimizer/gradient_norm": row[1]}
        if weights.any():
            scalars["optimizer/update_ratio"] = np.linalg.norm(steps) / np.linalg.norm(weights)
        for path, moved, weight in zip(self.paths, steps, weights, strict=True):
            if weight != 0:
                scalars[f"update_ratio/{path}"] = moved / weight
        return scalars


def _value(variable):
    # `convert_to_tensor` gives the variable itself on TensorFlow, which is its later value when it is read later.
    return ops.copy(ops.convert_to_tensor(variable))


def _square(tensor):
    return ops.sum(ops.square(ops.cast(tensor, "float32")))


def _unique(names):
    seen = {}
    for i, name in enumerate(names):
        seen.setdefault(name, []).append(i)
    return [name if len(seen[name]) == 1 else f"{name}_{seen[name].index(i)}" for i, name in enumerate(names)]
