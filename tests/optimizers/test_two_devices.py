"""Training over two devices has the losses of one: MirroredStrategy on TensorFlow, data parallel on JAX."""

import keras
import numpy as np
import pytest
from cases import ONE_EACH
from fitting import fit, net

pytestmark = pytest.mark.both_backends


@pytest.fixture
def two_devices(request):
    """A scope in which models are made and trained over two devices."""
    if keras.backend.backend() == "tensorflow":
        return request.getfixturevalue("mirrored").scope()
    return keras.distribution.DataParallel(devices=keras.distribution.list_devices()[:2]).scope()


@pytest.mark.parametrize("case", ONE_EACH, ids=lambda c: c.id)
def test_losses_are_those_of_one_device(case, two_devices):
    if case.name == "SophiaG" and keras.backend.backend() == "tensorflow":
        pytest.skip("each replica draws labels of its own; see test_curvature.py")
    _, expected = fit(case.make(0.01, weight_decay=0.01), epochs=2)
    with two_devices:
        _, losses = fit(case.make(0.01, weight_decay=0.01), epochs=2, model=net())
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
