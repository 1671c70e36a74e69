"""SIGTERM, which a machine that is taken away sends before it goes."""

import os
import signal
import threading


class Preemption:
    """Notes SIGTERM for the end of the step, and ends the process when that does not come within the grace time.

    Args:
        grace: seconds from the signal to the end of the process at the latest.
        exit_code: of the process that ends late.
    """

    def __init__(self, grace, exit_code):
        self._grace, self._exit_code = grace, exit_code
        self.came = False
        self._timer = self._before = None

    def watch(self):
        """From now on; only Python's main thread can."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)

    def _note(self, number, frame):
        if not self.came:
            self.came = True
            self._timer = threading.Timer(self._grace, os._exit, [self._exit_code])
            self._timer.daemon = True
            self._timer.start()

    def stop(self):
        """Gives the signal back to whom it belonged."""
        if self._timer is not None:
            self._timer.cancel()
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None
