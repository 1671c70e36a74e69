"""A TensorBoard log of scalars, written by a thread of its own."""

import os
import queue
import threading
import time
import warnings

from keras_dlopt.extras import require


class ScalarLog:
    """Writes rows of scalars into an event file in `folder` without making the caller wait.

    A row that the thread has no time for is dropped and counted; a file that cannot be written ends the log,
    never the training. Both are told in a warning by `close`.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> log = ScalarLog(folder)
    >>> log.write(0, {"loss": 2.5})
    >>> log.close()
    >>> from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    >>> [(event.step, event.value) for event in EventAccumulator(folder).Reload().Scalars("loss")]
    [(0, 2.5)]
    """

    def __init__(self, folder, waiting=1024):
        require("tensorboard")  # here, not in the thread: a missing package is an error at once
        os.makedirs(folder, exist_ok=True)
        self._folder = folder
        self._rows = queue.Queue(waiting)
        self._dropped = 0
        self._error = None
        self._thread = threading.Thread(target=self._work, name="ScalarLog", daemon=True)
        self._thread.start()

    def write(self, step, scalars):
        """Hands over one row: a step and a dictionary of tags and numbers. NaN and infinity are kept."""
        try:
            self._rows.put_nowait((time.time(), step, scalars))
        except queue.Full:
            self._dropped += 1

    def begin_again(self, step):
        """Makes TensorBoard forget what other files of the folder have of `step` and later."""
        self._rows.put((time.time(), step, None))

    def flush(self):
        """Waits until all that was handed over is in the file."""
        if self._thread.is_alive():
            done = threading.Event()
            self._rows.put(done)
            while not done.wait(0.1) and self._thread.is_alive():
                pass

    def close(self):
        """Writes all that was handed over, and closes the file."""
        if self._thread.is_alive():
            self._rows.put(None)
            self._thread.join()
        if self._dropped:
            warnings.warn(f"{self._dropped} rows were dropped: the disk is slower than the log.", stacklevel=2)
        if self._error is not None:
            warnings.warn(f"The log in {self._folder} ends early: {self._error!r}", stacklevel=2)

    def _work(self):
        try:
            self._write_all()
        except Exception as error:
            self._error = error
            while (row := self._rows.get()) is not None:
                if isinstance(row, threading.Event):
                    row.set()

    def _write_all(self):
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        writer = EventFileWriter(self._folder)
        while (row := self._rows.get()) is not None:
            if isinstance(row, threading.Event):
                writer.flush()
                row.set()
                continue
            now, step, scalars = row
            if scalars is None:
                start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
                writer.add_event(event_pb2.Event(wall_time=now, step=step, session_log=start))
                continue
            values = [summary_pb2.Summary.Value(tag=tag, simple_value=v) for tag, v in scalars.items()]
            summary = summary_pb2.Summary(value=values)
            writer.add_event(event_pb2.Event(wall_time=now, step=step, summary=summary))
            if self._rows.empty():
                writer.flush()
        writer.close()
