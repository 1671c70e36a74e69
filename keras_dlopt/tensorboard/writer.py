"""Records written by a thread of their own, so that no training step waits for a disk."""

import queue
import threading
import time
import warnings

import numpy as np

from keras_dlopt.extras import require
from keras_dlopt.tensorboard.events import EventFile
from keras_dlopt.tensorboard.format import GLOBALS, LAYOUT, PLUGIN_NAME, values_of

# Those of the globals that TensorBoard's own Scalars tab shows too.
SCALARS = ("learning_rate", "gradient_norm", "update_ratio")


class RecordWriter:
    """Writes batches of records into an event file in `folder`.

    A file that cannot be written ends the log, never the training; `close` tells it in a warning.

    Args:
        folder: made if it does not exist.
        waiting: how many batches may wait for the thread.

    Attributes:
        first: the step at which the run starts, to be set before the first batch: records from there on, of a run that
            broke off, are no longer valid.
    """

    def __init__(self, folder, waiting=8):
        require("tensorboard")  # here, not in the thread: a missing package is an error at once
        self._folder, self.first = folder, None
        self._batches = queue.Queue(waiting)
        self._error = None
        self._thread = threading.Thread(target=self._work, name="RecordWriter", daemon=True)
        self._thread.start()

    def offer(self, batch):
        """Hands over a batch: a function that returns a layout and its records. Never waits.

        Returns:
            Whether there was room for it.
        """
        try:
            self._batches.put_nowait(batch)
        except queue.Full:
            return False
        return True

    def flush(self):
        """Waits until all that was handed over is in the file."""
        if self._thread.is_alive():
            done = threading.Event()
            self._batches.put(done.set)
            done.wait()

    def close(self):
        """Writes all that was handed over, and closes the file."""
        if self._thread.is_alive():
            self._batches.put(None)
            self._thread.join()
        if self._error is not None:
            warnings.warn(f"The records in {self._folder} end early: {self._error!r}", stacklevel=2)

    def _work(self):
        file = None
        while (batch := self._batches.get()) is not None:
            try:
                given = batch()
                if given is not None and self._error is None:
                    file = file or _Tags(EventFile(self._folder), self.first)
                    file.write(*given)
            except Exception as error:
                self._error = self._error or error
        if file is not None:
            file.file.close()


class _Tags:
    """An event file in which the first value of a tag says whose it is."""

    def __init__(self, file, first=None):
        from tensorboard.compat.proto import event_pb2

        self.file, self._seen, self._layout = file, set(), None
        if first is not None:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            file.write(event_pb2.Event(wall_time=time.time(), step=first, session_log=start))

    def write(self, layout, records):
        for record in records:
            values = values_of(record, layout)
            if layout is not self._layout:
                values[LAYOUT], self._layout = layout.to_json().encode(), layout
            self.file.write(self._event(record.step, values, dict(zip(layout.globals, values[GLOBALS], strict=True))))
        self.file.flush()

    def _event(self, step, values, scalars):
        from tensorboard.compat.proto import event_pb2

        event = event_pb2.Event(wall_time=time.time(), step=step)
        for tag, value in values.items():
            self._add(event.summary, tag, value)
        for name in SCALARS:
            event.summary.value.add(tag=f"optimizer/{name}", simple_value=float(scalars[name]))
        return event

    def _add(self, summary, tag, value):
        from tensorboard.compat.proto import summary_pb2, types_pb2

        added = summary.value.add(tag=tag)
        if isinstance(value, bytes):
            added.tensor.dtype = types_pb2.DT_STRING
            added.tensor.string_val.append(value)
        else:
            added.tensor.dtype = types_pb2.DT_FLOAT
            added.tensor.tensor_content = np.ascontiguousarray(value, "<f4").tobytes()
            for size in value.shape:
                added.tensor.tensor_shape.dim.add(size=size)
        added.tensor.tensor_shape.SetInParent()
        if tag not in self._seen:
            self._seen.add(tag)
            added.metadata.plugin_data.plugin_name = PLUGIN_NAME
            # Without a class TensorBoard's data loaders take it for nobody's, and hide it.
            added.metadata.data_class = summary_pb2.DATA_CLASS_TENSOR
