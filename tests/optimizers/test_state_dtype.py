"""State in bfloat16 and 8 bits: for every rule, at the published sizes, in files, on replicas, a tile at a time."""

import functools

import keras
import numpy as np
import pytest
from cases import ONE_EACH
from fitting import JIT, X, Y, fit
from keras import ops
from trajectories import RUNNERS, START, run_compiled, run_eager, run_mirrored

from keras_dlopt import optimizers
from keras_dlopt.optimizers.executor import tiles, update


def asked(state_dtype):
    """Groups that ask for low precision in all variables, small ones too."""
    return [{"match": "", "state_dtype": state_dtype}]


def stored(optimizer):
    """What a file of the optimizer holds: name of the array -> values."""
    arrays = {}
    optimizer.save_own_variables(arrays)
    return arrays


def coded(optimizer):
    """The slots in low precision, as (bucket, name)."""
    return [(bucket, slot) for bucket in optimizer._plan.buckets for slot in bucket.codecs]


def has_codecs(case):
    optimizer = case.make(0.02, groups=asked("int8"))
    optimizer.build([keras.Variable(np.zeros((6, 4), "float32"), name="kernel")])
    return bool(coded(optimizer))


LOW = [case for case in ONE_EACH if has_codecs(case)]


@functools.cache
def in_float32(case_id):
    optimizer = next(case for case in LOW if case.id == case_id).make(0.02)
    return run_compiled(optimizer), stored(optimizer)


SETTINGS = [(case, "int8", 0.05) for case in LOW] + [(case, "bfloat16", 0.01) for case in LOW[::5]]
ON_JAX = LOW[::2]  # the codecs are the same


@pytest.mark.parametrize(
    ("case", "state_dtype", "most"),
    [
        pytest.param(
            *setting,
            id="-".join(map(str, (setting[0].id, *setting[1:]))),
            marks=[pytest.mark.both_backends] if setting[0] in ON_JAX else [],
        )
        for setting in SETTINGS
    ],
)
def test_the_way_is_that_of_float32_but_for_noise(case, state_dtype, most):
    """200 steps: root mean square of the weights' differences, relative to the largest weight."""
    weights = run_compiled(case.make(0.02, groups=asked(state_dtype)))
    expected, _ = in_float32(case.id)
    squares = [np.square(w - e).ravel() for w, e in zip(weights, expected, strict=True)]
    assert np.sqrt(np.mean(np.concatenate(squares))) <= most * max(np.abs(e).max() for e in expected)


@pytest.mark.parametrize("case", [c for c in LOW if c.name != "SophiaH"], ids=lambda c: c.id)  # given no sign there
def test_slots_without_a_sign_are_declared(case):
    """A slot is `nonnegative` exactly if no element of it was ever below zero, in some larger variable."""
    optimizer = case.make(0.02, groups=asked("int8"))
    optimizer.build([keras.Variable(w, name=f"w{i}") for i, w in enumerate(START)])
    _, arrays = in_float32(case.id)
    for bucket, slot in coded(optimizer):
        values = [arrays[f"{slot}.{i}"] for i in bucket.indices if START[i].size > 20]
        for value in values:
            assert (value.min() >= 0) == (slot in bucket.owner.nonnegative), slot


@pytest.mark.both_backends
def test_bytes_of_state():
    """Large variables alone: small ones and embeddings stay as they are unless their group asks."""
    shapes = {"kernel": (1024, 1024), "bias": (1024,), "embeddings": (512, 1024)}
    weights = [keras.Variable(np.zeros(shape, "float32"), name=name) for name, shape in shapes.items()]

    def bytes_a_parameter(optimizer):
        rows = {row.path.split("/")[-1]: row for row in optimizer.describe(Model(weights)).rows}
        return [rows[name].state_bytes / np.prod(shape) for name, shape in shapes.items()]

    assert bytes_a_parameter(optimizers.Adam()) == [8, 8, 8]
    assert bytes_a_parameter(optimizers.Adam(state_dtype="bfloat16")) == [4, 8, 8]
    assert bytes_a_parameter(optimizers.Adam(state_dtype="int8")) == [2 + 8 / 256, 8, 8]
    group = {"match": "embeddings|bias", "state_dtype": "int8"}
    assert bytes_a_parameter(optimizers.Adam(groups=[group])) == [8, 2 + 8 / 256, 2 + 8 / 256]
    assert bytes_a_parameter(optimizers.Lion(state_dtype="int8")) == [1 + 4 / 256, 4, 4]


