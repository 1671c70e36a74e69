"""TPU slices as data: one YAML file a family, checked when it is loaded."""

import dataclasses
import importlib.resources
import math

from keras_dlopt.arguments import check_number, invalid


@dataclasses.dataclass(frozen=True)
class Slice:
    """What one TPU slice is.

    Attributes:
        name: family and number of chips, e.g. "v5e-8".
        family: the TPU generation.
        chips: number of chips.
        hosts: number of machines that they stand in.
        topology: the compiler's name of the slice, e.g. "v5e:2x4".
        hbm_gb: memory a chip, GB, as the vendor states it.
        compiler_hbm_gib: memory a chip that the compiler lets a program use, GiB.
        bandwidth_gb_per_s: memory bandwidth a chip.
        peak_bf16_tflops: peak bfloat16 arithmetic a chip, TFLOP/s.
        interconnect: how the chips are connected.
        sources: where the figures come from.
    """

    name: str
    family: str
    chips: int
    hosts: int
    topology: str
    hbm_gb: float
    compiler_hbm_gib: float
    bandwidth_gb_per_s: float
    peak_bf16_tflops: float
    interconnect: str
    sources: tuple[str, ...]


def names():
    """The names of all slices.

    Example:

    >>> names()[:3]
    ['v5e-1', 'v5e-4', 'v5e-8']
    """
    return list(_slices())


def load(name):
    """The slice of that name.

    Raises:
        ValueError: for an unknown name, listing the known ones.

    Example:

    >>> v5e = load("v5e-8")
    >>> v5e.topology, v5e.hosts, v5e.chips * v5e.peak_bf16_tflops
    ('v5e:2x4', 1, 1576)
    """
    slices = _slices()
    if name not in slices:
        raise invalid("load", "name", name, f"one of {', '.join(slices)}")
    return slices[name]


def _slices():
    files = importlib.resources.files(__name__).iterdir()
    families = [_read(file) for file in sorted(files, key=lambda f: f.name) if file.name.endswith(".yaml")]
    return {s.name: s for family in families for s in family}


_NUMBERS = ("hbm_gb", "compiler_hbm_gib", "bandwidth_gb_per_s", "peak_bf16_tflops", "cores_per_chip", "chips_per_host")
_TEXTS = ("family", "interconnect", "topology")
_LISTS = ("shapes", "sources")


def _read(file):
    import yaml

    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    expected = {*_NUMBERS, *_TEXTS, *_LISTS}
    if set(data) != expected:
        raise invalid(file.name, "keys", sorted(data), f"exactly {sorted(expected)}")
    for key in _NUMBERS:
        check_number(file.name, key, data[key], low=0, ends="()")
    for key in _LISTS:
        if not isinstance(data[key], list) or not data[key]:
            raise invalid(file.name, key, data[key], "a list that is not empty")
    return [_slice(data, shape) for shape in data["shapes"]]


def _slice(data, shape):
    chips = math.prod(int(n) for n in shape.split("x"))
    own = {field.name for field in dataclasses.fields(Slice)}
    return Slice(
        name=f"{data['family']}-{chips}",
        chips=chips,
        hosts=math.ceil(chips / data["chips_per_host"]),
        topology=data["topology"].format(shape=shape),
        sources=tuple(data["sources"]),
        **{key: data[key] for key in own & set(data) - {"topology", "sources"}},
    )
