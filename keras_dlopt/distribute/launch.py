"""Several workers on this machine, each a process: what `keras-dlopt launch` does."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

_GRACE = 5.0  # seconds between asking a worker to end and killing it


def launch(command, workers, environ=None, out=None):
    """Runs `command` in `workers` processes that find each other by `TF_CONFIG`, and waits for them.

    Every line that a worker prints comes out with its number before it. When a worker fails, the others, which would
    wait for it without end, are ended too.

    Args:
        command: program and arguments.
        workers: number of processes, >= 1.
        environ: their environment; by default this process's. `CUDA_VISIBLE_DEVICES`, if it lists as many GPUs as
            workers or more, is shared out.
        out: where lines go; by default standard output.

    Returns:
        0 if all workers ended well, else the exit code of the first that did not (128 + n for one that signal n ended).

    Example:

    >>> import io, sys
    >>> heard = io.StringIO()
    >>> launch([sys.executable, "-c", "import os; print('TF_CONFIG' in os.environ)"], 2, out=heard)
    0
    >>> sorted(heard.getvalue().splitlines())
    ['[0] True', '[1] True']
    """
    environ = dict(os.environ if environ is None else environ)
    out = sys.stdout if out is None else out
    addresses = _free_addresses(workers)
    processes, readers, lock = [], [], threading.Lock()
    with _ending_on_sigterm():
        try:
            for index in range(workers):
                process = subprocess.Popen(
                    command,
                    env=worker_environment(environ, addresses, index),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,  # so that Ctrl-C reaches the workers through us, once
                )
                processes.append(process)
                readers.append(
                    threading.Thread(target=_copy, args=(process.stdout, f"[{index}] ", out, lock), daemon=True)
                )
                readers[-1].start()
            code = _wait(processes)
        except KeyboardInterrupt:
            _end(processes, signal.SIGINT)
            raise
        finally:
            _end(processes, signal.SIGTERM)
            for reader in readers:
                reader.join(timeout=_GRACE)
    return code


def worker_environment(environ, addresses, index):
    """The environment of one worker.

    Example:

    >>> worker_environment({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, ["a:1", "b:1"], 1)["CUDA_VISIBLE_DEVICES"]
    '2,3'
    """
    config = {"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}}
    own = {"TF_CONFIG": json.dumps(config), "KERAS_DLOPT_STRATEGY": "multi_worker", "PYTHONUNBUFFERED": "1"}
    gpus = [gpu for gpu in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu not in ("", "-1")]
    share = len(gpus) // len(addresses)
    if share:
        own["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[index * share : (index + 1) * share])
    return {**environ, **own}


def _free_addresses(count):
    # All are held until all are known, so that none is given twice.
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def _copy(lines, prefix, out, lock):
    for line in lines:
        with lock:
            out.write(prefix + line.rstrip("\n") + "\n")
            out.flush()


def _wait(processes):
    while True:
        codes = [process.poll() for process in processes]
        failed = [code for code in codes if code]
        if failed:
            return failed[0] if failed[0] > 0 else 128 - failed[0]
        if None not in codes:
            return 0
        time.sleep(0.05)


def _end(processes, how):
    """Ends what still runs, with its children: asks, waits, then kills."""
    running = [process for process in processes if process.poll() is None]
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
    deadline = time.monotonic() + _GRACE
    try:
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
    finally:  # a second Ctrl-C does not wait
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def _ending_on_sigterm():
    """Lets SIGTERM end the workers too."""

    def stop(number, frame):
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
