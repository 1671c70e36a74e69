"""TensorBoard's tab "Optimizer" in Chromium, on both of its data loaders, in servers without TensorFlow and Keras."""

import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest

import keras_dlopt
import runs
from keras_dlopt.tensorboard.format import bin_edges

FOLDER = pathlib.Path(keras_dlopt.__file__).parent / "tensorboard"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
HOSTILE = "<img src=x onerror=top.hurt=1>"
BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "jax", "pkg_resources"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of runs, and the numbers in those that are whole."""
    root = tmp_path_factory.mktemp("runs")
    layout = runs.layout_of([f"net/layer_{i}/kernel" for i in range(12)], ranges=["input_range"])
    stats = runs.arrays_of(layout, 240)
    stats[100, layout.stats.index("gradient_norm"), 3] = 0
    whole = runs.write(root / "a", layout, stats)
    sick = runs.arrays_of(layout, 240, seed=1)
    sick[200:, layout.stats.index("gradient_nonfinite"), 7] = 0.5
    runs.write(root / "b", layout, sick, dropped=3)
    named = runs.layout_of([HOSTILE, "../../etc/passwd", "x'\"&\x07"])
    runs.write(root / HOSTILE, named, runs.arrays_of(named, 3))
    (path,) = (root / "a").iterdir()
    (root / "truncated").mkdir()
    (root / "truncated" / path.name).write_bytes(path.read_bytes()[:-100])
    (root / "garbage").mkdir()
    (root / "garbage" / path.name).write_bytes(np.random.default_rng(0).bytes(5000))
    other = runs.layout_of(["other"])
    runs.write(root / "two models", other, runs.arrays_of(other, 5))
    runs.write(root / "two models", layout, stats[:6], steps=range(5, 11))
    _write_without_layout(root / "no layout", layout, stats)
    return root, layout, stats, whole


def _write_without_layout(folder, layout, stats):
    from keras_dlopt.tensorboard.format import Layout

    class Broken(Layout):
        def to_json(self):
            return '{"version": 1, "variables": 5}'

    runs.write(folder, Broken(**vars(layout)), stats[:3])


@pytest.fixture(scope="module")
def servers(data, tmp_path_factory):
    """Loader -> address, of TensorBoards that cannot import TensorFlow, Keras or pkg_resources."""
    blocked = tmp_path_factory.mktemp("blocked")
    (blocked / "sitecustomize.py").write_text(BLOCK)
    environment = os.environ | {"PYTHONPATH": str(blocked)}
    started = {}
    for loader in ("true", "false"):
        log = blocked / f"log_{loader}"
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(data[0]), "--host", "127.0.0.1"]
        command += ["--port", "0", f"--load_fast={loader}", "--reload_interval", "1"]
        with log.open("w") as out:
            started[loader] = subprocess.Popen(command, env=environment, stdout=out, stderr=out), log
    try:
        yield {loader: _address(*found) for loader, found in started.items()}
    finally:
        for process, _ in started.values():
            process.terminate()
        for process, _ in started.values():
            process.wait(20)


def _address(process, log):
    for _ in range(600):
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            return found.group()
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    assert path, "These tests need Debian's chromium: `make chromium`, or apt-get install chromium."
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=FLAGS)


@pytest.fixture(params=["true", "false"], ids=["fast loader", "slow loader"])
def tab(request, servers, browser):
    yield from _tab(servers[request.param], browser)


@pytest.fixture
def fast_tab(servers, browser):
    yield from _tab(servers["true"], browser)


def _tab(address, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    try:
        tab = Tab(page, address)
        yield tab
        offsite = [url for url in tab.requests if not url.startswith((address, "data:", "blob:"))]
        assert offsite == [] and tab.errors == []
        assert page.evaluate("window.hurt") is None
    finally:
        page.close()


class Tab:
    """A page with the plugin in it."""

    def __init__(self, page, address):
        self.page, self.address, self.requests, self.errors = page, address, [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        # A violation of the content security policy is such an error, too.
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)

    def open(self, **state):
        link = "".join(f"&p.keras_dlopt.{key}={urllib.parse.quote(value, safe='')}" for key, value in state.items())
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}/#keras_dlopt{link}")
        return self.wait()

    def wait(self):
        self.frame = self.page.wait_for_selector("iframe[src*=keras_dlopt]", timeout=30000).content_frame()
        self.frame.wait_for_selector("body[data-drawn] main > :not(#loading)", timeout=30000)
        return self

    def text(self, selector):
        return self.frame.wait_for_selector(selector, timeout=20000).inner_text()

    def download(self, figure):
        """The numbers of a figure's CSV."""
        with self.page.expect_download() as download:
            self.frame.locator(f"{figure} button", has_text="CSV").click()
        return np.loadtxt(download.value.path(), delimiter=",", skiprows=1)

    def fetch(self, route, **values):
        url = f"{self.address}/data/plugin/keras_dlopt/{route}?{urllib.parse.urlencode(values)}"
        with urllib.request.urlopen(url) as answer:
            return answer.read()

    def table(self, route, **values):
        content = self.fetch(route, **values)
        count, columns, skipped, _ = np.frombuffer(content, "<u4", 4)
        steps = np.frombuffer(content, "<f8", count, 16)
        return steps, np.frombuffer(content, "<f4", count * columns, 16 + 8 * count).reshape(count, columns), skipped


