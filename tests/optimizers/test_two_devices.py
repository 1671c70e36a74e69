"""Training over two devices has the losses of one: MirroredStrategy on TensorFlow, data parallel on JAX."""

import keras
import numpy as np
import pytest
from cases import ONE_A_FAMILY, ONE_EACH
from fitting import fit, net

pytestmark = pytest.mark.both_backends
TENSORFLOW = keras.backend.backend() == "tensorflow"
# On TensorFlow `test_conformance.py` holds the steps of every rule on two replicas against its reference.
RULES = ONE_A_FAMILY if TENSORFLOW else ONE_EACH


@pytest.fixture
def two_devices(request):
    """A scope in which models are made and trained over two devices."""
    if TENSORFLOW:
        return request.getfixturevalue("mirrored").scope()
    return keras.distribution.DataParallel(devices=keras.distribution.list_devices()[:2]).scope()


@pytest.mark.parametrize("case", RULES, ids=lambda c: c.id)
def test_losses_are_those_of_one_device(case, two_devices):
    _, expected = fit(case.make(0.01, weight_decay=0.01), epochs=2)
    with two_devices:
        _, losses = fit(case.make(0.01, weight_decay=0.01), epochs=2, model=net())
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
