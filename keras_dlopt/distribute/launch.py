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

from keras_dlopt.arguments import invalid

BROKEN_PIPE = 128 + signal.SIGPIPE
_GRACE = 5.0  # seconds between asking a worker to end and killing it


def launch(command, workers, environ=None, out=None):
    """Runs `command` in `workers` processes that find each other by `TF_CONFIG`, and waits for them.

    Every line that a worker prints comes out with its number before it. When a worker fails, the others, which would
    wait for it without end, are ended too.

    Args:
        command: program and arguments.
        workers: number of processes, >= 1.
        environ: their environment; by default this process's. The GPUs that `CUDA_VISIBLE_DEVICES` lists, or without
            it all of this machine, are shared out.
        out: where lines go; by default standard output.

    Returns:
        0 if all workers ended well, else the exit code of the first that did not (128 + n for one that signal n ended);
        141 if nobody reads `out` any more.

    Raises:
        ValueError: if there are GPUs, but fewer than workers.

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
    gpus = _gpus(environ)
    if gpus and len(gpus) < workers:
        accepted = f"at most {len(gpus)}, the number of GPUs; CUDA_VISIBLE_DEVICES=-1 leaves them alone"
        raise invalid("launch", "workers", workers, accepted)
    if gpus:
        environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    addresses = _free_addresses(workers)
    processes, readers, errors, lock = [], [], [], threading.Lock()
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
                copied = process.stdout, f"[{index}] ", out, lock, errors
                readers.append(threading.Thread(target=_copy, args=copied, daemon=True))
                readers[-1].start()
            code = _wait(processes, errors)
        except KeyboardInterrupt:
            _end(processes, signal.SIGINT)
            raise
        finally:
            _end(processes, signal.SIGTERM)
            for reader in readers:
                reader.join(timeout=_GRACE)
    if errors and not isinstance(errors[0], BrokenPipeError):
        raise errors[0]
    return BROKEN_PIPE if errors else code


def worker_environment(environ, addresses, index):
    """The environment of one worker.

    Example:

    >>> worker_environment({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, ["a:1", "b:1"], 1)["CUDA_VISIBLE_DEVICES"]
    '2,3'
    """
    config = {"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}}
    own = {"TF_CONFIG": json.dumps(config), "KERAS_DLOPT_STRATEGY": "multi_worker", "PYTHONUNBUFFERED": "1"}
    gpus = _listed(environ.get("CUDA_VISIBLE_DEVICES", ""))
    share = len(gpus) // len(addresses)
    if share:
        own["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[index * share : (index + 1) * share])
    return {**environ, **own}


def _listed(gpus):
    return [gpu for gpu in gpus.split(",") if gpu not in ("", "-1")]


def _gpus(environ):
    """The GPUs there are for the workers."""
    if "CUDA_VISIBLE_DEVICES" in environ:
        return _listed(environ["CUDA_VISIBLE_DEVICES"])
    try:
        lines = subprocess.run(["nvidia-smi", "-L"], env=environ, capture_output=True, text=True).stdout.splitlines()
    except OSError:
        return []
    return [str(i) for i in range(sum(line.startswith("GPU ") for line in lines))]


def _free_addresses(count):
    # All are held until all are known, so that none is given twice.
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def _copy(lines, prefix, out, lock, errors):
    try:
        for line in lines:
            with lock:
                out.write(prefix + line.rstrip("\n") + "\n")
                out.flush()
    except OSError as error:  # without a reader the worker would wait for one without end
        errors.append(error)


def _wait(processes, errors):
    """The first exit code that is not 0, else 0; `None` if the output cannot be written any more."""
    while not errors:
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
