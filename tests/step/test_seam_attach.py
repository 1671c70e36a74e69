"""Attaching and detaching: any optimizer, any order, any moment, and nothing left behind."""

import inspect

import keras
import numpy as np
import pytest

import keras_dlopt
from keras_dlopt import step

pytestmark = pytest.mark.both_backends

X = np.ones((8, 3), "float32")
Y = np.arange(8, dtype="float32")[:, None]


class Counter(step.Observer):
    def build(self, optimizer, variables):
        self.calls = self.add_variable((), dtype="int32", name="calls")

    def after_apply(self, gradients, variables):
        self.assign(self.calls, self.calls + 1)


def calls(observer):
    return int(keras.ops.convert_to_numpy(observer.calls))


def make_model(optimizer=None, **compile_args):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.Adam(0.01), "mse", **compile_args)
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, **kwargs):
    return model.fit(X, Y, batch_size=2, shuffle=False, verbose=0, **kwargs).history["loss"]


def test_detaching_in_any_order_leaves_nothing_behind():
    model = make_model()
    optimizer = model.optimizer
    attributes, variables = dict(vars(optimizer)), [id(v) for v in optimizer.variables]
    first, second, third = observers = [Counter(), Counter(), Counter()]
    for observer in observers:
        step.attach(optimizer, observer, model)
    fit(model)
    step.detach(optimizer, second)
    fit(model)
    step.detach(optimizer, first)
    step.attach(optimizer, second, model)  # one that left may come back, and starts anew
    fit(model)
    step.detach(optimizer, third)
    fit(model)
    step.detach(optimizer, second)
    fit(model)
    assert [calls(o) for o in observers] == [8, 8, 12]
    assert vars(optimizer).keys() == attributes.keys()
    assert all(vars(optimizer)[name] is attributes[name] for name in attributes)
    assert [id(v) for v in optimizer.variables] == variables
    assert optimizer.apply.__func__ is type(optimizer).apply


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("attach_at, detach_at, expected", [(1, 5, 4), (3, 4, 1), (0, 7, 7)])
def test_attached_and_detached_in_the_middle_of_a_run(jit, attach_at, detach_at, expected):
    observer = Counter()

    class Switch(keras.callbacks.Callback):
        done = 0

        def on_train_batch_end(self, batch, logs=None):
            if self.done == attach_at:
                step.attach(self.model.optimizer, observer, self.model)
            if self.done == detach_at:
                step.detach(self.model.optimizer, observer)
            self.done += 1

    keras.utils.set_random_seed(1)
    losses = fit(make_model(jit_compile=jit), epochs=2)
    keras.utils.set_random_seed(1)
    model = make_model(jit_compile=jit)
    assert fit(model, epochs=2, callbacks=[Switch()]) == losses
    assert calls(observer) == expected
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 8


def test_a_model_without_weights_yet():
    observer = Counter()

    class Attach(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            step.attach(self.model.optimizer, observer, self.model)

    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("adam", "mse")
    fit(model, callbacks=[Attach()])
    assert calls(observer) == 4
    step.detach(model.optimizer, observer)
    assert not {"apply", "_seam"} & vars(model.optimizer).keys()


def every_optimizer():
    for name, cls in inspect.getmembers(keras.optimizers, inspect.isclass):
        if name not in ("Optimizer", "LossScaleOptimizer", "OptimizerMap", "MultiOptimizer"):
            yield pytest.param(lambda cls=cls: cls(learning_rate=0.01), id=f"keras.{name}")
    for name in keras_dlopt.optimizers.names():
        yield pytest.param(lambda name=name: keras_dlopt.optimizers.get(name, learning_rate=0.01), id=name)


@pytest.mark.parametrize("make", list(every_optimizer()))
def test_every_optimizer_can_be_observed(make):
    def steps(optimizer, observers):
        rng = np.random.default_rng(0)
        variables = [keras.Variable(rng.normal(size=s).astype("float32"), name="w") for s in ((4, 3), (3,))]
        optimizer.build(variables)
        for observer in observers:
            step.attach(optimizer, observer)
        for _ in range(3):
            gradients = [keras.ops.array(rng.normal(size=v.shape), "float32") for v in variables]
            if isinstance(optimizer, keras_dlopt.optimizers.Optimizer):
                optimizer.provide(loss=keras.ops.ones(()), curvature=gradients)  # which some ask for
            optimizer.apply(gradients)
        return [keras.ops.convert_to_numpy(v) for v in variables]

    observer = Counter()
    for seen, expected in zip(steps(make(), [observer]), steps(make(), []), strict=True):
        np.testing.assert_array_equal(seen, expected)
    assert calls(observer) == 3


def test_somebody_elses_apply_is_kept_and_given_back():
    model = make_model()
    seen = []
    original = model.optimizer.apply

    def theirs(grads, trainable_variables=None):
        seen.append(len(grads))
        return original(grads, trainable_variables)

    model.optimizer.apply = theirs
    observer = Counter()
    step.attach(model.optimizer, observer, model)
    fit(model)
    step.detach(model.optimizer, observer)
    assert seen and calls(observer) == 4
    assert model.optimizer.apply is theirs


def test_an_observer_that_fails_to_build_leaves_nothing_behind():
    class Broken(step.Observer):
        def build(self, optimizer, variables):
            self.add_variable((3,))
            raise KeyError("no such layer")

    model = make_model()
    attributes, count = dict(vars(model.optimizer)), len(model.optimizer.variables)
    broken = Broken()
    with pytest.raises(KeyError, match="no such layer"):
        step.attach(model.optimizer, broken, model)
    assert vars(model.optimizer).keys() == attributes.keys()
    assert len(model.optimizer.variables) == count


def test_wrong_calls():
    model, observer = make_model(), Counter()
    with pytest.raises(ValueError, match=r"`attach\(optimizer=...\)` must be a Keras optimizer"):
        step.attach("adam", observer)
    with pytest.raises(ValueError, match=r"`attach\(observer=...\)` must be a `keras_dlopt.step.Observer`"):
        step.attach(model.optimizer, print)
    with pytest.raises(ValueError, match="the optimizer that `model` was compiled with"):
        step.attach(keras.optimizers.SGD(), observer, model)
    with pytest.raises(ValueError, match=r"`detach\(observer=...\)` must be an observer attached to this"):
        step.detach(model.optimizer, observer)
    step.attach(model.optimizer, observer, model)
    with pytest.raises(ValueError, match="must be an observer that is not attached"):
        step.attach(model.optimizer, observer, model)

    class Forgetful(step.Observer):
        def before_apply(self, gradients, variables):
            pass

    step.attach(model.optimizer, Forgetful(), model)
    with pytest.raises(ValueError, match=r"`Forgetful\(before_apply=...\)` must be a method that returns"):
        fit(model)
