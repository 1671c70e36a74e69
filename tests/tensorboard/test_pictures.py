"""Pictures for papers hold the numbers of the run."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import runs
from keras_dlopt import tensorboard
from keras_dlopt.tensorboard import pictures


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for seed, names in enumerate((["net/a", "net/b", "net/c"], ["net/b", "net/c"])):
        layout = runs.layout_of(names)
        runs.write(folder / "xy"[seed], layout, runs.arrays_of(layout, 9, seed), steps=range(seed, 9 + seed))
    read = tensorboard.read(folder)
    return read["x"], read["y"]


@pytest.mark.parametrize("kind", ["map", "lines", "distribution", "difference"])
def test_each_kind_is_a_picture(kind, pair, tmp_path):
    tensorboard.plot(pair[0], tmp_path / "a.png", kind, stat="gradient_norm", variable="net/b", other=pair[1])
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_pictures_hold_the_numbers(pair):
    x, y = pair
    figure = Figure()
    axes = figure.subplots(1, 3)
    pictures._map(figure, axes[0], x, "gradient_norm", None, None, None)
    np.testing.assert_array_equal(axes[0].images[0].get_array(), np.log10(x.stat("gradient_norm")).T)
    pictures._difference(figure, axes[1], x, "ratio", None, None, y)
    np.testing.assert_array_equal(axes[1].images[0].get_array(), (x.stat("ratio")[1:, 1:] - y.stat("ratio")[:-1]).T)
    pictures._lines(figure, axes[2], x, "v_mean", "net/c", None, y)
    np.testing.assert_array_equal(axes[2].lines[1].get_ydata(), y.stat("v_mean")[:, 1])


def test_bad_arguments_are_refused(pair, tmp_path):
    for wrong, match in (
        ({"kind": "pie"}, r"`plot\(kind=...\)` must be one of 'map'"),
        ({"stat": "none"}, r"`plot\(stat=...\)` must be one of 'ratio'"),
        ({"variable": "none"}, r"`plot\(variable=...\)` must be one of 'net/a'"),
        ({"kind": "difference"}, r"`plot\(other=...\)` must be another `Run`"),
        ({"kind": "lines", "other": "y"}, r"`plot\(other=...\)` must be another `Run`"),
    ):
        with pytest.raises(ValueError, match=match):
            tensorboard.plot(pair[0], tmp_path / "a.png", **wrong)
    assert not list(tmp_path.iterdir())


def test_a_variable_without_a_histogram_is_refused(tmp_path):
    layout = runs.layout_of(["net/a", "net/b", "net/c"])
    runs.write(tmp_path, layout, runs.arrays_of(layout, 2), without=[1])
    with pytest.raises(ValueError, match=r"`plot\(variable=...\)` must be one of 'net/a', 'net/c'"):
        tensorboard.plot(tensorboard.read(tmp_path)["."], tmp_path / "a.png", "distribution", variable="net/b")
    assert not (tmp_path / "a.png").exists()
