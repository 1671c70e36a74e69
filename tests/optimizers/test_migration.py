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


def named(heading):
    """All names of theirs in the first column of a table."""
    return set(re.findall(r"\w+", " ".join(" ".join(code(theirs)) for theirs, *_ in rows(heading))))


def test_every_torch_optimizer_is_on_the_page():
    import torch

    classes = (cls for cls in vars(torch.optim).values() if isinstance(cls, type))
    names = {cls.__name__ for cls in classes if issubclass(cls, torch.optim.Optimizer)} - {"Optimizer"}
    assert "SparseAdam" in names and names <= named("From `torch.optim`")


def test_every_keras_optimizer_is_on_the_page():
    classes = (cls for cls in vars(keras.optimizers).values() if isinstance(cls, type))
    names = {cls.__name__ for cls in classes if issubclass(cls, keras.optimizers.Optimizer)} - {"Optimizer"}
    assert "Lamb" in names and names <= named("From Keras")


# All that tensorflow-addons 0.23, the last one, has in `tfa.optimizers`.
ADDONS = """AdaBelief AdamW COCOB ConditionalGradient CyclicalLearningRate DecoupledWeightDecayExtension
ExponentialCyclicalLearningRate LAMB LazyAdam Lookahead MovingAverage MultiOptimizer NovoGrad ProximalAdagrad
RectifiedAdam SGDW SWA Triangular2CyclicalLearningRate TriangularCyclicalLearningRate Yogi
extend_with_decoupled_weight_decay"""


def test_every_addons_optimizer_is_on_the_page():
    assert set(ADDONS.split()) == named("From TensorFlow Addons")


@pytest.mark.parametrize("row", rows("From TensorFlow Addons"), ids=lambda row: row[0])
def test_what_addons_users_are_sent_to_exists(row):
    _, ours, arguments, _ = row
    names = [name for name in code(ours) if name[0].isupper()]
    for name in names:
        assert hasattr(optimizers, name)
    for new in re.findall(r"-> `(\w+)`(?:, `(\w+)`)?", arguments):
        for argument in filter(None, new):
            assert argument in inspect.signature(getattr(optimizers, names[0] if names else "Adam")).parameters
