"""What the optimizer does, layer by layer, for TensorBoard's tab "Optimizer"."""

import contextlib
import os
import time
import warnings

import keras
import numpy as np

from keras_dlopt import step
from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.callbacks.callback import Callback
from keras_dlopt.compress.quantization import fake_quant_layers
from keras_dlopt.distribute import is_chief
from keras_dlopt.step.finite import FiniteSteps
from keras_dlopt.step.two_traces import TwoTraces
from keras_dlopt.tensorboard.measure import Measure, Rows
from keras_dlopt.tensorboard.writer import RecordWriter

# The longest a recorded row waits in the ring, in seconds, before the host fetches it.
_PATIENCE = 10.0
_ROWS = 16


class RecordOptimizer(Callback):
    r"""Records gradients, updates, weights and the optimizer's state, variable by variable: one line, any optimizer.

    `tensorboard --logdir LOGDIR` shows them in the tab "Optimizer"; `keras_dlopt.tensorboard.read` gives arrays. At
    every `every`-th update, counted from 0 by `optimizer.iterations`, of each variable $w$ with gradient $g$:

    | statistic | value |
    | --- | --- |
    | `gradient_norm`, `gradient_max` | $\lVert g \rVert_2$ and $\max \lvert g \rvert$, before clipping |
    | `gradient_zeros`, `gradient_nonfinite` | shares of elements that are 0, and that are NaN or infinite |
    | `update_norm`, `weight_norm` | $\lVert w_{t+1} - w_t \rVert_2$ and $\lVert w_t \rVert_2$ |
    | `ratio` | $\log_{10}$ of their quotient: near -3 is the rule of thumb |
    | `effective_rate` | $\lVert w_{t+1} - w_t \rVert_2 \,/\, \lVert g \rVert_2$: the rate of plain gradient descent |
    | `weight_zeros`, `mask_changes` | shares of zeros, and of weights that turned to or from 0 since the last record |
    | `m_norm`, `m_mean`, `v_norm`, ... | $\lVert \cdot \rVert_2$ and mean of every slot of the optimizer |
    | `trust_ratio` | what LAMB and LARS multiply the rate with |

    and histograms of $g$, the update, $m$ and $v$ in bins of powers of two; of the whole step the learning rate, the
    norm of all gradients, `update_ratio` over all weights, the share that is clipped, the loss scale; and the ranges of
    fake-quantization layers with the share of values outside. Histograms and `mask_changes` look at a sample of at
    least 1,024 elements of a variable, evenly spread; all else at all elements.

    Gradients are those of the whole batch: summed over replicas, averaged over `gradient_accumulation_steps`,
    unscaled. Steps that a loss scale skips are no updates. NaN and infinity are recorded as they are.

    The numbers are taken inside the compiled step and wait there in a small ring; the host fetches several at a time,
    and a thread writes the file. The step is compiled twice, with and without recording, and the host picks one: steps
    that are not recorded cost nothing. (With `steps_per_execution` above 1 it picks for as many steps at once, and the
    steps of a recording execution cost what a conditional costs.) Rows that the disk is too slow for are dropped; the
    number is recorded, too. What is recorded is written even if the run breaks off: at once if it breaks off in a
    step, else when the callback is let go, when the model is next trained, or when Python ends.
    Of several workers only the first writes.

    Args:
        logdir: folder for the event file; made if it does not exist. Each run of `fit` adds a file, and goes on where
            the last one ended; one that starts again at an earlier update replaces the records from there on. Runs to
            be compared get folders side by side.
        every: number of updates from one record to the next, >= 1. Defaults to 100.

    Raises:
        ValueError: if `every` is not a whole number >= 1, or `logdir` is not a folder.

    Example:

    >>> import keras, numpy as np, tempfile
    >>> from keras_dlopt import callbacks, tensorboard
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="out")], name="net")
    >>> model.compile(keras.optimizers.SGD(0.5), "mse")
    >>> logdir = tempfile.mkdtemp()
    >>> x, y = np.ones((40, 2)), np.ones((40, 1))
    >>> recorder = callbacks.RecordOptimizer(logdir, every=4)
    >>> _ = model.fit(x, y, batch_size=4, callbacks=[recorder], verbose=0)
    >>> run = tensorboard.read(logdir)["."]
    >>> run.steps, run.variables
    (array([0, 4, 8]), ['net/out/kernel', 'net/out/bias'])
    >>> run.stat("effective_rate").round(3)      # without momentum it is the learning rate, for as long as g is not 0
    array([[0.5, 0.5],
           [0.5, 0.5],
           [0.5, 0.5]], dtype=float32)
    """

    def __init__(self, logdir, every=100):
        super().__init__()
        if not isinstance(logdir, str | os.PathLike) or not os.fspath(logdir):
            raise invalid("RecordOptimizer", "logdir", logdir, "the path of a folder")
        if os.path.exists(logdir) and not os.path.isdir(logdir):
            raise invalid("RecordOptimizer", "logdir", logdir, "a folder; this is a file")
        self.logdir = os.fspath(logdir)
        self.every = check_number("RecordOptimizer", "every", every, 1, integer=True)

    def on_train_begin(self, logs=None):
        self.end_run()
        self._recording = None

    def on_epoch_begin(self, epoch, logs=None):
        # Not before: after what the other callbacks attach when training begins, so as to see the weights they leave.
        if self._recording is None:
            writer = RecordWriter(self.logdir) if is_chief() else _Nowhere()
            self._recording = _Recording(self.model, writer, self.every)
            self.at_end(self._recording.finish, atexit=True)
        self._recording.count = None

    def on_train_batch_begin(self, batch, logs=None):
        self._recording.choose()

    def on_train_batch_end(self, batch, logs=None):
        self._recording.done()

    def on_epoch_end(self, epoch, logs=None):
        self._recording.fetch()

    def on_train_end(self, logs=None):
        self.end_run()

    @contextlib.contextmanager
    def in_step(self):
        """Traces of the step record, as every `every`-th does in `fit`; nothing is written. For the preflight."""
        measure = _Recording(self.model, _Nowhere(), self.every).measure
        measure.carry.chosen = True
        try:
            yield measure
        finally:
            measure.carry.chosen = False
            step.detach(measure.optimizer, measure)

    def get_state(self):
        """Which records the file has, and what the host knows of those that are still in the ring."""
        return self._recording.get_state()

    def set_state(self, state):
        """Goes on after the records of `get_state`."""
        self._recording.set_state(state)

    def flush(self):
        """Waits until the file has what `get_state` says that it has."""
        self._recording.writer.flush()