class Model:
    def __init__(self, trainable_variables):
        self.trainable_variables = trainable_variables


def test_weights_kept_as_state_keep_their_precision():
    optimizer = optimizers.Prodigy(groups=asked("int8"))
    optimizer.build([keras.Variable(START[3], name="w")])
    dtypes = {v.path.split("_", 1)[1]: keras.backend.standardize_dtype(v.dtype) for v in optimizer.variables[2:]}
    assert dtypes["start"] == "float32" and dtypes["m_codes"] == "int8" and dtypes["v_codes"] == "uint8"


def constant_gradients(optimizer, shape, steps=20):
    """The weights and the file after steps in which all elements are alike: every code is exact then."""
    weight = keras.Variable(np.ones(shape, "float32"), name="w")
    optimizer.build([weight])

    def step(g):
        optimizer.apply([ops.broadcast_to(g, shape)], [weight])

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        step = tf.function(step, autograph=False)
    for i in range(steps):
        step(ops.convert_to_tensor(np.float32(np.sin(i) + 0.5)))
    return ops.convert_to_numpy(weight), stored(optimizer)


@pytest.mark.both_backends
@pytest.mark.parametrize("state_dtype", ["float32", "int8"])
@pytest.mark.parametrize("name", ["Adam", "AdEMAMix", "Prodigy", "MADGRAD"])
def test_a_tile_at_a_time_is_all_at_once(name, state_dtype, monkeypatch):
    """With all elements alike, 8 bits are exact: the same weights, whole and in four tiles."""
    kwargs = {"d0": 0.1} if name == "Prodigy" else {}
    whole, _ = constant_gradients(optimizers.get(name, **kwargs), (16, 64))
    monkeypatch.setattr(tiles, "TILE", 256)
    counts = []
    count_tiles = update.tile_count
    monkeypatch.setattr(update, "tile_count", lambda size: counts.append(count_tiles(size)) or counts[-1])
    tiled, arrays = constant_gradients(optimizers.get(name, groups=asked(state_dtype), **kwargs), (16, 64))
    np.testing.assert_allclose(tiled, whole, rtol=2e-5)
    assert ("m.0.scales" in arrays) == (state_dtype == "int8" and name != "MADGRAD")
    if state_dtype == "int8" and keras.backend.backend() == "tensorflow" and name != "Prodigy":
        assert set(counts) == {4}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX compiles with XLA, which fuses by itself")
def test_never_is_all_of_the_state_decoded():
    """As many float32 tensors of a variable's size in the graph for three slots as for one."""
    import tensorflow as tf

    size = 2 * tiles.TILE

    def large_tensors(optimizer):
        weights = [keras.Variable(np.zeros(size, "float32"), name=f"w{i}") for i in range(2)]
        optimizer.build(weights)
        step = tf.function(lambda *grads: optimizer.apply(grads, weights), autograph=False)
        graph = step.get_concrete_function(*[tf.TensorSpec((size,), "float32")] * 2).graph
        tensors = [output for operation in graph.get_operations() for output in operation.outputs]
        return sum(t.dtype == "float32" and t.shape.num_elements() == size for t in tensors)

    one, three = (make(0.1, state_dtype="int8") for make in (optimizers.Lion, optimizers.AdEMAMix))
    assert large_tensors(one) == large_tensors(three) < large_tensors(optimizers.AdEMAMix())


