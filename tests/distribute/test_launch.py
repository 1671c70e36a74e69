"""Several processes on this machine: what they print, how they end. No Keras in them."""

import functools
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from keras_dlopt import cli
from keras_dlopt.distribute.launch import launch, worker_environment

WAITS = "import time; print('up', flush=True); time.sleep(60)"


def run(code, workers=2, **environ):
    out = io.StringIO()
    started = time.monotonic()
    ended = launch([sys.executable, "-c", code], workers, os.environ | environ, out)
    return ended, sorted(out.getvalue().splitlines()), time.monotonic() - started


def test_each_line_has_its_worker_s_number():
    code = "import os, sys, json; i = json.loads(os.environ['TF_CONFIG'])['task']['index']"
    code += "; print('out', i); print('error', i, file=sys.stderr); print('no end', end='')"
    ended, lines, _ = run(code, 3)
    assert ended == 0
    assert lines == sorted(f"[{i}] {said}" for i in range(3) for said in (f"out {i}", f"error {i}", "no end"))


def test_the_workers_find_each_other():
    ended, lines, _ = run("import os; print(os.environ['TF_CONFIG'], os.environ['KERAS_DLOPT_STRATEGY'])")
    assert ended == 0
    configs = [json.loads(line[len("[0] ") : -len(" multi_worker")]) for line in lines]
    assert [config["task"]["index"] for config in configs] == [0, 1]
    assert configs[0]["cluster"] == configs[1]["cluster"]
    addresses = configs[0]["cluster"]["worker"]
    assert len(set(addresses)) == 2 and all(address.startswith("127.0.0.1:") for address in addresses)


@pytest.mark.parametrize("dies, code", [("sys.exit(3)", 3), ("os.kill(os.getpid(), 9)", 137), ("1 / 0", 1)])
def test_when_one_dies_all_end(dies, code):
    only_1 = "import os, sys, json, time; i = json.loads(os.environ['TF_CONFIG'])['task']['index']"
    ended, lines, seconds = run(f"{only_1}\nif i == 1: {dies}\ntime.sleep(60)")
    assert ended == code
    assert seconds < 20


def test_one_that_does_not_listen_is_killed(monkeypatch):
    from keras_dlopt.distribute import launch as module

    monkeypatch.setattr(module, "_GRACE", 0.5)
    deaf = "import os, json, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    deaf += "if json.loads(os.environ['TF_CONFIG'])['task']['index']: time.sleep(0.5); sys.exit(5)\ntime.sleep(60)"
    ended, _, seconds = run(deaf)
    assert ended == 5 and seconds < 20


@pytest.mark.parametrize("how, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_ends_all(how, code, tmp_path):
    script = tmp_path / "waits.py"
    script.write_text(f"import os\nopen(f'{tmp_path}/{{os.getpid()}}.pid', 'w')\n{WAITS}")
    command = [sys.executable, "-m", "keras_dlopt.cli", "launch", "--workers", "2", str(script)]
    # What starts in the background of a shell is given an ignored Ctrl-C.
    heeding = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heeding)
    assert sorted(process.stdout.readline() for _ in range(2)) == ["[0] up\n", "[1] up\n"]
    process.send_signal(how)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert said == ("keras-dlopt launch: interrupted\n" if how == signal.SIGINT else "")
    pids = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_when_the_reader_goes_away_all_end(tmp_path):
    script = tmp_path / "talks.py"
    script.write_text("while True: print('x' * 1000)")
    command = [sys.executable, "-m", "keras_dlopt.cli", "launch", "--workers", "2", str(script)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().endswith("x\n")
    process.stdout.close()
    try:
        assert process.wait(timeout=20) == 141
    finally:
        process.terminate()
    assert process.stderr.read() == ""


def test_a_full_disk_is_an_error():
    code = [sys.executable, "-c", "while True: print('x' * 1000)"]
    with open("/dev/full", "w") as full, pytest.raises(OSError, match="No space left"):
        try:
            launch(code, 1, out=full)
        finally:
            full.buffer.raw.close()  # with what could not be written


def test_the_command_line_runs_scripts_and_modules(tmp_path, capfd):
    script = tmp_path / "says.py"
    script.write_text("import sys; print(sys.argv[1:])")
    assert cli.main(["launch", "--workers", "2", str(script), "--epochs", "3"]) == 0
    assert sorted(capfd.readouterr().out.splitlines()) == ["[0] ['--epochs', '3']", "[1] ['--epochs', '3']"]
    assert cli.main(["launch", "--workers", "1", "-m", "this"]) == 0
    assert "[0] Beautiful is better than ugly." in capfd.readouterr().out


@pytest.mark.parametrize(
    "gpus, workers, shares",
    [("0,1,2,3", 2, ["0,1", "2,3"]), ("4,6,7", 2, ["4", "6"]), ("", 2, ["", ""]), ("-1", 2, ["-1", "-1"])],
)
def test_gpus_are_shared_out(gpus, workers, shares):
    addresses = [f"a:{i}" for i in range(workers)]
    environs = [worker_environment({"CUDA_VISIBLE_DEVICES": gpus}, addresses, i) for i in range(workers)]
    assert [environ["CUDA_VISIBLE_DEVICES"] for environ in environs] == shares


# What `nvidia-smi -L` prints where there are two GPUs, the first of them divided.
TWO_GPUS = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-0a1b)
  MIG 3g.20gb     Device  0: (UUID: MIG-2c3d)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-4e5f)
"""


def test_gpus_are_counted_and_too_few_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    shows = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"
    assert run(shows)[:2] == (0, ["[0] None", "[1] None"])
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\n[ $1 = -L ] && /bin/cat << END\n{TWO_GPUS}END\n")
    smi.chmod(0o755)
    assert run(shows)[:2] == (0, ["[0] 0", "[1] 1"])
    assert run(shows, 3, CUDA_VISIBLE_DEVICES="-1")[:2] == (0, ["[0] -1", "[1] -1", "[2] -1"])
    assert cli.main(["launch", "--workers", "3", __file__]) == 2
    assert "`launch(workers=...)` must be at most 2, the number of GPUs;" in capsys.readouterr().err
    with pytest.raises(ValueError, match="at most 1, the number of GPUs; CUDA_VISIBLE_DEVICES=-1 leaves them alone"):
        run(shows, CUDA_VISIBLE_DEVICES="7")
