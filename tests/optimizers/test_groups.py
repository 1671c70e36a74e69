"""Parameter groups, weight decay, and the table that says which variable goes where."""

import keras
import numpy as np
import pytest
from cases import CASES
from fitting import JIT, X, Y, fit, net
from keras import ops
from trajectories import START, run_eager, variables

from keras_dlopt import optimizers


def decay_only(optimizer, paths):
    """How much of each variable is left after one step without gradient."""
    weights = [keras.Variable(np.ones(3, "float32"), name=path) for path in paths]
    optimizer.build(weights)
    optimizer.apply([ops.zeros(3) for _ in paths], weights)
    return [float(np.asarray(w.value)[0]) for w in weights]


def test_decay_is_decoupled_and_can_be_excluded():
    optimizer = optimizers.Adam(0.5, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    assert decay_only(optimizer, ["kernel", "bias"]) == pytest.approx([0.95, 1.0])
    with pytest.raises(ValueError, match="before the optimizer is built"):
        optimizer.exclude_from_weight_decay(var_names=["kernel"])


def test_adan_decays_proximally():
    assert decay_only(optimizers.Adan(0.5, weight_decay=0.1), ["kernel"]) == pytest.approx([1 / 1.05])


@pytest.mark.both_backends
def test_groups_set_decay_and_rate_and_the_first_match_wins():
    groups = [
        {"match": "slow", "learning_rate": 0.1},
        {"match": lambda v: v.path.endswith("bias"), "weight_decay": 0.0},
        {"match": "fast", "weight_decay": 0.4},
    ]
    optimizer = optimizers.SGD(0.5, weight_decay=0.2, groups=groups)
    left = decay_only(optimizer, ["slow_bias", "fast_bias", "fast", "other"])
    assert left == pytest.approx([1 - 0.05 * 0.2, 1.0, 1 - 0.5 * 0.4, 1 - 0.5 * 0.2])


# Rules that measure something over all variables move each one differently when others are frozen.
APART = [case for case in CASES if type(case.make(0.1)).measure is optimizers.Optimizer.measure]


@pytest.mark.parametrize("case", APART, ids=lambda c: c.id)
def test_a_group_moves_as_an_optimizer_with_its_learning_rate(case):
    """Multiplier 0.5 on two variables, frozen third: as three optimizers would."""
    groups = [{"match": "w[01]", "learning_rate": 0.5}, {"match": "w2", "frozen": True}]
    weights = run_eager(case.make(0.02, groups=groups), steps=10)
    half, whole = run_eager(case.make(0.01), steps=10), run_eager(case.make(0.02), steps=10)
    for got, expected in zip(weights, [half[0], half[1], START[2], whole[3], whole[4]], strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


# With `init_eta` the first step is as long as that says, whatever the rate, as in the authors' code.
TOGETHER = [case for case in CASES if case not in APART and "init_eta" not in case.arguments]


@pytest.mark.parametrize("case", TOGETHER, ids=lambda c: c.id)
def test_what_is_measured_over_all_variables_moves_a_group_by_its_share_of_the_first_step(case):
    """Before anything was measured, the first step is as long as the rate says."""
    half = run_eager(case.make(0.02, groups=[{"match": "w[01]", "learning_rate": 0.5}]), steps=1)
    whole = run_eager(case.make(0.02), steps=1)
    for a, b, start, share in zip(half, whole, START, (0.5, 0.5, 1, 1, 1), strict=True):
        np.testing.assert_allclose(a - start, share * (b - start), rtol=1e-4, atol=1e-6)


# Frozen variables


def one_batch(optimizer, model=None):
    """How far two steps with one batch move the variables of a network."""
    model = model or net()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=JIT)
    before = [w.copy() for w in model.get_weights()]
    model.fit(X[:8], Y[:8], batch_size=8, epochs=2, shuffle=False, verbose=0)
    return [after - b for after, b in zip(model.get_weights(), before, strict=True)]


@pytest.mark.parametrize("name", optimizers.names())
def test_frozen_variables_never_move(name):
    groups = [{"match": "head", "frozen": True}]
    steps = one_batch(optimizers.get(name, learning_rate=0.1, weight_decay=0.1, groups=groups))
    assert np.abs(steps[0]).max() > 0
    assert not steps[2].any() and not steps[3].any()


@pytest.mark.both_backends
def test_frozen_variables_have_no_part_in_the_global_norm_and_obey_no_constraint():
    groups = [{"match": "hidden/kernel", "frozen": True}]
    frozen = net()
    frozen.layers[0].kernel.assign(frozen.layers[0].kernel * 10)  # longer than its constraint allows
    before = frozen.get_weights()[0]
    one_batch(optimizers.SGD(0.1, groups=groups), frozen)
    np.testing.assert_array_equal(frozen.get_weights()[0], before)
    weights = [keras.Variable([0.0], name="free"), keras.Variable([0.0], name="frozen")]
    optimizer = optimizers.SGD(1.0, global_clipnorm=1.0, groups=[{"match": "frozen", "frozen": True}])
    optimizer.apply([ops.array([0.5]), ops.array([100.0])], weights)
    assert [float(ops.convert_to_numpy(w)[0]) for w in weights] == [-0.5, 0.0]


def test_frozen_variables_have_no_state():
    optimizer, weights = optimizers.Adam(groups=[{"match": "w[34]", "frozen": True}]), variables()
    optimizer.build(weights)
    assert sum(int(np.prod(v.shape)) for v in optimizer.variables[2:]) == 2 * sum(w.size for w in START[:3])


def test_one_learning_rate_that_callbacks_read_and_set():
    optimizer = optimizers.Adam(0.01, groups=[{"match": "head", "learning_rate": 0.0}])
    model, _ = fit(optimizer, epochs=1)
    head = model.get_layer("head").get_weights()
    optimizer.learning_rate = 0.5
    assert float(ops.convert_to_numpy(optimizer.learning_rate)) == 0.5
    model.fit(X, Y, epochs=1, verbose=0)
    for a, b in zip(model.get_layer("head").get_weights(), head, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.both_backends
def test_callbacks_set_the_rate_of_all_groups():
    """Keras's `ReduceLROnPlateau` and `LearningRateScheduler`."""
    callbacks = keras.callbacks

    def train(*given):
        groups = [
            {"match": "hidden/kernel", "learning_rate": 0.5},
            {"match": "head", "optimizer": optimizers.SGD(0.2, momentum=0.9)},
        ]
        model, _ = fit(optimizers.SGD(0.1, groups=groups), epochs=1)
        before = model.get_weights()
        model.fit(X, Y, batch_size=64, epochs=1, shuffle=False, verbose=0, callbacks=given)
        moved = [after - b for after, b in zip(model.get_weights(), before, strict=True)]
        return model.optimizer, moved

    optimizer, whole = train(callbacks.LearningRateScheduler(lambda epoch, rate: rate))
    assert float(ops.convert_to_numpy(optimizer.learning_rate)) == pytest.approx(0.1)
    optimizer, third = train(callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 / 3))
    for a, b in zip(third[:2], whole[:2], strict=True):  # without momentum
        np.testing.assert_allclose(a, b / 3, rtol=1e-3, atol=1e-7)
    assert np.abs(third[2] - whole[2]).max() > 1e-3
    plateau = callbacks.ReduceLROnPlateau(monitor="loss", factor=0.25, patience=1, min_delta=100.0)
    model, _ = fit(optimizers.SGD(0.1, groups=[{"match": "head", "optimizer": "lion"}]), epochs=1)
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[plateau])
    assert float(ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(0.1 / 16)


@pytest.mark.parametrize("name", optimizers.names("wrapper"))
def test_groups_of_the_optimizer_in_a_wrapper(name):
    arguments = {"seed": 1} if name == "GradientNoise" else {}

    def steps(groups):
        inner = optimizers.SGD(1e-3, weight_decay=0.1, groups=groups)
        return one_batch(optimizers.get(name, optimizer=inner, **arguments))

    groups = [{"match": "hidden/bias", "frozen": True}, {"match": "head/kernel", "learning_rate": 0.5}]
    grouped, plain = steps(groups), steps(None)
    assert not grouped[1].any() and plain[1].any()
    np.testing.assert_allclose(grouped[0], plain[0], rtol=0.02, atol=1e-6)
    np.testing.assert_allclose(grouped[2], plain[2] / 2, rtol=0.02, atol=1e-6)


# Another rule for some variables


@pytest.mark.both_backends
def test_a_group_can_have_another_rule():
    """Each variable moves as under its own optimizer, at a rate in proportion to the main one."""
    groups = [
        {"match": "w[01]", "optimizer": optimizers.Lion(0.002, weight_decay=0.1)},
        {"match": "w2", "optimizer": "sgd", "learning_rate": 0.5},
    ]
    weights = run_eager(optimizers.Adam(0.02, groups=groups), steps=10)
    lion = run_eager(optimizers.Lion(0.002, weight_decay=0.1), steps=10)
    sgd, adam = run_eager(optimizers.SGD(0.01), steps=10), run_eager(optimizers.Adam(0.02), steps=10)
    for got, expected in zip(weights, [lion[0], lion[1], sgd[2], adam[3], adam[4]], strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.both_backends
def test_all_rules_follow_the_one_learning_rate():
    def train(rate_after):
        optimizer = optimizers.Adam(0.02, groups=[{"match": "head", "optimizer": optimizers.SGD(0.2)}])
        model, _ = fit(optimizer, epochs=1)
        head = model.get_layer("head").get_weights()
        optimizer.learning_rate = rate_after
        model.fit(X, Y, epochs=1, verbose=0)
        return head, model.get_layer("head").get_weights()

    before, after = train(0.0)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    before, after = train(0.02)
    assert not np.array_equal(before[0], after[0])


def test_a_group_with_another_rule_comes_back_from_its_config():
    optimizer = optimizers.Adam(0.02, groups=[{"match": "w0", "optimizer": optimizers.Lion(0.002, beta_1=0.8)}])
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    np.testing.assert_array_equal(run_eager(again, steps=5)[0], run_eager(optimizer, steps=5)[0])
    assert again.groups[0].optimizer.beta_1 == 0.8 and again.groups[0].learning_rate == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (keras.optimizers.Adam(), "an optimizer of keras_dlopt, or its name"),
        ("no_such_rule", "must be one of"),
        (optimizers.Lion(clipnorm=1.0), "clipnorm"),
    ],
)
def test_what_cannot_be_the_rule_of_a_group_is_refused(optimizer, message):
    with pytest.raises(ValueError, match=message):
        optimizers.Adam(groups=[{"match": "w0", "optimizer": optimizer}])