def shown(value):
    """A number as the tab writes it."""
    value = float(value)
    if abs(value) >= 1e5 or abs(value) < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{float(f'{value:.4g}'):g}"


def test_all_points_are_kept_and_are_what_was_written(tab, data):
    _, layout, stats, whole = data
    tab.open(run="a")
    for i, name in enumerate(layout.stats):
        steps, rows, skipped = tab.table("stat", run="a", stat=name)
        assert steps.tolist() == list(range(240)) and skipped == 0
        np.testing.assert_array_equal(rows, stats[:, i])
    np.testing.assert_array_equal(tab.table("globals", run="a")[1], whole)
    assert tab.text("[data-value=records]") == "240"
    assert tab.text("[data-value='gradient norm']") == shown(whole[-1, 1])
    assert tab.text("[data-value='update / weight']") == shown(whole[-1, 4])
    assert (
        tab.text("#fine")
        and tab.text("[data-value=state]") == "96 kB"
        and tab.text("[data-value=health]") == "Looks healthy"
    )


def test_each_layer_shows_its_numbers(fast_tab, data):
    _, layout, stats, _ = data
    fast_tab.open(run="a", screen="detail", layer=layout.variables[5])
    for i, name in enumerate(layout.stats):
        assert fast_tab.text(f"[data-stat={name}]") == shown(stats[-1, i, 5]).replace("0e0", "0"), name
    update, weight = (stats[-1, layout.stats.index(name), 5] for name in ("update_norm", "weight_norm"))
    assert fast_tab.text("[data-stat=ratio]") == shown(np.log10(update / weight))
    assert fast_tab.frame.locator("[data-chart=ratio] canvas").count() == 1
    fast_tab.page.keyboard.press("j")
    fast_tab.frame.wait_for_function(
        "name => document.getElementById('search').value === name", arg=layout.variables[6]
    )
    assert "layer=net%2Flayer_6%2Fkernel" in fast_tab.page.url
    with fast_tab.page.expect_download() as download:
        fast_tab.frame.locator("[data-chart=ratio] button", has_text="CSV").click()
    lines = pathlib.Path(download.value.path()).read_text().splitlines()
    assert lines[0] == '"step","log10(update / weight)"' and len(lines) == 241
    with fast_tab.page.expect_download() as download:
        fast_tab.frame.locator("[data-chart=ratio] button", has_text="PNG").click()
    assert pathlib.Path(download.value.path()).read_bytes()[:4] == b"\x89PNG"


