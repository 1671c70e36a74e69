"""The rate used in every compiled step is the schedule's, for the whole run and nothing but the run."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dlopt import callbacks, schedules, step

JAX = keras.backend.backend() == "jax"
BATCH, PER_EPOCH, EPOCHS = 4, 10, 3
STEPS = PER_EPOCH * EPOCHS
X = np.random.default_rng(0).normal(size=(BATCH * PER_EPOCH, 3)).astype("float32")
Y = X[:, :1]
BASE = 0.0123

SCHEDULES = {
    "warmup_cosine": (callbacks.WarmupCosine(0.1, warmup=0.2), schedules.WarmupCosine(0.1, STEPS, warmup=0.2)),
    "one_cycle": (callbacks.OneCycle(0.1, warmup=7), schedules.OneCycle(0.1, STEPS, warmup=7)),
}


class Rates(keras.callbacks.Callback, step.Observer):
    """Keeps the rate that each step used, taken inside it, one row after another over several runs."""

    def __init__(self, size=100):
        keras.callbacks.Callback.__init__(self)
        self.size = size

    def build(self, optimizer, variables):
        self.rates = self.add_variable((self.size,), name="rates")
        self.used = self.add_variable((), dtype="int32", name="used")

    def after_apply(self, gradients, variables):
        rate = ops.reshape(ops.convert_to_tensor(self.optimizer.learning_rate), (1,))
        rates, used = ops.convert_to_tensor(self.rates), ops.convert_to_tensor(self.used)
        self.assign(self.rates, ops.slice_update(rates, ops.reshape(used, (1,)), rate))
        self.assign(self.used, self.used + 1)

    def on_train_begin(self, logs=None):
        step.attach(self.model.optimizer, self, self.model)

    def on_train_end(self, logs=None):
        step.detach(self.model.optimizer, self)

    def read(self):
        return ops.convert_to_numpy(self.rates)[: int(ops.convert_to_numpy(self.used))]


def make_model(rate=BASE, jit=JAX, per_execution=1, scaled=False, **optimizer):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    inner = keras.optimizers.SGD(rate, **optimizer)
    inner = keras.optimizers.LossScaleOptimizer(inner, initial_scale=8.0) if scaled else inner
    model.compile(inner, "mse", jit_compile=jit, steps_per_execution=per_execution)
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, *used, epochs=EPOCHS, **kwargs):
    return model.fit(X, Y, BATCH, epochs, verbose=0, callbacks=list(used), **kwargs).history


def assert_rates(rates, schedule, steps=None):
    expected = np.array(schedule(np.arange(STEPS) if steps is None else np.asarray(steps)))
    np.testing.assert_allclose(rates, expected, rtol=0, atol=1e-6 * expected.max())


def rate_of(model):
    return float(ops.convert_to_numpy(model.optimizer.learning_rate))


CASES = {
    "plain": {"jit": False},
    "jit": {"jit": True},
    "execution of 8": {"per_execution": 8},  # 8 and 2 of every epoch's 10 steps
    "jit, execution of 8": {"jit": True, "per_execution": 8},
    "loss scaling": {"scaled": True},
    "accumulation": {"gradient_accumulation_steps": 2},  # a step is a batch
}


@pytest.mark.both_backends
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_used_are_the_schedules(name, case):
    callback, schedule = SCHEDULES[name]
    model, rates = make_model(**case), Rates()
    attributes = set(vars(model.optimizer))
    history = fit(model, callback, rates)
    assert_rates(rates.read(), schedule)
    assert_rates(history["learning_rate"], schedule, [9, 19, 29])
    assert rate_of(model) == pytest.approx(BASE)
    assert set(vars(model.optimizer)) == attributes
    assert len(fit(model)["loss"]) == EPOCHS and rate_of(model) == pytest.approx(BASE)


def test_rates_used_are_the_schedules_mirrored(mirrored):
    with mirrored.scope():
        model = make_model()
    callback, schedule = SCHEDULES["warmup_cosine"]
    rates = Rates()
    fit(model, callback, rates)
    assert_rates(rates.read(), schedule)
    assert [float(v) for v in model.optimizer.learning_rate.value.values] == pytest.approx([BASE, BASE])


@pytest.mark.both_backends
@pytest.mark.parametrize("name", SCHEDULES)
def test_trains_exactly_as_the_schedule_in_the_optimizer(name):
    callback, schedule = SCHEDULES[name]
    keras.utils.set_random_seed(1)
    expected = fit(make_model(schedule))["loss"]
    keras.utils.set_random_seed(1)
    assert fit(make_model(), callback)["loss"] == pytest.approx(expected, rel=1e-6)


def made_from(schedule, **kwargs):
    """The callback of the schedule's name, with the schedule's arguments."""
    return getattr(callbacks, type(schedule).__name__)(**schedule.get_config(), **kwargs)


@pytest.mark.both_backends
@pytest.mark.parametrize("name", schedules.TABLE)
def test_every_schedule_is_a_callback(name):
    row = schedules.TABLE[name]
    callback, schedule = made_from(row.example, of="learning_rate"), row.example.over(STEPS)
    assert type(callback).__name__ == name and isinstance(callback, callbacks.ScheduleCallback)
    assert type(callback).from_config(callback.get_config()).get_config() == callback.get_config()
    assert made_from(row.example).of == row.of
    model, rates = make_model(per_execution=5), Rates()
    history = fit(model, callback, rates)
    assert_rates(rates.read(), schedule)
    assert_rates(history["learning_rate"], schedule, [9, 19, 29])
    assert rate_of(model) == pytest.approx(BASE)


@pytest.mark.both_backends
def test_a_model_that_is_built_by_its_first_batch():
    model, rates = keras.Sequential([keras.layers.Dense(1)]), Rates()
    model.compile(keras.optimizers.Adam(BASE), "mse")
    callback, schedule = SCHEDULES["warmup_cosine"]
    fit(model, callback, rates)
    assert_rates(rates.read(), schedule)


@pytest.mark.both_backends
def test_second_fit_begins_a_new_schedule():
    callback, schedule = SCHEDULES["one_cycle"]
    model, rates = make_model(), Rates()
    fit(model, callback)
    fit(model, callback, rates)
    assert_rates(rates.read(), schedule)


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
@pytest.mark.parametrize("order", [0, 1], ids=["schedule first", "backup first"])
def test_resumes_from_backup_and_restore(order, tmp_path):
    callback, schedule = SCHEDULES["warmup_cosine"]
    backup = keras.callbacks.BackupAndRestore(str(tmp_path))
    with pytest.raises(Break):
        fit(make_model(), callback, backup, BreakAt(2))
    model, rates = make_model(), Rates()
    restoring = keras.callbacks.BackupAndRestore(str(tmp_path))
    pair = (callback, restoring) if order == 0 else (restoring, callback)
    fit(model, *pair, rates)
    assert int(model.optimizer.iterations) == STEPS
    assert_rates(rates.read(), schedule, np.arange(20, 30))


@pytest.mark.both_backends
def test_resumes_from_a_saved_model_and_from_weights_alone(tmp_path):
    callback, schedule = SCHEDULES["one_cycle"]
    path = str(tmp_path / "{epoch}.keras")
    with pytest.raises(Break):
        fit(make_model(), callback, keras.callbacks.ModelCheckpoint(path), BreakAt(2))
    saved, rates = keras.models.load_model(path.format(epoch=2)), Rates()
    fit(saved, callback, rates, initial_epoch=2)
    assert_rates(rates.read(), schedule, np.arange(20, 30))
    fresh, rates = make_model(), Rates()  # its optimizer counts from 0
    fit(fresh, callback, rates, initial_epoch=2)
    assert_rates(rates.read(), schedule, np.arange(20, 30))


@pytest.mark.both_backends
def test_files_saved_in_the_middle_have_the_same_variables(tmp_path):
    callback, schedule = SCHEDULES["warmup_cosine"]
    path = str(tmp_path / "{batch}.keras")
    fit(make_model(), callback, keras.callbacks.ModelCheckpoint(path, save_freq=5), epochs=1)
    optimizer = keras.models.load_model(path.format(batch=5)).optimizer
    assert [v.name for v in optimizer.variables] == [v.name for v in make_model().optimizer.variables]
    assert int(optimizer.iterations) == 5


@pytest.mark.both_backends
def test_a_run_that_broke_off():
    model = make_model()
    attributes = set(vars(model.optimizer))
    with pytest.raises(Break):
        fit(model, callbacks.OneCycle(0.5), BreakAt(1))
    assert rate_of(model) == pytest.approx(BASE)  # nobody holds the callback
    assert set(vars(model.optimizer)) == attributes

    held = callbacks.OneCycle(0.5)
    with pytest.raises(Break):
        fit(model, held, BreakAt(1))
    assert rate_of(model) != pytest.approx(BASE)
    rates = Rates()
    fit(model, callbacks.OneCycle(0.1, warmup=7), rates)  # another one, held by nobody yet
    assert_rates(rates.read(), SCHEDULES["one_cycle"][1])
    assert rate_of(model) == pytest.approx(BASE)
    assert set(vars(model.optimizer)) == attributes


def endless():
    i = 0
    while True:
        rows = np.arange(i, i + BATCH) % len(X)
        yield X[rows], Y[rows]
        i += BATCH


@pytest.mark.both_backends
def test_data_of_unknown_length_need_steps():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH).filter(lambda x, y: True)
    # Without jit Keras counts one step more in every epoch: its counter moves although no batch came.
    model = make_model(jit=True)
    with pytest.raises(ValueError, match=r"`WarmupCosine\(steps=...\)` must be given, because the length of this"):
        model.fit(data, epochs=EPOCHS, verbose=0, callbacks=[callbacks.WarmupCosine(0.1)])
    rates = Rates()
    given = callbacks.WarmupCosine(0.1, warmup=0.2, steps=STEPS)
    model.fit(data, epochs=EPOCHS, verbose=0, callbacks=[given, rates])
    assert_rates(rates.read(), SCHEDULES["warmup_cosine"][1])
    rates = Rates()
    model.fit(data, epochs=1, verbose=0, callbacks=[callbacks.ExponentialDecay(0.1, every=5), rates])
    assert_rates(rates.read(), schedules.ExponentialDecay(0.1, every=5), np.arange(PER_EPOCH))


@pytest.mark.both_backends
def test_endless_data_take_steps_per_epoch():
    callback, schedule = SCHEDULES["one_cycle"]
    model, rates = make_model(per_execution=5), Rates()
    model.fit(endless(), steps_per_epoch=PER_EPOCH, epochs=EPOCHS, verbose=0, callbacks=[callback, rates])
    assert_rates(rates.read(), schedule)
    # Where executions do not fit into the epoch, Keras makes more steps than it says.
    with pytest.warns(UserWarning, match="16 steps were made where Keras announced 10"):
        make_model(per_execution=8).fit(endless(), steps_per_epoch=PER_EPOCH, epochs=1, verbose=0, callbacks=[callback])


@pytest.mark.both_backends
@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: callbacks.WarmupCosine(-0.1), r"`WarmupCosine\(peak=...\)` must be a finite number > 0"),
        (lambda: callbacks.WarmupCosine(0.1, warmup=0), r"`WarmupCosine\(warmup=...\)` must be a share"),
        (lambda: callbacks.WarmupCosine(0.1, floor=1.0), r"`WarmupCosine\(floor=...\)` must be at most peak=0.1"),
        (lambda: callbacks.WarmupCosine(0.1, steps=0), r"`WarmupCosine\(steps=...\)` must be a whole number"),
        (lambda: callbacks.OneCycle(0.1, warmup=20, steps=10), r"`OneCycle\(warmup=...\)` must be less than the 10"),
        (lambda: callbacks.StepDecay(0.1, every=0), r"`StepDecay\(every=...\)` must be a share of the run"),
        (lambda: callbacks.Join([0.1], []), r"`Join\(schedules=...\)` must be a schedule. Received: schedules=0.1"),
        (lambda: callbacks.OneCycle(0.1, div=0), r"`OneCycle\(div=...\)` must be a finite number >= 1"),
    ],
)
def test_bad_arguments_are_known_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.both_backends
def test_unknown_and_missing_arguments():
    with pytest.raises(TypeError, match="wramup"):
        callbacks.WarmupCosine(0.1, wramup=0.1)
    with pytest.raises(TypeError, match="peak"):
        callbacks.WarmupCosine()


@pytest.mark.both_backends
def test_errors_when_the_run_begins_leave_the_model_alone():
    model = make_model()
    with pytest.raises(ValueError, match=r"`OneCycle\(warmup=...\)` must be less than the 30 steps of the run"):
        fit(model, callbacks.OneCycle(0.1, warmup=31))
    assert rate_of(model) == pytest.approx(BASE) and "apply" not in vars(model.optimizer)
    scheduled = make_model(schedules.OneCycle(0.1, STEPS))
    with pytest.raises(
        ValueError, match=r"`SGD\(learning_rate=...\)` must be a number, for a schedule to take its place"
    ):
        fit(scheduled, callbacks.OneCycle(0.1))


def test_signatures_show_the_schedules_arguments():
    import inspect

    signature = inspect.signature(callbacks.WarmupCosine)
    assert {name: p.default for name, p in signature.parameters.items()} == {
        "peak": inspect.Parameter.empty,
        "warmup": 0.05,
        "floor": 0.0,
        "steps": None,
        "of": "learning_rate",
    }


def test_classes_are_real():
    import pickle

    for name in schedules.TABLE:
        cls = getattr(callbacks, name)
        assert (cls.__module__, cls.__qualname__, cls.__name__) == ("keras_dlopt.callbacks", name, name)
        assert pickle.loads(pickle.dumps(cls)) is cls and name in callbacks.__all__
