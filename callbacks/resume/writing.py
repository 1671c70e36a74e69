"""Writes checkpoints in a thread, so that no step waits for the disk."""

import threading
import warnings


class Writing:
    """One checkpoint at a time: while one is being written, `idle` is false and the next has to wait."""

    def __init__(self, store):
        self._store, self._thread, self._name = store, None, f"ResumeExactly {store.path}"
        self._error = None

    @property
    def idle(self):
        return self._thread is None or not self._thread.is_alive()

    def start(self, step, state, first=()):
        """Starts writing; `first` are functions to be called in the thread before the file is written."""
        self.wait()
        # No daemon: Python waits for it at its end.
        self._thread = threading.Thread(target=self._write, args=(step, state, first), name=self._name)
        self._thread.start()

    def wait(self):
        """Until what was started is on the disk; warns once if that failed."""
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            warnings.warn(f"ResumeExactly: a checkpoint was not written ({error!r}).", stacklevel=2)

    def wait_for_all(self):
        """Until nothing is being written into the folder, be it by a run of this process that broke off."""
        for thread in threading.enumerate():
            if thread.name == self._name:
                thread.join()

    def _write(self, step, state, first):
        try:
            for function in first:
                function()
            self._store.write(step, state)
        except Exception as error:  # a full disk ends no training
            self._error = error