@pytest.mark.parametrize("state_dtype", ["bfloat16", pytest.param("int8", marks=pytest.mark.both_backends)])
@pytest.mark.parametrize("name", ["Adam", "Muon", "SOAP", "Prodigy", "ScheduleFreeAdamW", "Adafactor"])
def test_saved_and_loaded_training_goes_on_bit_for_bit(name, state_dtype, tmp_path):
    model, _ = fit(optimizers.get(name, learning_rate=0.01, groups=asked(state_dtype)), epochs=2)
    model.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    before, after = stored(model.optimizer), stored(loaded.optimizer)
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert value.dtype == after[key].dtype
        np.testing.assert_array_equal(value, after[key])
    loaded.compile(loaded.optimizer, loaded.loss, jit_compile=JIT)
    for training in (model, loaded):
        training.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_of_another_precision():
    """8 bits and float32 do not fit each other; bfloat16 and float32 do, and are converted."""

    def built(**kwargs):
        optimizer = optimizers.Lion(**kwargs)
        optimizer.build([keras.Variable(START[3], name="w")])
        return optimizer

    small, half, full = built(groups=asked("int8")), built(groups=asked("bfloat16")), built()
    with pytest.raises(ValueError, match="not that of this `Lion`.*m.0.scales"):
        small.load_own_variables(stored(full))
    full._plan.buckets[0].slots["m"].assign(ops.full((3 * 3 * 4 * 8,), 1.5))
    half.load_own_variables({k: np.asarray(v) for k, v in stored(full).items()})
    np.testing.assert_array_equal(stored(half)["m.0"].astype("float32"), 1.5)


@pytest.mark.skipif("function" not in RUNNERS, reason="MirroredStrategy is TensorFlow's")
def test_two_replicas_keep_equal_codes(mirrored):
    """Halves of gradients sum to the gradients exactly, and the dither is a function of the step."""
    alone = run_compiled(optimizers.Adam(0.02, groups=asked("int8")))
    together = run_mirrored(lambda: optimizers.Adam(0.02, groups=asked("int8")), mirrored)
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.both_backends
def test_a_step_that_is_not_finite_leaves_codes_and_scales():
    optimizer = optimizers.Adam(0.1, groups=asked("int8"), skip_nonfinite=True)
    weight = keras.Variable(START[3], name="w")
    optimizer.apply([ops.convert_to_tensor(START[3])], [weight])
    before = stored(optimizer) | {"w": ops.convert_to_numpy(weight)}
    optimizer.apply([ops.convert_to_tensor(START[3] / np.float32(0))], [weight])
    after = stored(optimizer) | {"w": ops.convert_to_numpy(weight)}
    for key in before.keys() - {"0"}:  # the counter of steps goes on
        np.testing.assert_array_equal(after[key], before[key])


def test_variables_without_a_gradient_keep_theirs():
    optimizer = optimizers.Muon(0.1, groups=asked("int8"), exclude_head=False)
    weights = [keras.Variable(START[2], name=f"kernel{i}") for i in range(2)]
    for gradients in ([START[2]] * 2, [START[2], None]):
        optimizer.apply([None if g is None else ops.convert_to_tensor(g) for g in gradients], weights)
        arrays = stored(optimizer)
    once = optimizers.Muon(0.1, groups=asked("int8"), exclude_head=False)
    once.apply([ops.convert_to_tensor(START[2])] * 2, [keras.Variable(START[2], name=f"kernel{i}") for i in range(2)])
    np.testing.assert_array_equal(arrays["m.1"], stored(once)["m.1"])
    assert (arrays["m.0"] != arrays["m.1"]).any()


def test_sizes_that_are_no_tiles():
    assert [tiles.tile_count(n) for n in (10, 2**18, 2**24, 768 * 3072, 1001 * 1001)] == [1, 1, 64, 9, 1]


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match="`Adam.state_dtype=....` must be one of 'float32', 'bfloat16', 'int8'. Rec"):
        optimizers.Adam(state_dtype="int4")
    with pytest.raises(ValueError, match="groups.state_dtype.*Received: .*'half'"):
        optimizers.Adam(groups=asked("half"))


def test_eager_and_compiled_agree():
    """Up to a rounding that puts a value on the other side of its threshold: at most a code of a few elements."""
    eager, compiled = (run(optimizers.Adam(0.02, groups=asked("int8")), steps=40) for run in (run_eager, run_compiled))
    for a, b in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)