def test_beside_a_schedule_the_rate_of_a_group_is_given_as_a_multiple():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)
    with pytest.raises(ValueError, match='multiple of the main learning rate, in "learning_rate"'):
        optimizers.Adam(schedule, groups=[{"match": "w0", "optimizer": optimizers.Lion()}])
    optimizers.Adam(schedule, groups=[{"match": "w0", "optimizer": optimizers.Lion(), "learning_rate": 0.1}])


def test_describe_says_which_variable_goes_where():
    groups = [
        {"match": "hidden/bias", "weight_decay": 0.0},
        {"match": "head/kernel", "optimizer": "lion", "learning_rate": 0.1},
        {"match": "head/bias", "frozen": True},
    ]
    optimizer = optimizers.AdamW(0.01, weight_decay=0.02, groups=groups)
    table = optimizer.describe(net())
    rows = [(row.path.split("/", 1)[1], row.rule, row.learning_rate, row.weight_decay) for row in table.rows]
    assert [row[1:] for row in rows] == [
        ("AdamW", 1.0, 0.02),
        ("AdamW", 1.0, 0.0),
        ("Lion", 0.1, 0.0),
        ("frozen", 0.0, 0.0),
    ]
    assert [row.state_bytes for row in table.rows] == [8 * 160, 8 * 16, 4 * 64, 0]
    assert "total" in repr(table) and "1,664" in repr(table)
