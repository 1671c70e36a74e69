"""How fast a run is, and what keeps it from being faster."""

import time

import numpy as np
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_dlopt import tpu_configs
from keras_dlopt.arguments import check_number
from keras_dlopt.callbacks.callback import Callback, in_caller
from keras_dlopt.callbacks.input_wait import FetchesInGraph, FetchesOnHost
from keras_dlopt.callbacks.step_cost import IS_JAX, TracedStep

_INPUT_BOUND = 0.3


class Throughput(Callback):
    r"""Measures samples a second, step times, waiting for data, and operations against the hardware's peak.

    Times are the host's, between the batches; nothing is fetched from the device for them. The first execution of a
    run, and every one in which the step is traced anew, are left out. Into each epoch's logs go `samples_per_second`
    (of batches of full size), `step_p50`, `step_p90`, `step_p99` (seconds a batch, with its data), `input_share` (the
    share of that time spent waiting for data; on TensorFlow only where a step is an execution, without a strategy), and
    `mfu`, with a step's operations $F$ and time $t$, and peak $P$: $1 / P$ over the median of $t / F$. What cannot be
    known is not there. A run that waits for data in 30 % of its time or more is input-bound.

    $F$ is what XLA estimates on JAX before it compiles, and the profiler of TensorFlow counts, which knows matrix
    products, convolutions and elementwise operations, but not every other. Under a strategy it is one replica's.

    Args:
        peak_flops: floating-point operations a second that the hardware could do, > 0, or the name of a TPU slice,
            such as "v5e-8", whose bfloat16 peak it then is. Defaults to `None`: not known.

    Raises:
        ValueError: if `peak_flops` is neither.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, use_bias=False)])
    >>> model.compile("sgd", "mse")
    >>> speed = callbacks.Throughput(peak_flops=1e12)
    >>> history = model.fit(np.ones((64, 8)), np.ones((64, 4)), batch_size=8, callbacks=[speed], verbose=0).history
    >>> history["samples_per_second"][0] > 0, history["step_p50"][0] <= history["step_p99"][0]
    (True, True)
    >>> rate, waiting, operations = speed.summary().splitlines()
    >>> "of the time waiting for data" in waiting, "FLOPs a step" in operations
    (True, True)
    """

    def __init__(self, peak_flops=None):
        super().__init__()
        if isinstance(peak_flops, str):
            peak_flops = tpu_configs.load(peak_flops).peak_total_tflops * 1e12
        elif peak_flops is not None:
            check_number("Throughput", "peak_flops", peak_flops, 0, ends="()")
        self._peak = peak_flops
        self.clock = time.perf_counter
        self._all = []

    def on_train_begin(self, logs=None):
        self.end_run()
        data = in_caller("epoch_iterator", EpochIterator)
        single = getattr(self.model, "steps_per_execution", 1) == 1
        self._wait = None
        if IS_JAX and data is not None:
            self._wait = FetchesOnHost(data)
        elif not IS_JAX and single:
            self._wait = FetchesInGraph()
        self._step = TracedStep(self.model, data)
        self.at_end(_leave, self._step, self._wait)
        self._all, self._epoch = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._ended, self._fetched = [], None, None

    def on_train_batch_begin(self, batch, logs=None):
        self._first, self._traces = batch, self._step.traces
        if self._wait is not None:
            self._wait.active = True

    def on_train_batch_end(self, batch, logs=None):
        now, fetched = self.clock(), None
        if self._wait is not None:
            self._wait.active = False
            fetched = self._wait.seconds()
        if self._step.traces == self._traces and self._ended is not None:
            waited = None if fetched is None or self._fetched is None else fetched - self._fetched
            made = self._step.latest, self._step.batch_size()
            self._epoch.append((now - self._ended, waited, batch + 1 - self._first, *made))
        self._ended, self._fetched = now, fetched

    def on_epoch_end(self, epoch, logs=None):
        measured = [(*times, size, None if trace is None else trace.flops(size)) for *times, trace, size in self._epoch]
        self._all += measured
        if logs is not None:
            logs.update(self._measured(measured))

    def on_train_end(self, logs=None):
        self.end_run()

    def get_state(self):
        """Nothing: speed is that of this process."""
        return {}

    def set_state(self, state):
        """Nothing, see `get_state`."""

    def _measured(self, executions):
        if not executions:
            return {}
        seconds, waits, steps, sizes, flops = zip(*executions, strict=True)
        times = np.repeat(np.divide(seconds, steps), steps)
        found = {f"step_p{p}": float(np.percentile(times, p)) for p in (50, 90, 99)}
        if None not in sizes:
            found["samples_per_second"] = float(np.dot(sizes, steps) / sum(seconds))
        if None not in waits:
            found["input_share"] = sum(waits) / sum(seconds)
        if None not in flops and self._peak:
            found["mfu"] = float(1 / np.median(times / np.repeat(flops, steps))) / self._peak
        return found

    def summary(self):
        """The whole run in words, three lines."""
        found = self._measured(self._all)
        if not found:
            return "no step was measured: a run's first, and those that compile, are left out"
        rate = found.get("samples_per_second")
        times = ", ".join(f"{p} {1000 * found['step_' + p]:.3g} ms" for p in ("p50", "p90", "p99"))
        lines = [f"{'unknown' if rate is None else f'{rate:.4g}'} samples/s, step {times}"]
        share = found.get("input_share")
        if share is None:
            lines.append("unknown whether input-bound or compute-bound")
        else:
            bound = "input" if share >= _INPUT_BOUND else "compute"
            lines.append(f"{100 * share:.1f} % of the time waiting for data: {bound}-bound")
        used = f"{100 * found['mfu']:.3g} % of the peak" if "mfu" in found else "peak unknown"
        flops = [flops for *_, flops in self._all]
        lines.append(f"{'unknown' if None in flops else f'{np.mean(flops):.4g}'} FLOPs a step, {used}")
        return "\n".join(lines)


def _leave(step, wait):
    step.leave()
    if wait is not None:
        wait.leave()
