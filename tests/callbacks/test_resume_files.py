"""Checkpoint files: what goes in comes out; what is torn or changed is never read. And the end of the grace time."""

import inspect
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_dlopt.callbacks.resume.checkpoint_file import Corrupted, decode, encode
from keras_dlopt.callbacks.resume.preemption import Preemption
from keras_dlopt.callbacks.resume.run_state import equal
from keras_dlopt.callbacks.resume.store import Store

arrays = hnp.arrays(
    st.sampled_from(["float32", "float64", "int32", "uint8", "bool", "complex64"]),
    hnp.array_shapes(min_dims=0, min_side=0),
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | arrays
states = st.dictionaries(
    st.text(), st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
)


@given(states)
def test_what_goes_in_comes_out(state):
    assert equal(decode(b"".join(encode(state))), state)


def test_scalars_and_bfloat16():
    state = {"best": np.float32(0.1), "half": np.array([1.5, -2], ml_dtypes.bfloat16)}
    found = decode(b"".join(encode(state)))
    assert type(found["best"]) is np.float32 and found["best"] == np.float32(0.1)
    assert found["half"].dtype == ml_dtypes.bfloat16 and found["half"].tolist() == [1.5, -2.0]


def test_what_no_file_can_hold_is_refused():
    with pytest.raises(TypeError, match="Received: <object"):
        encode({"x": object()})
    with pytest.raises(TypeError, match="keys must be strings"):
        encode({1: 2})


WHOLE = b"".join(encode({"step": 7, "weights": [np.arange(50, dtype="float32"), np.ones((3, 4))]}))


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255), st.integers(0, len(WHOLE) - 1))
def test_a_changed_byte_or_a_missing_end_is_found(place, change, length):
    changed = bytearray(WHOLE)
    changed[place] ^= change
    for torn in (bytes(changed), WHOLE[:length], WHOLE + b"\0", WHOLE[:length] + bytes(len(WHOLE) - length - 1)):
        with pytest.raises(Corrupted):
            decode(torn)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_the_newest_whole_file_is_taken_whatever_happened_to_those_after_it(data):
    damaged = data.draw(st.integers(0, 3), "how many of the newest")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = Store(folder, keep=3)
        for step in (5, 10, 15):
            store.write(step, {"step": step, "w": np.full(20, step)})
        for step in (15, 10, 5)[:damaged]:
            path = pathlib.Path(folder, f"{step:012d}.ckpt")
            whole = path.read_bytes()
            length = data.draw(st.integers(0, len(whole)), "length")
            torn = bytearray(whole[:length])
            for place in data.draw(st.lists(st.integers(0, max(length - 1, 0)), max_size=4, unique=True), "places"):
                if length:
                    torn[place] ^= data.draw(st.integers(1, 255), "change")
            path.write_bytes(torn if torn != whole else whole + b"\0")
        pathlib.Path(folder, ".000000000020.ckpt.x1").write_bytes(b"DLOPTRUN")  # a write that was killed
        found = store.newest()
        if damaged == 3:
            assert found is None
        else:
            step = (15, 10, 5)[damaged]
            assert found["step"] == step and (found["w"] == step).all()


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:99] + b"?" + data[100:], lambda data: data[:1]]
)
def test_a_torn_file_gives_way_to_the_one_before(tmp_path, remote, damage):
    import tensorflow as tf

    folder = f"ram://{tmp_path.name}-{id(damage)}" if remote else str(tmp_path / "run")
    store = Store(folder, keep=2)
    assert store.newest() is None
    for step in (5, 10, 15):
        store.write(step, {"step": step, "w": np.full(100, step)})
    assert store.steps() == [10, 15]
    newest = f"{folder}/{15:012d}.ckpt"
    with tf.io.gfile.GFile(newest, "rb") as file:
        data = file.read()
    with tf.io.gfile.GFile(newest, "wb") as file:
        file.write(damage(data))
    with pytest.warns(UserWarning, match=f"{15:012d}.ckpt is left out"):
        found = store.newest()
    assert found["step"] == 10 and (found["w"] == 10).all()
    assert store.steps() == [10]


def test_a_step_that_outlasts_the_grace_time_ends_the_process():
    code = f"""
import os, runpy, signal, time
preemption = runpy.run_path({inspect.getsourcefile(Preemption)!r})["Preemption"](grace=0.3, exit_code=9)
preemption.watch()
os.kill(os.getpid(), signal.SIGTERM)
assert preemption.came
end = time.monotonic() + 60
while time.monotonic() < end:
    time.sleep(1)
"""
    start = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    assert time.monotonic() - start < 30
