"""The TPU files load, and what does not belong in them is refused."""

import math

import pytest

from keras_dlopt import tpu_configs


@pytest.mark.parametrize("name", tpu_configs.names())
def test_every_slice_is_consistent(name):
    found = tpu_configs.load(name)
    family, shape = found.topology.split(":")
    assert found.name == f"{family}-{math.prod(map(int, shape.split('x')))}"
    assert found.compiler_hbm_gib < found.hbm_gb
    assert found.hosts == max(1, found.chips // 8)
    assert all(source.startswith("https://") for source in found.sources)


def test_an_unknown_slice_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"load\(name=.*v5e-8.*'v5e-7'"):
        tpu_configs.load("v5e-7")


def test_a_file_with_a_missing_or_impossible_figure_is_refused(tmp_path):
    text = (tpu_configs.importlib.resources.files("keras_dlopt.tpu_configs") / "v5e.yaml").read_text()
    broken = tmp_path / "v5e.yaml"
    broken.write_text(text.replace("hbm_gb: 16", "hbm_gb: -16"))
    with pytest.raises(ValueError, match=r"v5e.yaml\(hbm_gb=.*-16"):
        tpu_configs._read(broken)
    broken.write_text(text.replace("interconnect: 2D torus\n", ""))
    with pytest.raises(ValueError, match=r"v5e.yaml\(keys=.*interconnect"):
        tpu_configs._read(broken)
