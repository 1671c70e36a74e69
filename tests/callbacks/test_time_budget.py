"""When a run ends, and where its schedules are by then, on a clock that the run itself moves."""

import warnings

import keras
import numpy as np
import pytest

from keras_dlopt import callbacks

X = np.ones((20, 1), "float32")


class Clock(keras.callbacks.Callback):
    """A batch takes one second, the first one three; a validation takes five."""

    now = 100.0

    def on_train_batch_end(self, batch, logs=None):
        self.now += 3 if self.now == 100 else 1

    def on_test_end(self, logs=None):
        self.now += 5


def run(budget, epochs, per_execution=1, **kwargs):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    jit = keras.backend.backend() == "jax"
    model.compile(keras.optimizers.SGD(0.5), "mse", steps_per_execution=per_execution, jit_compile=jit)
    clock = Clock()
    budget.clock = lambda: clock.now
    used = [clock, callbacks.LinearDecay(0.1), budget]
    rates = model.fit(X, X, 2, epochs=epochs, callbacks=used, verbose=0, **kwargs).history["learning_rate"]
    return model, clock.now - 100, rates


@pytest.mark.both_backends
def test_validation_ends_in_time_and_the_schedule_at_its_end():
    model, used, rates = run(callbacks.TimeBudget(40), 1000, validation_data=(X, X))
    assert used == 40  # 12 + 5, 10 + 5, 3 + 5
    assert int(model.optimizer.iterations) == 23 and len(rates) == 3
    at_end = keras.ops.convert_to_numpy(callbacks.LinearDecay(0.1).schedule.over(10000)(9999))
    np.testing.assert_allclose(rates[-1], at_end, atol=1e-8)
    # the tenth batch began at 11 of 38 seconds: the last to begin 2 before 40, no validation was known
    np.testing.assert_allclose(rates[0], 0.1 * (1 - 11 / 38), rtol=1e-3)
    assert float(model.optimizer.learning_rate) == 0.5  # put back


def test_a_run_that_ends_before_follows_its_steps():
    with_budget, without = run(callbacks.TimeBudget(minutes=60), 2)[2], 0.1 * (1 - np.array([9, 19]) / 20)
    np.testing.assert_allclose(with_budget, without, rtol=1e-5)


def test_executions_are_whole():
    model, used, _ = run(callbacks.TimeBudget(10), 50, per_execution=5)  # here a second is an execution
    assert used == 10 and int(model.optimizer.iterations) == 5 * 8


def test_a_run_that_goes_on_has_the_rest():
    first = callbacks.TimeBudget(40)
    clock = {"now": 0.0}
    first.clock = lambda: clock["now"]
    first._start, first._tail, first._longest, first._share = 0.0, 4.0, 1.0, 0.5
    clock["now"] = 30.0
    state = first.get_state()
    assert state == {"used": 30.0, "tail": 4.0, "longest": 1.0, "share": 0.5}

    class Restore(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 0:
                second.set_state(state)

    second = callbacks.TimeBudget(40)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    second.clock = lambda: 500.0 + int(model.optimizer.iterations)
    model.fit(X, X, 2, epochs=9, callbacks=[second, Restore()], verbose=0)
    assert int(model.optimizer.iterations) == 6  # 40 - 30 - 4


def test_names_the_callbacks_whose_shares_are_not_of_the_time():
    used = [
        callbacks.GradualUnfreeze(),
        callbacks.TimeBudget(60),
        callbacks.BatchSizeSchedule({0: 2, "0.5": 4}),
        callbacks.AverageWeights(),
        callbacks.AverageWeights("swa", begin=0.5),
        callbacks.Prune(0.0, end=10),
    ]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, X, 2, epochs=2, callbacks=used, verbose=0)
    about = [str(warning.message) for warning in caught if "TimeBudget" in str(warning.message)]
    assert about == [
        "TimeBudget: shares that BatchSizeSchedule, AverageWeights were given are of the 2 epochs announced, "
        "not of the time, which only schedules follow."
    ]


def test_bad_arguments():
    for arguments in ({}, {"seconds": 1, "minutes": 1}, {"seconds": 0}, {"seconds": 1, "reserve": -1}):
        with pytest.raises(ValueError, match=r"TimeBudget\((seconds|reserve)=...\)"):
            callbacks.TimeBudget(**arguments)
