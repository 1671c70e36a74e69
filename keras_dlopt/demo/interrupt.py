"""Ctrl-C as a wish that is granted at the next good moment."""

import signal
import threading


class Interrupt:
    """A context in which the first Ctrl-C is noted, for `check` to raise, and the second one raises at once.

    Raised wherever the program happens to be, a KeyboardInterrupt can hit a finalizer or a call from C, where Python
    prints it and goes on.
    """

    def __init__(self):
        self._asked = False

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # the only one that gets signals
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *exception):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number, frame):
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def check(self):
        """Raises `KeyboardInterrupt` if Ctrl-C was pressed."""
        if self._asked:
            raise KeyboardInterrupt
