"""The whole ladder through the real command, on few rows; what it wrote is counted again from its files."""

import gzip
import html.parser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_dlopt import cli
from keras_dlopt.demo import tasks

COMMAND = [sys.executable, "-m", "keras_dlopt.cli", "demo"]
ENVIRONMENT = os.environ | {"KERAS_BACKEND": "tensorflow", "COLUMNS": "200"}


def run(*arguments):
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def interpreter(path):
    made = Interpreter(
        str(path), num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    made.allocate_tensors()
    return made


def constants(path):
    """The file's weights: tensors that operations read and none writes, other than the model's inputs."""
    model = interpreter(path)
    operations = model._get_ops_details()
    read, written = ({int(i) for op in operations for i in op[side]} for side in ("inputs", "outputs"))
    fed = {detail["index"] for detail in model.get_input_details()}
    details = {detail["index"]: detail for detail in model.get_tensor_details()}
    weights = [details[index] for index in sorted(read - written - fed) if index >= 0]
    # Shapes and axes are unscaled whole numbers; biases of an int8 file are scaled ones.
    weights = [d for d in weights if d["dtype"] != np.int32 or d["quantization_parameters"]["scales"].size]
    return [model.get_tensor(detail["index"]) for detail in weights]


def answers(path, rows):
    model = interpreter(path)
    source, target = model.get_input_details()[0]["index"], model.get_output_details()[0]["index"]
    found = []
    for row in rows:
        model.set_tensor(source, row[None])
        model.invoke()
        found.append(model.get_tensor(target)[0].argmax())
    return np.array(found)


def check_seed(out, rung, seed, task, epochs):
    path = out / seed["file"]
    content = path.read_bytes()
    assert seed["bytes"] == len(content)
    assert seed["gzip_bytes"] == len(gzip.compress(content, mtime=0))
    weights = constants(path)
    assert seed["parameters"] == sum(weight.size for weight in weights)
    assert seed["nonzeros"] == sum(np.count_nonzero(weight) for weight in weights)
    if rung["number"] >= 9:
        for kernel in (weight for weight in weights if weight.ndim > 1):
            assert np.count_nonzero(kernel) <= 0.2 * kernel.size + 1
    labels = task.test[1]
    # Other kernels than the default ones: a tie may fall the other way.
    assert abs(seed["litert_accuracy"] - np.mean(answers(path, task.test[0]) == labels)) <= 1 / len(labels)
    assert seed["accuracy"] * len(labels) == pytest.approx(round(seed["accuracy"] * len(labels)))
    assert seed["agreement"] >= 0.98 and seed["milliseconds"] > 0 and seed["faster_than_first"] > 0
    assert [epoch["epoch"] for epoch in seed["history"]] == list(range(1, epochs + 1))
    assert seed["seconds"] == seed["history"][-1]["seconds"]
    reached = [e for e in seed["history"] if e["val_accuracy"] >= task.target]
    assert seed["epochs_to_target"] == (reached[0]["epoch"] if reached else None)


class Page(html.parser.HTMLParser):
    """Which tags a page has, which addresses it names, and whether each tag is closed."""

    VOID = {"meta", "path", "use", "rect", "image", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.addresses = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_all_ten_rungs(tmp_path):
    out = tmp_path / "demo"
    shown = run("--rows", "64", "--epochs", "1", "--out", str(out))
    report = json.loads((out / "report.json").read_text())
    task = tasks.load("digits", rows=64)

    assert report["status"] == "complete" and report["planned"] == 10 and report["epochs"] == 1
    assert [rung["number"] for rung in report["rungs"]] == list(range(1, 11))
    assert [rung["epochs_before"] for rung in report["rungs"]] == [0] * 8 + [1, 2]
    assert report["task"]["rows"] == {"train": 64, "validation": 64, "test": 64}
    for rung in report["rungs"]:
        assert rung["skipped"] is None
        (seed,) = rung["seeds"]
        check_seed(out, rung, seed, task, epochs=1)
        assert rung["summary"]["loss"] == {"mean": seed["loss"], "deviation": None, "of": 1}
    sizes = [rung["seeds"][0]["gzip_bytes"] for rung in report["rungs"]]
    assert sizes[9] < sizes[8] < sizes[7] < min(sizes[:7])
    check_logs(out, report)

    # Nothing half-written, nothing from elsewhere.
    assert sorted(path.name for path in out.iterdir()) == ["logs", "models", "report.html", "report.json"]
    page = (out / "report.html").read_text()
    parsed = Page(page)
    assert parsed.tags.count("svg") == 3 and "script" not in parsed.tags
    assert all(address.startswith("#") for address in parsed.addresses)
    assert "Partial report" not in page

    table = [line for line in shown.splitlines() if re.match(r" +\d+ .*\d x?$|.*x *$", line)]
    assert len(table) == 10 and f"{report['rungs'][9]['seeds'][0]['gzip_bytes']:,}" in table[9]
    check_next_commands(shown.splitlines()[-3:])


def check_logs(out, report):
    """TensorBoard reads the validation accuracies of the report."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for rung in report["rungs"]:
        log = EventAccumulator(str(out / "logs" / f"rung{rung['number']:02d}-seed0" / "validation")).Reload()
        (scalar,) = log.Tensors("epoch_accuracy")
        value = np.frombuffer(scalar.tensor_proto.tensor_content, "float32")
        value = value[0] if value.size else scalar.tensor_proto.float_val[0]
        assert value == pytest.approx(rung["seeds"][0]["history"][0]["val_accuracy"])


def check_next_commands(lines):
    programs = [shlex.split(line) for line in lines]
    assert [os.path.basename(program[0]) for program in programs] == ["tensorboard", "keras-dlopt", "keras-dlopt"]
    assert all(shutil.which(program[0]) for program in programs)
    assert os.path.isdir(programs[0][2])
    for program in programs[1:]:
        arguments = cli.make_parser().parse_args(program[1:])
        assert arguments.run and not os.path.exists(arguments.out)


def test_two_seeds_give_mean_and_spread_and_a_second_run_replaces_the_first(tmp_path):
    run("--rows", "64", "--epochs", "2", "--rungs", "1", "--out", str(tmp_path))
    run("--rows", "64", "--epochs", "2", "--rungs", "2", "--seeds", "2", "--out", str(tmp_path))
    report = json.loads((tmp_path / "report.json").read_text())
    (rung,) = report["rungs"]
    assert rung["number"] == 2 and [seed["seed"] for seed in rung["seeds"]] == [0, 1]
    accuracies = [seed["accuracy"] for seed in rung["seeds"]]
    assert rung["summary"]["accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    assert rung["summary"]["accuracy"]["deviation"] == pytest.approx(np.std(accuracies, ddof=1))
    names = ["rung02-seed0", "rung02-seed1"]
    assert sorted(path.stem for path in (tmp_path / "models").iterdir()) == names
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == names


def test_ctrl_c_leaves_a_readable_partial_report(tmp_path):
    command = [*COMMAND, "--rows", "64", "--epochs", "150", "--rungs", "2,3,5", "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as ran:
        for line in ran.stdout:
            if line.startswith(" 2 SGD "):
                ran.send_signal(signal.SIGINT)
                break
        shown, said = ran.communicate()
    assert ran.returncode == 130
    assert "Traceback" not in said
    assert f"partial report with 1 of 3 rungs is in {tmp_path / 'report.html'}" in shown
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["status"] == "interrupted"
    first, *begun = report["rungs"]
    check_seed(tmp_path, first, first["seeds"][0], tasks.load("digits", rows=64), epochs=150)
    assert [(rung["number"], rung["seeds"]) for rung in begun] in ([], [(3, [])])
    page = (tmp_path / "report.html").read_text()
    assert Page(page).tags.count("svg") == 3
    assert re.search(r"Partial report:</strong> the run was interrupted from the keyboard; 1 of 3 rungs are here", page)
    assert not list(tmp_path.glob(".report*"))