class _Nowhere:
    """The writer of the workers that write nothing."""

    first = None

    def offer(self, batch):
        return True

    def flush(self):
        pass

    close = flush


class _Recording:
    """One run of `fit`: when to record, when to fetch."""

    def __init__(self, model, writer, every):
        self.model, self.writer, self.every = model, writer, every
        self.batches = getattr(model, "steps_per_execution", 1)
        self.quantizers = [layer for layer in fake_quant_layers(model) if layer.limits is None]
        names = [layer.path for layer in self.quantizers]
        rows = _ROWS + 2 * -(-self.batches // every)
        self.measure = Measure(model.optimizer, every, rows, self.batches, names)
        step.attach(model.optimizer, self.measure, model)
        self.optimizer = self.measure.optimizer
        self.accumulated = self.optimizer.gradient_accumulation_steps or 1
        self.period = every * self.accumulated
        self.is_scaled = model.optimizer is not self.optimizer
        # A loss scale skips updates, a `NonFiniteGuard` takes them back, which the host cannot count.
        self.skips = self.is_scaled or any(isinstance(o, FiniteSteps) for o in step.observers(model.optimizer))
        self.traces = TwoTraces(model, self.measure, self._broke_off)
        self.rows, self.waiting, self.fetched = None, 0, time.monotonic()
        self.noted, self.count, self.given = {}, None, np.array([[-1, -1]])

    def count_anew(self):
        """Asks the optimizer how many batches it has seen."""
        _hand_back(self.model)
        self.count = int(keras.ops.convert_to_numpy(self.optimizer._iterations))

    def choose(self):
        """Whether the batches to come make an update to be recorded: the last batch of `period`."""
        self.traces.install()
        # At an epoch's first batch, and not when it begins: what is then restored has been by now.
        if self.count is None or (self.skips and self._is_due()):
            self.count_anew()
        if self.writer.first is None:
            self.writer.first = self.count // self.accumulated
        self.traces.chosen = self._is_due()

    def _is_due(self):
        return (self.accumulated - 1 - self.count) % self.period < self.batches

    def done(self):
        """The batches have run."""
        first = self.count // self.accumulated
        self.count += self.batches
        if self.traces.chosen:
            self.waiting += -(-self.batches // self.period)
            note = self._loss_scale(), self._ranges()
            end = self.count // self.accumulated + 1
            self.noted |= dict.fromkeys(range(first + -first % self.every, end, self.every), note)
        late = self.waiting and time.monotonic() - self.fetched > _PATIENCE
        if self.waiting + -(-self.batches // self.period) > self.measure.rows // 2 or late:
            self.fetch()

    def _loss_scale(self):
        """The scale after the batches: the step itself cannot read it on JAX."""
        if self.is_scaled:
            _hand_back(self.model)
            return float(self.model.optimizer.dynamic_scale)
        return self.optimizer.loss_scale_factor or np.nan

    def _ranges(self):
        """Low, high and the share outside of the quantizers after the batches."""
        if not self.quantizers:
            return None
        _hand_back(self.model)
        values = [[layer.low, layer.high, layer.outside] for layer in self.quantizers]
        return np.array(keras.tree.map_structure(float, values), "float32")

    def fetch(self):
        """Hands what the ring holds to the writer, which waits for it in its own thread."""
        if self.measure.layout is None:  # no step was made
            return
        _hand_back(self.model)
        self.rows = self.rows or Rows(self.measure.layout)
        snapshot, noted, rows = self.measure.snapshot(), dict(self.noted), self.rows
        if self.writer.offer(lambda: (rows.layout, list(rows.records(snapshot, noted)))):
            self.waiting, self.fetched, self.given = 0, time.monotonic(), snapshot[-1]
            self.noted.clear()

    def get_state(self):
        self.fetch()
        # The number of the last row that was handed over; the thread may be further behind.
        last = int(keras.ops.convert_to_numpy(self.given)[:, 0].max())
        noted = {str(step): list(note) for step, note in self.noted.items()}
        return {"last": last, "dropped": self.rows.dropped if self.rows else 0, "noted": noted}

    def set_state(self, state):
        self.rows = Rows(self.measure.layout)
        self.rows.last, self.rows.dropped = state["last"], state["dropped"]
        self.given = np.array([[state["last"], -1]])
        self.noted = {int(step): tuple(note) for step, note in state["noted"].items()}

    def _broke_off(self):
        try:
            self.fetch()
        except Exception as error:  # JAX: a step that broke off has taken the ring with it
            warnings.warn(f"RecordOptimizer: the last records are lost ({error}).", stacklevel=2)
        self.writer.flush()

    def finish(self):
        """Writes what is there, and leaves the model as it was."""
        if self.measure.optimizer is None:
            return
        self.writer.flush()  # makes room
        try:
            self.fetch()
        except Exception as error:
            warnings.warn(f"RecordOptimizer: the last records are lost ({error}).", stacklevel=2)
        finally:
            self.writer.close()
            step.detach(self.optimizer, self.measure)
        if self.rows is not None and self.rows.dropped:
            warnings.warn(f"{self.rows.dropped} records were dropped: the disk is slower than training.", stacklevel=2)


def _hand_back(model):
    """On JAX the trainer holds the state during an epoch; it gives it back to the variables."""
    if keras.backend.backend() == "jax":
        model.jax_state_sync()
