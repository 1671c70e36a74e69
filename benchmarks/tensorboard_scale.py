"""The tab "Optimizer" with 1,000 variables x 8 statistics x 10,000 records, in Chromium: seconds, megabytes.

    python benchmarks/tensorboard_scale.py

It writes the run (330 MB) into a temporary folder with the recorder's own writer, starts TensorBoard, and prints a
table in Markdown. Needs Debian's chromium and Playwright, as the tests do.
"""

import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np

from keras_dlopt.tensorboard.events import EventFile
from keras_dlopt.tensorboard.format import BINS, Layout, Record
from keras_dlopt.tensorboard.writer import _Tags

VARIABLES, RECORDS = 1000, 10_000
STATS = ["gradient_norm", "gradient_max", "gradient_zeros", "gradient_nonfinite", "update_norm", "weight_norm"]
STATS += ["m_norm", "v_mean"]
GLOBALS = ["learning_rate", "gradient_norm", "update_norm", "weight_norm", "update_ratio", "clipped", "loss_scale"]
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


def write(folder, count, histograms):
    """Writes a run; returns the milliseconds of each event, and the megabytes of its file."""
    names = [f"block_{i // 8}/layer_{i % 8}/kernel" for i in range(VARIABLES)]
    layout = Layout(
        *("Adam", 1, names, [[64, 64]] * VARIABLES, STATS, histograms, [*GLOBALS, "dropped"], []),
        [{"slot": s, "dtype": "float32", "bytes": 16384, "variable": i} for s in "mv" for i in range(VARIABLES)],
    )
    rng = np.random.default_rng(0)
    file, times = _Tags(EventFile(folder)), []
    for step in range(count):
        stats = rng.lognormal(-3, 1, (len(STATS), VARIABLES)).astype("float32")
        codes = np.zeros((len(histograms), VARIABLES, BINS), "uint8")
        if histograms:  # bell-shaped, about fifteen bins each
            magnitudes = np.log2(np.abs(rng.normal(size=(len(histograms), VARIABLES, 256)))) + 33
            for i, block in enumerate(magnitudes.astype(int).clip(0, BINS - 1)):
                np.add.at(codes[i], (np.arange(VARIABLES)[:, None], block), 1)
        values = np.array([1e-3, 1, 1e-2, 10, 1e-3, np.nan, np.nan, 0], "float32")
        start = time.perf_counter()
        file.write(layout, [Record(step, values, stats, codes.transpose(0, 2, 1))])
        times.append(1e3 * (time.perf_counter() - start))
    file.file.close()
    return times, sum(path.stat().st_size for path in pathlib.Path(folder).iterdir()) / 1e6


def measure(address):
    """Rows of the table: what, value, bar."""
    from playwright.sync_api import sync_playwright

    def served(stat):
        start = time.perf_counter()
        urllib.request.urlopen(f"{address}/data/plugin/keras_dlopt/stat?run=.&stat={stat}").read()
        return time.perf_counter() - start

    yield "one stat served, s", statistics.median(served(stat) for stat in STATS[:5]), 0.5
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for screen in ("overview", "map"):
            start = time.perf_counter()
            page.goto("about:blank")
            page.goto(f"{address}/#keras_dlopt&p.keras_dlopt.screen={screen}&p.keras_dlopt.stat=gradient_norm")
            frame = page.wait_for_selector("iframe[src*=keras_dlopt]").content_frame()
            frame.wait_for_selector("main figure", timeout=60000)
            yield f"tab usable, {screen}, s", time.perf_counter() - start, 3.0
        switches = []
        for stat in STATS[1:6]:
            start = time.perf_counter()
            frame.locator("#pick-stat").select_option(stat)
            frame.wait_for_selector(f"[data-map=map_{stat}]")
            frame.evaluate("() => new Promise(requestAnimationFrame)")
            switches.append(time.perf_counter() - start)
        yield "stat switch on the map, s", statistics.median(switches), 0.5
        yield "JS heap, MB", frame.evaluate("performance.memory.usedJSHeapSize") / 1e6, 150
        browser.close()


def main():
    folder = pathlib.Path(tempfile.mkdtemp())
    rows = []
    try:
        _, size = write(folder / "every=100", RECORDS // 100, ["gradient", "update", "m", "v"])
        rows.append(("file at every=100, with four histograms, MB", size, 10))
        times, size = write(folder / "all", RECORDS, [])
        rows.append(("writer, ms an event", statistics.median(times), 0.5))
        log = folder / "log"
        with log.open("w") as out:
            command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder / "all"), "--port", "0"]
            server = subprocess.Popen([*command, "--host", "127.0.0.1"], stdout=out, stderr=out)
        try:
            while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
                time.sleep(0.2)
            address = found.group()
            last = b'"last": 9999'
            while last not in urllib.request.urlopen(f"{address}/data/plugin/keras_dlopt/runs").read():
                time.sleep(0.5)
            time.sleep(5)
            rows += measure(address)
        finally:
            server.terminate()
            server.wait()
    finally:
        shutil.rmtree(folder)
    print("| | measured | bar |\n|---|---|---|")
    for what, value, bar in rows:
        print(f"| {what} | {value:.3g} | {bar:g} |")


if __name__ == "__main__":
    main()