def test_cards_name_the_layer_and_lead_to_it(fast_tab):
    fast_tab.open(run="b")
    fast_tab.frame.wait_for_selector(".finding")
    assert fast_tab.text("[data-value=health]") == "1 to fix" and "3 records were dropped" in fast_tab.text("#dropped")
    card = fast_tab.frame.locator("[data-rule=nonfinite]")
    assert "step 200" in card.inner_text() and "red" in card.get_attribute("class")
    card.locator("li button", has_text="net/layer_7/kernel").click()
    fast_tab.frame.wait_for_selector("[data-stat=ratio]")
    assert "screen=detail" in fast_tab.page.url and "layer=net%2Flayer_7%2Fkernel" in fast_tab.page.url


def test_map_is_searched_sorted_and_drawn(fast_tab, data):
    _, layout, stats, _ = data
    fast_tab.open(run="a", screen="map", stat="gradient_norm", sort="largest value")
    np.testing.assert_array_equal(fast_tab.download("[data-map]")[:, 1:], stats[:, 0][:, np.argsort(-stats[-1, 0])])
    fast_tab.page.keyboard.press("/")
    fast_tab.page.keyboard.type("layer_1")
    fast_tab.frame.wait_for_function("document.getElementById('count').textContent === '3 layers'")
    places = sorted((1, 10, 11), key=lambda i: -stats[-1, 0, i])
    canvas = fast_tab.frame.locator("[data-map] canvas")
    fast_tab.page.wait_for_timeout(100)
    box = canvas.bounding_box()
    fast_tab.page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 5)
    expected = f"{layout.variables[places[0]]} · step 239 · {shown(stats[-1, 0, places[0]])}"
    assert fast_tab.text(".readout").strip() == expected
    fast_tab.page.mouse.click(box["x"] + box["width"] - 2, box["y"] + 25)
    fast_tab.frame.wait_for_selector("[data-stat=ratio]")
    assert f"layer_{places[1]}%2F" in fast_tab.page.url


def test_distributions_compare_and_memory(fast_tab, data):
    _, layout, stats, _ = data
    fast_tab.open(run="a", screen="distributions", step="100")
    assert fast_tab.text("figure:has(#bars) h3") == "Step 100"
    shares = [
        float(x) for x in fast_tab.frame.locator("[data-share]").evaluate_all("all => all.map(x => x.dataset.share)")
    ]
    np.testing.assert_allclose(shares, [0.75, 0.25], atol=0.005)
    titles = fast_tab.frame.locator("[data-share]").evaluate_all("all => all.map(x => x.title)")
    low, middle, high = (shown(end) for end in bin_edges("gradient")[29:32])
    assert [text.split(":")[0] for text in titles] == [f"{low} – {middle}", f"{middle} – {high}"]
    fast_tab.frame.locator("#step").press("ArrowRight")
    fast_tab.frame.wait_for_function("document.querySelector('figure:has(#bars) h3').textContent === 'Step 101'")
    fast_tab.page.keyboard.press("5")
    fast_tab.frame.wait_for_selector("[data-map=difference_ratio]")
    fast_tab.frame.locator("#pick-stat").select_option("gradient_norm")
    difference = fast_tab.download("[data-map=difference_gradient_norm]")
    other = runs.arrays_of(layout, 240, seed=1)
    np.testing.assert_allclose(difference[:, 1:], stats[:, 0] / other[:, 0], rtol=1e-6)
    fast_tab.page.keyboard.press("6")
    assert fast_tab.text("[data-sum=m]") == "48 kB" and fast_tab.text("[data-sum=float32]") == "96 kB"
    assert fast_tab.text("[data-outside=input_range]") == "12.5 %"


def test_hostile_names_are_text(tab):
    tab.open(run=HOSTILE)
    assert tab.frame.evaluate("document.getElementById('pick-run').value") == HOSTILE
    for screen in ("detail", "map", "distributions", "compare", "memory"):
        tab.frame.locator(f"[data-screen={screen}]").click()
        tab.frame.wait_for_selector(f"[data-screen={screen}][aria-selected=true]")
        tab.page.wait_for_timeout(150)
    assert tab.text("[data-bytes=layer] th >> nth=0") == HOSTILE
    assert tab.frame.locator("img").count() == 0


