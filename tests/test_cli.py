"""`keras-dlopt`: help, version, and one clear line for everything that cannot run."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

import keras_dlopt
from keras_dlopt import cli


def lines_of_refusal(arguments, capsys):
    """Runs the command line, which must refuse with exit code 2 and say nothing on standard output."""
    try:
        code = cli.main(arguments)
    except SystemExit as exit:  # argparse's way
        code = exit.code
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    return said.err.splitlines()


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_the_commands(arguments, capsys):
    try:
        assert cli.main(arguments) == 0
    except SystemExit as exit:
        assert exit.code == 0
    shown = capsys.readouterr().out
    for name, (_, help) in cli.COMMANDS.items():
        assert re.search(rf"^ +{name}\s+{help.split()[0]}", shown, re.MULTILINE)


def test_version(capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(["--version"])
    assert exit.value.code == 0
    assert capsys.readouterr().out == f"keras-dlopt {keras_dlopt.__version__}\n"


REFUSED = [
    (["paint"], "keras-dlopt: argument COMMAND: invalid choice: 'paint' (choose from"),
    (["--paint"], "keras-dlopt: unrecognized arguments: --paint"),
    (["demo", "--task", "poems"], "keras-dlopt demo: argument --task: invalid choice: 'poems' (choose from"),
    (["demo", "--data", "imagenet"], "keras-dlopt demo: argument --data: invalid choice: 'imagenet' (choose from"),
    (["demo", "--data", "mnist", "--task", "text"], "keras-dlopt demo: --data mnist does not go with --task text"),
    (["demo", "--seeds", "0"], "keras-dlopt demo: argument --seeds: must be a whole number >= 1. Received: '0'"),
    (["demo", "--seeds", "-1"], "keras-dlopt demo: argument --seeds: must be a whole number >= 1. Received: '-1'"),
    (["demo", "--seeds", "two"], "keras-dlopt demo: argument --seeds: must be a whole number >= 1. Received: 'two'"),
    (["demo", "--epochs", "1.5"], "keras-dlopt demo: argument --epochs: must be a whole number >= 1. Received: '1.5'"),
    (["demo", "--epochs", "nan"], "keras-dlopt demo: argument --epochs: must be a whole number >= 1. Received: 'nan'"),
    (["demo", "--rows", "0"], "keras-dlopt demo: argument --rows: must be a whole number >= 1. Received: '0'"),
    (["demo", "--rungs", "0"], "keras-dlopt demo: --rungs must be numbers from 1 to 10 and ranges of them"),
    (["demo", "--rungs", "11"], "such as 5,6,8-10. Received: '11'"),
    (["demo", "--rungs", "6-5"], "such as 5,6,8-10. Received: '6-5'"),
    (["demo", "--rungs", "5,,6"], "such as 5,6,8-10. Received: ''"),
    (["demo", "--rungs", "adam"], "such as 5,6,8-10. Received: 'adam'"),
    (["optimizers", "--family", "fast"], "keras-dlopt optimizers: --family must be one of drop-in, "),
]


@pytest.mark.parametrize(
    "arguments, message", REFUSED, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_refuses_in_one_line(arguments, message, capsys):
    (line,) = lines_of_refusal(arguments, capsys)
    assert message in line


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path, capsys):
    mine = tmp_path / "report.json"
    mine.write_text('{"mine": true}')
    (line,) = lines_of_refusal(["demo", "--out", str(tmp_path)], capsys)
    assert line == f"keras-dlopt demo: --out {tmp_path} is not empty and holds no earlier demo: name another folder"
    assert list(tmp_path.iterdir()) == [mine] and mine.read_text() == '{"mine": true}'


def test_an_out_that_is_a_file_is_refused(tmp_path, capsys):
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    (line,) = lines_of_refusal(["demo", "--out", str(path)], capsys)
    assert line == f"keras-dlopt demo: --out {path} cannot be used: File exists"
    assert path.read_text() == "mine"


def test_without_a_network_downloads_are_refused(tmp_path):
    """The real loader, a proxy that is not there, and an empty cache."""
    home = {"KERAS_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9", "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-m", "keras_dlopt.cli", "demo", "--data", "mnist", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | home)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("keras-dlopt demo: --data mnist is downloaded once, and this failed: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_on_another_backend_the_demo_is_refused(tmp_path):
    command = [sys.executable, "-m", "keras_dlopt.cli", "demo", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": "jax"})
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last == "keras-dlopt demo: needs Keras on TensorFlow, not on jax: set KERAS_BACKEND=tensorflow"


def listed(capsys, *arguments):
    assert cli.main(["optimizers", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_lists_every_optimizer_of_the_table(capsys):
    from keras_dlopt.optimizers.table import TABLE, WRAPPERS

    rows = [*TABLE.values(), *WRAPPERS.values()]
    header, *lines = listed(capsys)
    assert re.split("  +", header.strip()) == [
        *("name", "family", "paper", "bytes a parameter", "learning rate", "tested against")
    ]
    assert len({line.index(row.tested_against) for line, row in zip(lines, rows, strict=True)}) == 1
    adam = next(line for line in lines if line.startswith("Adam "))
    assert re.split(" {2,}", adam.strip()) == [
        *("Adam", "drop-in", "arXiv 1412.6980", "8", "0.001", "keras.optimizers.Adam")
    ]


def test_the_page_has_the_table_as_it_is_now(capsys):
    """Mended by `keras-dlopt optimizers --markdown`, whose lines go into docs/optimizers.md."""
    page = (pathlib.Path(__file__).parents[1] / "docs" / "optimizers.md").read_text()
    table = [line.strip() for line in listed(capsys, "--markdown") if line.strip()]
    assert "\n".join(table) in page


def test_lists_one_family(capsys):
    from keras_dlopt.optimizers import names

    assert [line.split()[0] for line in listed(capsys, "--family", "first order")[1:]] == names("first order")


def test_a_command_is_one_registered_function(monkeypatch, capsys):
    monkeypatch.setattr(cli, "COMMANDS", dict(cli.COMMANDS))

    @cli.command("say a word")
    def say_it(parser):
        parser.add_argument("word")

        def run(arguments):
            if arguments.word == "no":
                raise cli.Refused("not that word")
            if arguments.word == "stop":
                raise KeyboardInterrupt
            print(arguments.word)
            return 0

        return run

    assert cli.main(["say-it", "yes"]) == 0
    assert capsys.readouterr().out == "yes\n"
    assert lines_of_refusal(["say-it", "no"], capsys) == ["keras-dlopt say-it: not that word"]
    assert cli.main(["say-it", "stop"]) == 130
    assert capsys.readouterr().err == "keras-dlopt say-it: interrupted\n"
