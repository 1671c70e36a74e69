"""Files and configs: an optimizer that is saved and loaded goes on as if it had never been away."""

import keras
import numpy as np
import pytest
from cases import ONE_A_FAMILY, ONE_EACH
from fitting import JIT, X, Y, fit
from keras import ops
from trajectories import variables

from keras_dlopt import optimizers


@pytest.mark.parametrize("case", ONE_EACH, ids=lambda c: c.id)
def test_config_round_trip(case):
    optimizer = case.make(0.02, weight_decay=0.1, groups=[{"match": "head", "frozen": True}], clipnorm=1.0)
    config = keras.optimizers.serialize(optimizer)
    again = keras.optimizers.deserialize(config)
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, id=c.id, marks=pytest.mark.both_backends if c in ONE_A_FAMILY else ()) for c in ONE_EACH],
)
def test_saved_and_loaded_training_goes_on_bit_for_bit(case, tmp_path, monkeypatch):
    # The kernels alone, the biases in flat buffers; in the loaded optimizer too, as sums over all variables (DoG's
    # norms) are rounded by how they are packed.
    monkeypatch.setattr(optimizers.TABLE[case.name].optimizer, "flat_below", 40)

    model, _ = fit(case.make(0.01, groups=[{"match": "head", "learning_rate": 0.5}]), epochs=2)
    model.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    assert int(loaded.optimizer.iterations) == 16
    loaded.compile(loaded.optimizer, loaded.loss, jit_compile=JIT)
    for training in (model, loaded):
        training.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.both_backends
def test_a_file_does_not_depend_on_how_slots_were_packed(tmp_path):
    saved, weights = optimizers.Adam(), variables()
    saved.apply([ops.ones(w.shape) for w in weights], weights)
    store = {}
    saved.save_own_variables(store)
    unpacked, others = optimizers.Adam(), variables()
    unpacked.flat_below = 0
    unpacked.build(others)
    unpacked.load_own_variables({k: np.asarray(v)[...] for k, v in store.items()})
    again = {}
    unpacked.save_own_variables(again)
    assert store.keys() == again.keys()
    for key, value in store.items():
        np.testing.assert_array_equal(value, again[key])


def test_state_of_another_optimizer_is_refused():
    saved, weights = optimizers.Lion(), variables()
    saved.build(weights)
    store = {}
    saved.save_own_variables(store)
    other = optimizers.Adam()
    other.build(variables())
    with pytest.raises(ValueError, match="not that of this `Adam`.*v.0"):
        other.load_own_variables(store)
