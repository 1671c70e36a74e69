"""The TPU compiler in a process of its own, with what it answered kept on disk."""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import time
import warnings

from keras_dlopt import extras
from keras_dlopt.atomic import replacing

_ANSWERS = 1  # counts the changes of what an answer holds


class Compiler:
    """Compiles programs for TPUs; the process starts with the first that is not on disk yet, and serves them all.

    Args:
        progress: whether to show what is being compiled, and for how long: a line that moves in a terminal, plain lines
            elsewhere; on standard error.
        cache: folder of earlier answers; None for none. By default `KERAS_DLOPT_CACHE`, or `~/.cache/keras_dlopt`.

    Raises:
        ImportError: if libtpu or jax are not installed.

    Example:

        with Compiler() as compiler:
            for model in models:
                print(distribute.preflight(model, 64, "v5e-1", compiler=compiler))
    """

    def __init__(self, progress=True, cache="default"):
        extras.find("libtpu", "tpu")
        extras.find("jax", "tpu")
        self._progress = progress
        self._cache = _default_cache() if cache == "default" else cache and pathlib.Path(cache)
        self._worker = None
        self._folder = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the process."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait()
            self._worker = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def compile(self, program, topology, title):
        """What the compiler answers to one program.

        Args:
            program: a `Program` with a module.
            topology: the compiler's name of it, e.g. "v5e:2x4".
            title: what to show meanwhile.

        Returns:
            A dict: "error", None or the compiler's message; "seconds"; "cached"; and what `hlo.read` finds, "memory",
            "flops" and "bytes".
        """
        kept = self._cache and self._cache / f"{_key(program, topology)}.json"
        if kept:
            with contextlib.suppress(OSError):
                return json.loads(kept.read_text()) | {"cached": True}
        with _shown(title, self._progress) as end:
            try:
                answer = self._ask(program, topology)
            except BaseException:  # such as Ctrl-C: the answer, still to come, would be taken for the next program's
                self.close()
                raise
            end("refused" if answer["error"] else "compiled")
        if kept and not answer.pop("died", False):
            try:
                with replacing(kept) as temporary:
                    pathlib.Path(temporary).write_text(json.dumps(answer))
            except OSError as error:
                why = f"the preflight's answer is not kept in {self._cache} ({error.strerror})"
                warnings.warn(f"{why}: set KERAS_DLOPT_CACHE to a folder that can be written", stacklevel=2)
        return answer | {"cached": False}

    def _ask(self, program, topology):
        if self._worker is None:
            self._start()
        started = time.perf_counter()
        path = os.path.join(self._folder.name, "program")
        pathlib.Path(path).write_bytes(program.module)
        self._worker.stdin.write(
            json.dumps({"path": path, "topology": topology, "partitions": program.partitions}) + "\n"
        )
        self._worker.stdin.flush()
        line = self._lines.get()
        if line:
            return json.loads(line)
        self._worker.wait()
        said = " ".join(pathlib.Path(self._log).read_text(errors="replace").split())[-200:]
        code = self._worker.returncode
        self.close()
        message = f"DIED: the compiler's process ended with code {code}; it last said: {said}"
        return {"error": message, "seconds": time.perf_counter() - started, "died": True}

    def _start(self):
        self._folder = tempfile.TemporaryDirectory(prefix="keras-dlopt-preflight-")
        self._log = os.path.join(self._folder.name, "log")
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "TPU_SKIP_MDS_QUERY": "1",  # else it asks a cloud's metadata server which TPU this is
            "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
            "PYTHONPATH": os.pathsep.join(_homes("keras_dlopt", "jax", "libtpu")),
        }
        environment.pop("XLA_FLAGS", None)  # those are for this process's devices
        self._worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "keras_dlopt.distribute.aot.worker", self._log],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is for this process, which then ends that one
        )
        self._lines = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self._worker.stdout, self._lines), daemon=True).start()


def _homes(*packages):
    """The folders that hold the packages: not all of `sys.path`, for a script's own may hide modules that JAX wants."""
    found = [importlib.util.find_spec(package).submodule_search_locations[0] for package in packages]
    return dict.fromkeys(os.path.dirname(place) for place in found)


def _read(stream, lines):
    for line in stream:
        lines.put(line)
    lines.put("")


def _key(program, topology):
    """The same for the same program, compiler and target, whatever the run."""
    versions = [importlib.metadata.version(name) for name in ("libtpu", "jaxlib")]
    parts = [_ANSWERS, topology, program.partitions, os.environ.get("LIBTPU_INIT_ARGS", ""), *versions, program.key]
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


def _default_cache():
    base = os.environ.get("KERAS_DLOPT_CACHE") or pathlib.Path.home() / ".cache" / "keras_dlopt"
    return pathlib.Path(base) / "preflight"


@contextlib.contextmanager
def _shown(title, progress):
    """Shows `title` and the seconds; yields a function that takes how it ended."""
    if not progress:
        yield lambda ended: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console, started = Console(stderr=True, highlight=False, markup=False), time.perf_counter()

    def end(ended):
        console.print(f"{title}: {ended} in {time.perf_counter() - started:.1f} s", soft_wrap=True)

    if not console.is_terminal:
        console.print(f"{title} ...", soft_wrap=True)
        yield end
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        shown.add_task(title)
        yield end
