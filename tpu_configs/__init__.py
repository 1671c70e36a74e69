"""TPU slices as data: one YAML file a family, each figure with its source, checked when it is loaded."""

import difflib
import functools
import importlib.resources

from keras_dlopt.arguments import invalid
from keras_dlopt.tpu_configs import schema
from keras_dlopt.tpu_configs.slices import COMMANDS, Slice, Source

__all__ = ["COMMANDS", "Slice", "Source", "load", "names"]


def names():
    """The names of all slices, generation by generation, the smallest first.

    Example:

    >>> names()[:3]
    ['v2-8', 'v2-32', 'v2-128']
    """
    return list(_slices())


def load(name):
    """The slice of that name, or of that accelerator type.

    Raises:
        ValueError: for an unknown name, listing those near it.

    Example:

    >>> v5e = load("v5e-8")
    >>> v5e.topology, v5e.hosts, v5e.peak_total_tflops, v5e.accelerator_type
    ('v5e:2x4', 1, 1576, 'v5litepod-8')
    >>> load("v5litepod-8") is v5e
    True
    """
    slices = _slices()
    known = {found.accelerator_type: found for found in slices.values()} | slices
    if isinstance(name, str) and name in known:
        return known[name]
    near = difflib.get_close_matches(str(name), known, n=4, cutoff=0.4)
    near = f"; near it: {', '.join(near)}" if near else ""
    raise invalid("load", "name", name, f"a TPU slice such as 'v5e-8' (`keras-dlopt tpu list` shows all{near})")


@functools.cache
def _slices():
    files = [file for file in importlib.resources.files(__name__).iterdir() if file.name.endswith(".yaml")]
    order = {"7x.yaml": "v7x.yaml"}  # the newest generation has no "v" in its name, and comes last
    families = [schema.read(file) for file in sorted(files, key=lambda file: order.get(file.name, file.name))]
    return {found.name: found for family in families for found in family}
