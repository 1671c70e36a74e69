"""State over several devices: `keras.distribution` on JAX, in a process of its own for each distribution."""

import functools
import json
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

from keras_dlopt import optimizers

LAYOUT_AND_LOSSES = """
import json, sys, keras, numpy as np
from keras import layers
from keras_dlopt import optimizers

def model_parallel():
    mesh = keras.distribution.DeviceMesh((1, 2), ["data", "model"], keras.distribution.list_devices())
    layouts = keras.distribution.LayoutMap(mesh)
    layouts[".*wide/kernel"] = (None, "model")
    return keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="data")

DISTRIBUTION = {distribution}
if DISTRIBUTION is not None:
    keras.distribution.set_distribution(DISTRIBUTION)
keras.utils.set_random_seed(1)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(64, 128)).astype("float32"), rng.integers(0, 4, 64)
model = keras.Sequential([layers.Input((128,)), layers.Dense(256, name="wide"), layers.Dense(4, name="head")])
optimizer = {optimizer}
model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
history = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
state = {{}}
for v in optimizer.variables[2:]:
    state[v.path.split("/")[-1]] = [list(v.shape), list(v.value.addressable_shards[0].data.shape)]
print(json.dumps([history.history["loss"], state]))
"""
ALONE = "None"
DATA = "keras.distribution.DataParallel()"
MODEL = "model_parallel()"


@functools.cache
def train(distribution, optimizer):
    code = textwrap.dedent(LAYOUT_AND_LOSSES).format(distribution=distribution, optimizer=optimizer)
    env = os.environ | {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_state_is_spread_over_the_data_axis_and_losses_stay_the_same():
    expected, _ = train(ALONE, "optimizers.Adam(0.01)")
    losses, state = train(DATA, "optimizers.Adam(0.01, shard_state=True)")
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert state["sequential_wide_kernel_m"] == [[128, 256], [64, 256]]
    assert state["flat_v"] == [[1284], [642]]


def test_without_it_every_device_keeps_all_of_the_state():
    expected, _ = train(ALONE, "optimizers.Adam(0.01)")
    losses, state = train(DATA, "optimizers.Adam(0.01)")
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert state["sequential_wide_kernel_m"] == [[128, 256], [128, 256]]


def test_state_follows_the_layout_of_its_variable():
    expected, _ = train(ALONE, "optimizers.Adam(0.01)")
    losses, state = train(MODEL, "optimizers.Adam(0.01)")
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert state["sequential_wide_kernel_m"] == [[128, 256], [128, 128]]


def test_where_nothing_can_be_spread_it_is_refused():
    weights = [keras.Variable(np.ones(3, "float32"))]
    wanted = "needs devices to spread" if keras.backend.backend() == "jax" else "needs Keras on JAX"
    with pytest.raises(ValueError, match=wanted):
        optimizers.Adam(shard_state=True).build(weights)
