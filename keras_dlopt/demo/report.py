"""`report.json`: everything the demo found, and on what; written whole after every rung."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import time

from keras_dlopt.atomic import replacing
from keras_dlopt.demo.page import page
from keras_dlopt.demo.summary import findings, summarize
from keras_dlopt.demo.tasks import Unavailable

PROGRAM = "keras-dlopt demo"
PACKAGES = ("keras-dlopt", "tensorflow", "keras", "ai-edge-litert", "numpy", "scikit-learn")


def prepare(out):
    """Makes the output folder, or clears an earlier demo's files from it; other files are never touched.

    Args:
        out: its path.

    Returns:
        It as a `pathlib.Path`.

    Raises:
        Unavailable: if it cannot be written to, or holds something else than an earlier demo.
    """
    out = pathlib.Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            if not _is_ours(out / "report.json"):
                raise Unavailable(f"--out {out} is not empty and holds no earlier demo: name another folder")
            for part in ("models", "logs"):
                shutil.rmtree(out / part, ignore_errors=True)
        if not os.access(out, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise Unavailable(f"--out {out} cannot be used: {error.strerror}") from error
    return out


def _is_ours(path):
    try:
        return json.loads(path.read_text("utf-8"))["program"] == PROGRAM
    except (OSError, ValueError, KeyError, TypeError):
        return False


class Report:
    """The report while it grows.

    Attributes:
        content: what `report.json` holds.
    """

    def __init__(self, task, rungs, seeds, epochs, out, started):
        self.out, self.started = out, started
        self.content = {
            "program": PROGRAM,
            "status": "running",
            "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "seconds": 0.0,
            "cpu_seconds": 0.0,
            "task": {
                "name": task.name,
                "about": task.about,
                "unit": task.unit,
                "test_units": int(task.test[1].size),
                "target": task.target,
                "rows": {part: len(getattr(task, part)[0]) for part in ("train", "validation", "test")},
                "batch": task.batch,
            },
            "planned": len(rungs),
            "epochs": epochs,
            "seeds": list(range(seeds)),
            "learning_rates_from": None,
            "machine": _machine(),
            "versions": _versions(),
            "findings": [],
            "rungs": [],
        }

    def begin(self, rung, learning_rate):
        """Adds a rung, still without results, and returns its entry."""
        epochs = self.content["epochs"]
        before = {entry["number"]: entry for entry in self.content["rungs"]}.get(rung.needs)
        entry = {
            "number": rung.number,
            "title": rung.title,
            "adds": rung.adds,
            "optimizer": rung.optimizer.__name__,
            "options": rung.options,
            "learning_rate": learning_rate,
            "epochs": epochs,
            # Those of the models it continues; a teacher's do not count.
            "epochs_before": before["epochs_before"] + before["epochs"] if rung.continues else 0,
            "needs": rung.needs,
            "skipped": None,
            "seeds": [],
            "summary": summarize([]),
        }
        self.content["rungs"].append(entry)
        return entry

    def add(self, entry, seed):
        entry["seeds"].append(seed)
        entry["summary"] = summarize(entry["seeds"])

    def write(self, status="running"):
        """Writes `report.json` and `report.html`; each is at any time whole."""
        content = self.content
        content["status"] = status
        content["seconds"] = time.perf_counter() - self.started
        content["cpu_seconds"] = time.process_time()
        content["findings"] = findings(content["rungs"])
        for name, text in (("report.json", json.dumps(content, indent=1)), ("report.html", page(content))):
            with replacing(self.out / name) as temporary:
                pathlib.Path(temporary).write_text(text, "utf-8")


def _machine():
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def _processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _versions():
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found
