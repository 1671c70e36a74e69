"""Event files and the records in them: against TensorBoard's own reader, and damaged in every way."""

import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import runs
from keras_dlopt import tensorboard
from keras_dlopt.tensorboard import format as formats
from keras_dlopt.tensorboard.crc32c import crc32c
from keras_dlopt.tensorboard.events import read_events
from keras_dlopt.tensorboard.health import findings


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=3000))
def test_checksum_is_that_of_tensorboard(data):
    from tensorboard.compat.tensorflow_stub import pywrap_tensorflow

    assert crc32c(data) == pywrap_tensorflow.crc32c(data)


def write_run(folder, count=7, **kwargs):
    layout = runs.layout_of(["net/a", "net/b"])
    stats = runs.arrays_of(layout, count)
    return layout, stats, runs.write(folder, layout, stats, **kwargs)


def test_what_is_written_is_read(tmp_path):
    layout, stats, rows = write_run(tmp_path / "one", steps=[2**31 - 7 + i for i in range(7)])
    run = tensorboard.read(tmp_path)["one"]
    assert run.layout == layout and run.steps.tolist() == [2**31 - 7 + i for i in range(7)]
    for i, name in enumerate(layout.stats):
        np.testing.assert_array_equal(run.stat(name), stats[:, i])
    ratio = np.log10(stats[:, layout.stats.index("update_norm")] / stats[:, layout.stats.index("weight_norm")])
    np.testing.assert_array_equal(run.stat("ratio"), ratio)
    np.testing.assert_array_equal(run.globals("gradient_norm"), rows[:, 1])
    np.testing.assert_allclose(run.histogram("gradient")[:, :, 30:32], [[[0.75, 0.25]] * 2] * 7, atol=0.005)
    frame = run.frame()
    assert frame.shape == (14, 10) and frame.loc[(2**31 - 7, "net/b"), "v_mean"] == stats[0, -1, 1]


def test_tensorboard_reads_it_too(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, stats, rows = write_run(tmp_path)
    log = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()
    assert [e.value for e in log.Scalars("optimizer/learning_rate")] == [np.float32(1e-3)] * 7
    tensors = log.Tensors("optimizer/stat/gradient_norm")
    assert [np.frombuffer(e.tensor_proto.tensor_content, "<f4").tolist() for e in tensors] == stats[:, 0].tolist()


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_a_file_cut_or_damaged_anywhere_is_read_up_to_there(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cut")
    write_run(folder, 4)
    (path,) = pathlib.Path(folder).iterdir()
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    steps = lambda: [e.step for e in read_events(path) if e.summary.value]  # noqa: E731
    path.write_bytes(content[:place])
    assert steps() == list(range(len(steps())))
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    found = []
    try:
        for event in read_events(path):
            found += [event.step] if event.summary.value else []
    except ValueError as error:
        assert "damaged at byte" in str(error)
    assert found == list(range(len(found))) and len(found) < 4


def test_bad_folders_and_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`read\(logdir=...\)` must be an existing folder"):
        tensorboard.read(tmp_path / "none")
    with pytest.raises(ValueError, match=r"`read\(logdir=...\)` must be a folder with records"):
        tensorboard.read(tmp_path)
    write_run(tmp_path)
    run = tensorboard.read(tmp_path)["."]
    with pytest.raises(ValueError, match="must be one of 'ratio', 'effective_rate'"):
        run.stat("rato")
    write_run(tmp_path / "x")
    layout = runs.layout_of(["other"])
    runs.write(tmp_path / "x", layout, runs.arrays_of(layout, 2), steps=[8, 9])
    with pytest.warns(UserWarning, match="7 records of the run 'x' are of another model"):
        assert tensorboard.read(tmp_path)["x"].steps.tolist() == [8, 9]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"version": 1}', "\x00", '{"version": 99}'])
def test_layouts_that_are_none_are_one_kind_of_error(text):
    with pytest.raises(ValueError, match="layout cannot be read|of format 99"):
        formats.Layout.from_json(text)


BREAKS = {  # rule -> statistic, record from which on, value of the second variable
    "nonfinite": ("gradient_nonfinite", 9, 0.5),
    "dead": ("gradient_norm", 5, 0.0),
    "sparse": ("gradient_zeros", 5, 0.999),
    "exploding": ("weight_norm", 12, 1e4),
    "fast": ("update_norm", 5, 2.0),
    "slow": ("update_norm", 5, 1e-6),
    "small_v": ("v_mean", 5, 1e-20),
}


@pytest.mark.parametrize("rule", [None, *BREAKS])
def test_findings_name_the_layer(rule):
    layout = runs.layout_of(["a", "b", "c"])
    stats = runs.arrays_of(layout, 20)
    if rule:
        name, start, value = BREAKS[rule]
        stats[start:, layout.stats.index(name), 1] = value
    stored = lambda name: stats[:, layout.stats.index(name)] if name in layout.stats else None  # noqa: E731
    found = findings(np.arange(20), lambda name: formats.derive(name, stored))
    named = {finding.rule: finding.variables for finding in found}
    if rule is None:
        assert found == []
    else:
        assert named[rule] == [1] and set(named) <= {rule, "slow" if rule == "exploding" else rule}
        if rule == "nonfinite":
            assert found[0].level == "red" and found[0].step == 9