def test_damaged_runs_leave_the_tab_alive(tab, data):
    tab.open(run="truncated")
    assert tab.text("[data-value=records]") == "239"
    names = tab.frame.locator("#pick-run option").all_inner_texts()
    assert "garbage" not in names
    tab.frame.locator("#pick-run").select_option("no layout")
    assert "layout cannot be read" in tab.text("#failed")
    tab.frame.locator("#pick-run").select_option("two models")
    tab.frame.wait_for_selector("[data-value=records]")
    tab.frame.locator("[data-screen=map]").click()
    assert "5 records left out" in tab.text("#skipped")
    tab.frame.locator("#pick-run").select_option("a")
    tab.frame.locator("[data-screen=overview]").click()
    tab.frame.wait_for_function("document.querySelector('[data-value=records]')?.textContent === '240'")


def test_a_run_that_grows_is_followed(tab, data):
    root, layout, stats, _ = data
    folder = root / f"growing on {tab.address[-5:]}"
    runs.write(folder, layout, stats[:5])
    deadline = time.monotonic() + 60
    while folder.name not in [run["name"] for run in json.loads(tab.fetch("runs"))]:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    tab.open(run=folder.name)
    tab.frame.wait_for_function("document.querySelector('[data-value=records]')?.textContent === '5'")
    runs.write(folder, layout, stats[5:9], steps=range(5, 9))
    tab.frame.wait_for_function("document.querySelector('[data-value=records]')?.textContent === '9'", timeout=60000)
    assert tab.text("#status").startswith("step 8 ")


def test_dark_theme(fast_tab):
    fast_tab.page.goto(f"{fast_tab.address}/?darkMode=true#keras_dlopt")
    fast_tab.wait()
    fast_tab.frame.wait_for_selector("html[data-theme=dark]", state="attached")


def test_only_the_module_is_served(servers):
    for address in servers.values():
        for path in ("static/../plugin.py", "static/%2e%2e/plugin.py", "static/..%2f..%2fcli.py", "static/style.css"):
            with pytest.raises(urllib.error.HTTPError) as failure:
                urllib.request.urlopen(f"{address}/data/plugin/keras_dlopt/{path}")
            assert failure.value.code == 404
        for route in ("stat", "stat?run=none", "stat?run=a&stat=x", "histogram?run=a&of=gradient&variable=-1"):
            with pytest.raises(urllib.error.HTTPError) as failure:
                urllib.request.urlopen(f"{address}/data/plugin/keras_dlopt/{route}")
            assert failure.value.code == 400 and "must be one of" in json.load(failure.value)["error"]


def test_the_module_is_small_and_built_from_its_source():
    module = (FOLDER / "static" / "index.js").read_bytes()
    assert len(gzip.compress(module)) < 100 * 1024
    source = FOLDER / "frontend"
    paths = [str(p.relative_to(source)) for p in (source / "src").rglob("*") if p.suffix in (".ts", ".css")]
    digest = hashlib.sha256()
    for path in sorted([*paths, "package-lock.json", "tsconfig.json", "vite.config.ts"]):
        digest.update(f"{path}\0".encode() + (source / path).read_bytes() + b"\0")
    built = re.match(rb"// Built from source (\w+);", module).group(1).decode()
    assert built == digest.hexdigest(), "The source has changed: run `make frontend`, and commit static/index.js."
    assert "resolved" not in (source / "package-lock.json").read_text()


def test_building_anew_gives_the_same_module(tmp_path):
    """Needs the packages of the front end, in node_modules: `make frontend` brings them."""
    packages = FOLDER / "frontend" / "node_modules"
    if not (shutil.which("npm") and packages.exists()):
        pytest.skip("no npm, or no node_modules (`make frontend`): only the signature of the source was compared")
    command = ["npm", "run", "build", "--", "--outDir", str(tmp_path)]
    subprocess.run(command, cwd=FOLDER / "frontend", check=True, capture_output=True)
    assert (tmp_path / "index.js").read_bytes() == (FOLDER / "static" / "index.js").read_bytes()
