"""A hyperparameter in the compiled step is what its schedule says, and the optimizer's own number again afterwards."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dlopt import callbacks, optimizers, schedules, step

JAX = keras.backend.backend() == "jax"
BATCH, BATCHES = 4, 10
X = np.random.default_rng(0).normal(size=(BATCH * BATCHES, 3)).astype("float32")
Y = X[:, :2]
RISING = schedules.Ramp(0.95, 12, 0.6)


def make_model(optimizer, **kwargs):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((3,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.compile(optimizer, "mse", **{"jit_compile": JAX, **kwargs})
    return model


def fit(model, *used, **kwargs):
    return model.fit(X, Y, BATCH, shuffle=False, verbose=0, callbacks=list(used), **kwargs)


def by_hand(optimizer, values, epochs=1):
    """The weights of a run that makes one Python call a step, with the number set before each: name -> schedule."""
    model = make_model(optimizer, run_eagerly=True, jit_compile=False)
    for t in range(epochs * BATCHES):
        for name, schedule in values.items():
            setattr(optimizer, name, float(schedule(t)))
        rows = slice(BATCH * (t % BATCHES), BATCH * (t % BATCHES + 1))
        model.train_on_batch(X[rows], Y[rows])
    return model.get_weights()


def difference(one, other):
    return max(np.abs(a - b).max() for a, b in zip(one, other, strict=True))


KERAS, OURS = keras.optimizers, optimizers
CASES = [
    (KERAS.SGD, "momentum", {"momentum": 0.9}),
    (KERAS.SGD, "momentum", {"momentum": 0.9, "nesterov": True}),
    (KERAS.SGD, "weight_decay", {"weight_decay": 0.1}),
    (KERAS.AdamW, "weight_decay", {}),
    (KERAS.Adam, "beta_1", {}),
    (KERAS.Adam, "beta_2", {}),
    (KERAS.Adamax, "beta_1", {}),
    (KERAS.Nadam, "beta_1", {}),
    (KERAS.Lion, "beta_1", {}),
    (KERAS.Lamb, "beta_1", {}),
    (KERAS.RMSprop, "rho", {}),
    (KERAS.RMSprop, "momentum", {"momentum": 0.9}),
    (KERAS.Muon, "momentum", {}),
    (KERAS.Muon, "adam_beta_1", {}),
    (KERAS.Ftrl, "l2_regularization_strength", {"l2_regularization_strength": 0.1}),
    (OURS.SGD, "momentum", {"momentum": 0.9}),
    (OURS.SGD, "weight_decay", {"weight_decay": 0.1}),
    (OURS.AdamW, "weight_decay", {}),
    (OURS.AdamW, "beta_1", {"flat_below": 0}),
    (OURS.Adam, "beta_2", {}),
    (OURS.Nadam, "beta_1", {}),
    (OURS.Lion, "beta_2", {}),
    (OURS.Lamb, "beta_1", {}),
    (OURS.RMSprop, "rho", {}),
    (OURS.Adan, "beta_3", {}),
    (OURS.AdaBelief, "beta_1", {}),
    (OURS.RAdam, "beta_1", {}),
    (OURS.Adan, "weight_decay", {"weight_decay": 0.1}),
    (OURS.Muon, "momentum", {}),
    (OURS.SOAP, "beta_1", {}),
    (OURS.GradientDescent, "weight_decay", {"weight_decay": 0.1}),
]


def make(kind, arguments):
    arguments = dict(arguments)
    below = arguments.pop("flat_below", None)
    optimizer = kind(learning_rate=0.02, **arguments)
    if below is not None:
        optimizer.flat_below = below
    return optimizer


@pytest.mark.both_backends
@pytest.mark.parametrize(
    "kind, of, arguments", CASES, ids=[f"{k.__module__[:5]} {k.__name__} {of}" for k, of, _ in CASES]
)
def test_trains_as_if_set_by_hand_before_every_step(kind, of, arguments):
    model = make_model(make(kind, arguments), jit_compile=True, steps_per_execution=5)
    before, attributes = getattr(model.optimizer, of), set(vars(model.optimizer))
    follow = step.Follow(model.optimizer, of, RISING)
    step.attach(model.optimizer, follow, model)
    fit(model)
    assert follow.latest() == pytest.approx(float(RISING(BATCHES - 1)))
    follow.put_back()
    assert getattr(model.optimizer, of) is before
    assert attributes <= set(vars(model.optimizer)) and "apply" not in vars(model.optimizer)
    weights = model.get_weights()
    assert difference(weights, by_hand(make(kind, arguments), {of: RISING})) < 5e-6
    assert difference(weights, by_hand(make(kind, arguments), {})) > 1e-4


WAYS = {
    "plain": {"jit_compile": JAX},
    "jit": {"jit_compile": True},
    "execution of 4": {"steps_per_execution": 4},
    "accumulation": {"gradient_accumulation_steps": 2},
    "eager": {"run_eagerly": True, "jit_compile": False},
}


@pytest.mark.both_backends
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("library", [KERAS, OURS], ids=["Keras", "ours"])
def test_every_way_to_run_a_step(way, library):
    if JAX and way == "eager":
        pytest.skip("an uncompiled step is traced too on JAX")
    kwargs = dict(WAYS[way])
    more = {n: kwargs.pop(n) for n in ("gradient_accumulation_steps",) if n in kwargs}
    optimizer = library.SGD(0.02, momentum=0.9, weight_decay=0.1, **more)
    model = make_model(optimizer, **kwargs)
    decay = schedules.LinearDecay(0.5, 12)
    used = [callbacks.Ramp(0.95, start=0.6, of="momentum", steps=12)]
    used += [callbacks.LinearDecay(0.5, of="weight_decay", steps=12)]
    history = fit(model, *used).history
    assert history["momentum"] == pytest.approx([float(RISING(9))])
    assert history["weight_decay"] == pytest.approx([float(decay(9))])
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 0.1)
    expected = by_hand(
        library.SGD(0.02, momentum=0.9, weight_decay=0.1, **more), {"momentum": RISING, "weight_decay": decay}
    )
    assert difference(model.get_weights(), expected) < 1e-6


@pytest.mark.parametrize("library", [KERAS, OURS], ids=["Keras", "ours"])
def test_mirrored(library, mirrored):
    expected = by_hand(library.SGD(0.02, momentum=0.9), {"momentum": RISING})
    with mirrored.scope():
        model = make_model(library.SGD(0.02, momentum=0.9))
    fit(model, callbacks.Ramp(0.95, start=0.6, of="momentum", steps=12))
    assert difference(model.get_weights(), expected) < 1e-6
    assert model.optimizer.momentum == 0.9


@pytest.mark.both_backends
def test_one_cycle_of_rate_and_momentum_is_torchs():
    import torch

    steps = 2 * BATCHES
    model = make_model(OURS.GradientDescent(0.01))  # only to have the same weights
    start = model.get_weights()
    weight = [torch.tensor(w, requires_grad=True) for w in start]
    theirs = torch.optim.Adam(weight, lr=0.01, betas=(0.9, 0.999), eps=1e-7)
    cycle = torch.optim.lr_scheduler.OneCycleLR(theirs, 0.05, steps)
    for t in range(steps):
        rows = slice(BATCH * (t % BATCHES), BATCH * (t % BATCHES + 1))
        hidden = torch.tanh(torch.tensor(X[rows]) @ weight[0] + weight[1])
        loss = torch.mean((hidden @ weight[2] + weight[3] - torch.tensor(Y[rows])) ** 2)
        theirs.zero_grad()
        loss.backward()
        theirs.step()
        if t < steps - 1:
            cycle.step()
    model = make_model(OURS.Adam(0.01), steps_per_execution=4)
    fit(model, callbacks.OneCycle(0.05), callbacks.OneCycleMomentum(of="beta_1"), epochs=2)
    # Adam's epsilon stands elsewhere in torch.
    assert difference(model.get_weights(), [w.detach().numpy() for w in weight]) < 1e-3


class Break(Exception):
    pass


class BreakAt(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise Break


@pytest.mark.both_backends
def test_resumes_in_the_middle(tmp_path):
    def cycle():
        return [callbacks.OneCycle(0.05), callbacks.OneCycleMomentum()]

    whole = make_model(KERAS.SGD(0.01, momentum=0.9))
    fit(whole, *cycle(), epochs=3)
    backup = keras.callbacks.BackupAndRestore
    with pytest.raises(Break):
        fit(make_model(KERAS.SGD(0.01, momentum=0.9)), *cycle(), backup(tmp_path), BreakAt(2), epochs=3)
    resumed = make_model(KERAS.SGD(0.01, momentum=0.9))
    fit(resumed, *cycle(), backup(tmp_path), epochs=3)
    assert difference(resumed.get_weights(), whole.get_weights()) < 1e-6
    assert (resumed.optimizer.momentum, float(resumed.optimizer.learning_rate)) == pytest.approx((0.9, 0.01))


@pytest.mark.both_backends
def test_a_run_that_broke_off_is_put_back_by_the_next():
    model = make_model(KERAS.SGD(0.01, momentum=0.9))
    held = callbacks.OneCycleMomentum()
    with pytest.raises(Break):
        fit(model, held, BreakAt(1), epochs=2)
    history = fit(model, callbacks.OneCycle(0.05)).history  # of something else: momentum must not follow any longer
    assert "learning_rate" in history and "momentum" not in history
    assert "apply" not in vars(model.optimizer) and model.optimizer.momentum == 0.9


@pytest.mark.both_backends
def test_files_saved_in_the_middle_hold_the_number(tmp_path):
    path = str(tmp_path / "{batch}.keras")
    used = [callbacks.OneCycleMomentum(), keras.callbacks.ModelCheckpoint(path, save_freq=5)]
    fit(make_model(KERAS.SGD(0.01, momentum=0.9)), *used)
    optimizer = keras.models.load_model(path.format(batch=5)).optimizer
    assert optimizer.momentum == 0.9 and int(optimizer.iterations) == 5


@pytest.mark.both_backends
def test_wrappers_are_looked_through_and_groups_keep_their_own():
    groups = [{"match": "bias", "weight_decay": 0.3}]

    def make_optimizer():
        return OURS.AdamW(0.02, weight_decay=0.1, groups=groups)

    model = make_model(OURS.Cautious(make_optimizer()))
    fit(model, callbacks.Ramp(0.95, start=0.6, of="weight_decay", steps=12))
    inner = make_optimizer()
    wrapped = OURS.Cautious(inner)
    expected = make_model(wrapped, run_eagerly=True, jit_compile=False)
    for t in range(BATCHES):
        inner.weight_decay = float(RISING(t))
        expected.train_on_batch(X[BATCH * t : BATCH * (t + 1)], Y[BATCH * t : BATCH * (t + 1)])
    assert difference(model.get_weights(), expected.get_weights()) < 1e-6
    assert model.optimizer.inner_optimizer.weight_decay == 0.1


@pytest.mark.both_backends
def test_under_loss_scaling():
    model = make_model(KERAS.LossScaleOptimizer(KERAS.SGD(0.02, momentum=0.9), initial_scale=8.0))
    fit(model, callbacks.Ramp(0.95, start=0.6, of="momentum", steps=12))
    assert difference(model.get_weights(), by_hand(KERAS.SGD(0.02, momentum=0.9), {"momentum": RISING})) < 1e-6


class Constants(keras.optimizers.SGD):
    """An optimizer that makes a constant of its momentum."""

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, gradient * float(self.momentum))


REFUSED = {
    "no momentum": (KERAS.SGD(), "momentum", r"`SGD\(momentum=...\)` must be a float above 0"),
    "no decay": (KERAS.Adam(), "weight_decay", r"`Adam\(weight_decay=...\)` must be a float above 0"),
    "unknown": (KERAS.Adam(), "beta", r"`Follow\(of=...\)` must be one of beta_1, beta_2.*: the numbers of Adam"),
    "a switch": (KERAS.SGD(momentum=0.9), "nesterov", r"`SGD\(nesterov=...\)` must be a float above 0"),
    "the loss's scale": (
        KERAS.SGD(loss_scale_factor=2.0),
        "loss_scale_factor",
        r"must be a float above 0 that only its update",
    ),
    "outside of the update": (
        OURS.ScheduleFreeAdamW(),
        "beta_1",
        r"`ScheduleFreeAdamW\(beta_1=...\)` must be .* only its",
    ),
    "above 1": (KERAS.Adam(), "beta_1", r"`Adam\(beta_1=...\)` must be below 1 during the whole run. .*=1.2"),
    "a constant": (
        Constants(momentum=0.9),
        "momentum",
        r"`Constants\(momentum=...\)` cannot follow .* makes a constant",
    ),
    "a constant of ours": (OURS.Prodigy(), "beta_2", r"`Prodigy\(beta_2=...\)` cannot follow .* makes a constant"),
    "of the first step": (
        KERAS.Adagrad(),
        "initial_accumulator_value",
        r"`Adagrad\(initial_accumulator_value=...\)` cannot follow .* update does not use it",
    ),
}


@pytest.mark.both_backends
@pytest.mark.parametrize("optimizer, of, message", REFUSED.values(), ids=REFUSED)
def test_refused(optimizer, of, message):
    with pytest.raises(ValueError, match=message):
        fit(make_model(optimizer), callbacks.Constant(1.2 if "below 1" in message else 0.9, of=of))


@pytest.mark.both_backends
def test_two_schedules_of_one_thing_are_refused():
    with pytest.raises(ValueError, match="must be what no other schedule of the run follows"):
        fit(make_model(KERAS.SGD(0.01)), callbacks.OneCycle(0.1), callbacks.WarmupCosine(0.1))


@pytest.mark.both_backends
def test_arithmetic_is_that_of_the_number():
    from keras_dlopt.step.number import StepNumber

    x = StepNumber(ops.convert_to_tensor(0.25), 0.5, "SGD(momentum=...)", [])
    assert x and x != 0 and x < 1 and not x >= 1
    tensor = ops.convert_to_tensor([2.0, 4.0])
    for value, expected in [
        (1 - x, 0.75),
        (-x + 2, 1.75),
        (2 * x / 4, 0.125),
        (1 / x, 4.0),
        (x**2, 0.0625),
        (2**x, 2**0.25),
        (x * x - x, 0.0625 - 0.25),
        (tensor * x, [0.5, 1.0]),
        (x - tensor, [-1.75, -3.75]),
        (tensor / x, [8.0, 16.0]),
        (ops.sqrt(x), 0.5),
        (ops.cast(x, "float64" if not JAX else "float32"), 0.25),
    ]:
        np.testing.assert_allclose(np.array(ops.convert_to_tensor(value)), expected, rtol=1e-6)
    half = ops.cast(tensor, "float16")
    assert keras.backend.standardize_dtype((half * (1 - x)).dtype) in ("float16", "float32" if JAX else "float16")
    for constant in (lambda: float(x), lambda: x < 0.3, lambda: int(x), lambda: hash(x)):
        with pytest.raises(
            ValueError, match=r"`SGD\(momentum=...\)` cannot follow a schedule: .* makes a constant of it"
        ):
            constant()
