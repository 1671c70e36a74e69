"""`keras-dlopt`: help, version, and one clear line for everything that cannot run."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

import keras_dlopt
from keras_dlopt import cli
from keras_dlopt.commands.command import COMMANDS, Refused, command


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
    for name, (_, help) in COMMANDS.items():
        assert re.search(rf"^ +{name}\s+{help.split()[0]}", shown, re.MULTILINE)


def test_version(capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(["--version"])
    assert exit.value.code == 0
    assert capsys.readouterr().out == f"keras-dlopt {keras_dlopt.__version__}\n"


MINE = ("--name", "mine", "--zone", "us-west4-a")
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
    (["launch"], "keras-dlopt launch: the following arguments are required: SCRIPT"),
    (["launch", "none.py"], "keras-dlopt launch: SCRIPT must be a file. Received: 'none.py'"),
    (["launch", "--workers", "0", "none.py"], "argument --workers: must be a whole number >= 1. Received: '0'"),
    (["tpu", "sell"], "keras-dlopt tpu: argument COMMAND: invalid choice: 'sell' (choose from"),
    (["tpu", "list", "--family", "v9"], "keras-dlopt tpu list: --family must be one of v2, v3, v4, v5e, v5p, v6e, 7x."),
    (["tpu", "show"], "keras-dlopt tpu show: the following arguments are required: SLICE"),
    (["tpu", "show", "v5-8"], "keras-dlopt tpu show: SLICE must be a TPU slice such as 'v5e-8'"),
    (["tpu", "show", "v5-8"], "near it: v5p-8, v5e-8"),
    (["tpu", "command", "v5e-8", "--zone", "us-west4-a"], "the following arguments are required: --name"),
    (["tpu", "command", "v5e-8", "--name", "mine"], "the following arguments are required: --zone"),
    (["tpu", "command", "v5e-8", *MINE, "--what", "stop"], "argument --what: invalid choice: 'stop'"),
    (["tpu", "command", "v5e-8", *MINE, "--runtime", "torch"], "argument --runtime: invalid choice: 'torch'"),
    (
        ["tpu", "command", "v5e-8", *MINE, "--name", "Mine"],
        "keras-dlopt tpu command: --name must be up to 63 lower-case",
    ),
    (
        ["tpu", "command", "v5e-8", *MINE, "--zone", "west"],
        "tpu command: --zone must be a zone such as 'us-central1-a'",
    ),
    (["tpu", "command", "v5e-8", *MINE, "--what", "ssh", "--spot"], "tpu command: --spot must be left out with 'ssh'"),
    (["tpu", "command", "v5e-8", *MINE, "--run", "ls"], "tpu command: --run must be left out with 'create'"),
    (
        ["tpu", "command", "7x-8", *MINE],
        "tpu command: `7x-8` has no gcloud command to create it: TPU7x is created through",
    ),
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


def test_lists_every_tpu_slice(capsys):
    from keras_dlopt import tpu_configs

    assert cli.main(["tpu", "list"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert re.split("  +", header.strip()) == [
        *("name", "chips", "hosts", "VMs", "HBM, GiB", "bf16 TFLOP/s", "topology")
    ]
    assert [line.split()[0] for line in lines] == tpu_configs.names()
    assert len({line.index(tpu_configs.load(line.split()[0]).topology) for line in lines}) == 1
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert rows["v5e-16"] == ["16", "2", "4", "256", "3152", "v5e:4x4"]
    assert rows["v4-8"] == ["4", "1", "1", "128", "1100", "v4:2x2x1"]
    assert rows["7x-8192"] == ["4096", "1024", "1024", "786432", "9449472", "tpu7x:16x16x16"]


def test_lists_the_tpu_slices_of_one_family_as_markdown(capsys):
    assert cli.main(["tpu", "list", "--family", "v6e", "--markdown"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [line.split("|")[1].strip() for line in lines[2:]] == [f"v6e-{n}" for n in (1, 4, 8, 16, 32, 64, 128, 256)]


def test_shows_a_tpu_slice_with_a_source_for_every_figure(capsys):
    assert cli.main(["tpu", "show", "v5litepod-8"]) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "v5e-8: the number counts chips"
    sources = {line.split()[0]: line for line in lines if line.startswith("[")}
    assert sources["[1]"] == "[1] TPU v5e: https://cloud.google.com/tpu/docs/v5e"
    figures = [re.split("  +", line.strip()) for line in lines if not line.startswith(("[", "note: "))]
    assert ["memory", "[1]", "128 GiB, 16 a chip"] in figures
    assert ["peak bfloat16", "[1]", "1576 TFLOP/s, 197 a chip"] in figures
    cited = {number for _, numbers, _ in figures for number in numbers.split()}
    assert cited == set(sources) and len(figures) == 23


def test_shows_what_no_source_states(capsys):
    assert cli.main(["tpu", "show", "v2-8"]) == 0
    assert re.search(r"^largest system +no source states it *$", capsys.readouterr().out, re.MULTILINE)


def test_prints_a_command_for_a_tpu_slice(capsys):
    arguments = ["--what", "queued", "--spot", "--runtime", "jax", "--project", "a lab"]
    assert cli.main(["tpu", "command", "v5e-16", *MINE, *arguments]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out == (
        "gcloud compute tpus queued-resources create mine --node-id=mine --zone=us-west4-a "
        "--accelerator-type=v5litepod-16 --runtime-version=v2-alpha-tpuv5-lite --spot '--project=a lab'\n"
    )


def test_a_zone_that_is_not_known_is_a_warning(capsys):
    assert cli.main(["tpu", "command", "v4-8", *MINE, "--what", "ssh", "--run", "echo hi; ls"]) == 0
    said = capsys.readouterr()
    assert said.err == (
        "keras-dlopt tpu command: warning: v4-8 is not known to be in us-west4-a, but in us-central2-b\n"
    )
    assert said.out.endswith("ssh mine --zone=us-west4-a --worker=all '--command=echo hi; ls'\n")


def test_the_tpu_command_alone_lists_its_commands(capsys):
    assert cli.main(["tpu"]) == 0
    assert re.findall(r"^ {4}(\w+) ", capsys.readouterr().out, re.MULTILINE) == ["list", "show", "command"]


def test_a_command_is_one_registered_function(monkeypatch, capsys):
    monkeypatch.setitem(COMMANDS, "say-it", None)  # removed at the end

    @command("say a word")
    def say_it(parser):
        parser.add_argument("word")

        def run(arguments):
            if arguments.word == "no":
                raise Refused("not that word")
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


@pytest.fixture
def saved(tmp_path):
    """A trained model and its data, as files."""
    import keras
    import numpy as np

    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 160)
    x = (np.eye(3)[y] @ rng.normal(size=(3, 12)) + 0.1 * rng.normal(size=(160, 12))).astype("float32")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(20, activation="relu"), keras.layers.Dense(3)])
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=10, verbose=0)
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", x=x, y=y)
    return tmp_path


def test_compress(saved, capsys):
    files = [str(saved / "model.keras"), "--data", str(saved / "data.npz"), "--out", str(saved / "out")]
    how = ["--prune", ".8", "--quantize", "int8", "--epochs", "3", "--learning-rate", "0.003"]
    assert cli.main(["compress", *files, *how]) == 0
    assert "accuracy: " in capsys.readouterr().out
    found = json.loads((saved / "out" / "report.json").read_text())
    assert found["operators"]["float32"] == {} and found["baseline"]["score"] == 1.0 and found["score"] > 0.8
    assert found["sparsity"] == pytest.approx(0.8 * 300 / 323, abs=0.1)
    names = ["after.keras", "after.tflite", "before.tflite", "report.json", "report.png"]
    assert sorted(path.name for path in (saved / "out").iterdir()) == names


def test_compress_a_model_of_two_classes(tmp_path):
    import keras
    import numpy as np

    from keras_dlopt.commands.compress_file import compress_file

    x = np.random.default_rng(0).normal(size=(80, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid", use_bias=False)])
    model.set_weights([9.0 * np.eye(4, 1)])
    model.compile("adam", "binary_crossentropy")
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", x=x, y=x[:, 0] > 0)
    out = tmp_path / "out"
    found = compress_file(tmp_path / "model.keras", tmp_path / "data.npz", out, quantize="float16")
    assert (found.score_name, found.score, found.baseline.score) == ("accuracy", 1.0, 1.0)
    assert json.loads((out / "report.json").read_text())["agreement"] is None


def test_compress_refuses(saved, capsys):
    import numpy as np

    model, data = str(saved / "model.keras"), str(saved / "data.npz")
    np.save(saved / "x.npy", np.ones((5, 12)))
    np.savez(saved / "wide.npz", x=np.ones((5, 12)), y=np.ones((5, 2)))
    refused = {
        "a .npz file with arrays x and y": [model, "--data", str(saved / "x.npy"), "--prune", ".5"],
        "targets of the model's outputs, of shape (1, 3)": [
            model,
            *("--data", str(saved / "wide.npz"), "--prune", ".5", "--out", str(saved / "out")),
        ],
        "there is no file 'none.keras'": ["none.keras", "--data", data, "--prune", ".5"],
        "nothing to do: give --prune, --quantize, or both": [model, "--data", data],
        "argument --prune: must be a share in (0, 1). Received: '80'": [model, "--data", data, "--prune", "80"],
    }
    for message, arguments in refused.items():
        (line,) = lines_of_refusal(["compress", *arguments], capsys)
        assert message in line
    assert not (saved / "out").exists()
