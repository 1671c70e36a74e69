"""The migration page says what is true: its pairs of calls are run, its names and arguments looked up."""

import inspect
import pathlib
import re

import keras
import numpy as np
import pytest
from keras import ops
from trajectories import START, numpy_gradient

from keras_dlopt import optimizers

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "migration.md"


def rows(heading):
    """The rows of the table under a heading, as lists of cells."""
    section = PAGE.read_text().split(f"## {heading}")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def code(cell):
    return re.findall(r"`([^`]+)`", cell)


PAIRS = [(code(theirs)[0], code(ours)[0], float(off)) for theirs, ours, off, _ in rows("From `torch.optim`") if off]


@pytest.mark.parametrize(("theirs", "ours", "off"), PAIRS)
def test_torch_and_ours_differ_by_no_more_than_the_page_says(theirs, ours, off):
    import torch

    parameters = [torch.nn.Parameter(torch.tensor(w)) for w in START]
    reference = eval(theirs, vars(torch.optim) | {"p": parameters})
    optimizer, weights = eval(ours, vars(optimizers)), [keras.Variable(w) for w in START]
    for step in range(50):
        for p, g in zip(parameters, numpy_gradient([p.detach().numpy() for p in parameters], step), strict=True):
            p.grad = torch.as_tensor(np.asarray(g, "float32"))
        reference.step()
        grads = numpy_gradient([ops.convert_to_numpy(w) for w in weights], step)
        optimizer.apply([ops.convert_to_tensor(g) for g in grads], weights)
    pairs = zip(weights, parameters, strict=True)
    difference = max(np.abs(ops.convert_to_numpy(w) - p.detach().numpy()).max() for w, p in pairs)
    assert off / 100 < difference <= off  # and the page does not exaggerate


def test_every_torch_optimizer_that_users_have_is_on_the_page():
    named = " ".join(theirs for theirs, *_ in rows("From `torch.optim`"))
    for name in ("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop", "LBFGS"):
        assert f"`{name}(" in named


@pytest.mark.parametrize("row", rows("From TensorFlow Addons"), ids=lambda row: row[0])
def test_what_addons_users_are_sent_to_exists(row):
    _, ours, arguments, _ = row
    names = [name for name in code(ours) if name[0].isupper()]
    for name in names:
        assert hasattr(optimizers, name)
    for new in re.findall(r"-> `(\w+)`(?:, `(\w+)`)?", arguments):
        for argument in filter(None, new):
            assert argument in inspect.signature(getattr(optimizers, names[0] if names else "Adam")).parameters
