"""An optimizer's part in the training step: asked for by `compile`, run by `fit`, gone with the next `compile`."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_dlopt.optimizers  # noqa: F401  (makes `compile` ask)
from keras_dlopt.optimizers.executor import training_step

pytestmark = pytest.mark.both_backends

TENSORFLOW = keras.backend.backend() == "tensorflow"
ONE = np.ones((1, 1), "float32")


@keras.saving.register_keras_serializable("tests")
class Times(keras.optimizers.SGD):
    """Multiplies the targets by `factor`, so that its part in the step can be read off the weight."""

    def __init__(self, factor=3.0, learning_rate=0.1, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.factor = factor

    def wrap_train_step(self, model, train_step):
        def step(*args):
            *state, (x, y, *weight) = args
            return train_step(*state, (x, y * self.factor, *weight))

        return step

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("tests")
class Plus(Times):
    """Adds `factor` to the targets: in which order two take part is seen."""

    def __init__(self, optimizer=None, factor=1.0, **kwargs):
        super().__init__(factor, **kwargs)
        self.inner_optimizer = optimizer

    def wrap_train_step(self, model, train_step):
        def step(*args):
            *state, (x, y, *weight) = args
            return train_step(*state, (x, y + self.factor, *weight))

        return step


def dense():
    return layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="dense")


def sequential():
    return keras.Sequential([layers.Input((1,)), dense()])


def functional():
    inputs = keras.Input((1,))
    return keras.Model(inputs, dense()(inputs))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = dense()

    def call(self, inputs):
        return self.dense(inputs)


class OwnCompile(Subclassed):
    def compile(self, optimizer, loss, **kwargs):
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        self.compiled_here = True


class OwnStep(Subclassed):
    """Its step is Keras's on doubled targets."""

    def train_step(self, *args):
        *state, (x, y, *weight) = args
        return super().train_step(*state, (x, y * 2.0, *weight))


def weight_after_one_step(model, **kwargs):
    model.fit(ONE, ONE, verbose=0, **kwargs)
    return float(np.asarray(model.get_weights()[0]).item())


def step(target):
    """The weight after one step from 0 with rate 0.1 on (w - target)^2."""
    return pytest.approx(0.1 * 2 * target, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "target"),
    [(sequential, 3), (functional, 3), (Subclassed, 3), (OwnCompile, 3), (OwnStep, 6)],
    ids=lambda v: getattr(v, "__name__", None),
)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_takes_part_in_every_kind_of_model(make, target, jit_compile):
    model = make()
    model.compile(Times(), "mse", jit_compile=jit_compile)
    assert weight_after_one_step(model) == step(target)


def test_the_next_compile_takes_it_off():
    model = sequential()
    model.compile(Times(), "mse")
    model.compile(Times(5.0), "mse")
    assert weight_after_one_step(model) == step(5)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    assert "train_step" not in vars(model)
    model.set_weights([np.zeros((1, 1))])
    assert weight_after_one_step(model) == step(1)


def test_a_step_that_the_user_put_on_the_model_is_kept_and_given_back():
    model = sequential()
    keras_step = model.train_step

    def own(*args):
        *state, (x, y, *weight) = args
        return keras_step(*state, (x, y * 7.0, *weight))

    model.train_step = own
    model.compile(Times(), "mse")
    assert weight_after_one_step(model) == step(21)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    assert model.train_step is own


def test_the_outermost_is_the_closest_to_the_models_step():
    model = sequential()
    model.compile(Plus(Times()), "mse")
    assert weight_after_one_step(model) == step(1 * 3 + 1)


def test_under_a_loss_scale_optimizer():
    model = sequential()
    model.compile(keras.optimizers.LossScaleOptimizer(Times(), initial_scale=2.0), "mse")
    assert weight_after_one_step(model) == step(3)


def test_loaded_and_cloned_models_keep_it(tmp_path):
    model = sequential()
    model.compile(Times(4.0), "mse")
    model.save(tmp_path / "model.keras")
    assert weight_after_one_step(keras.models.load_model(tmp_path / "model.keras")) == step(4)
    assert weight_after_one_step(model) == step(4)
    clone = keras.models.clone_model(model)
    clone.compile_from_config(model.get_compile_config())
    assert weight_after_one_step(clone) == step(4)


def test_a_custom_compile_is_still_known_to_keras():
    """Keras compares the class's `compile` with its own to see whether a config may compile it."""
    with pytest.warns(UserWarning, match="custom"):
        OwnCompile().compile_from_config({})


def test_models_without_such_an_optimizer_are_left_alone():
    model = sequential()
    for optimizer in ("sgd", None):
        model.compile(optimizer, "mse")
        assert "train_step" not in vars(model)


def test_installing_twice_changes_nothing():
    before = keras.Model.compile
    training_step.install()
    assert keras.Model.compile is before


def test_steps_per_execution_and_train_on_batch():
    model = sequential()
    model.compile(Times(learning_rate=0.25), "mse", steps_per_execution=2)
    model.fit(np.ones((2, 1)), np.ones((2, 1)), batch_size=1, verbose=0)  # w <- w + (3 - w) / 2, twice
    np.testing.assert_allclose(model.get_weights()[0], [[2.25]])
    model.compile(Times(learning_rate=0.25), "mse")
    model.train_on_batch(ONE, ONE)
    np.testing.assert_allclose(model.get_weights()[0], [[2.625]])


@pytest.mark.skipif(not TENSORFLOW, reason="MirroredStrategy is TensorFlow's")
def test_under_mirrored_strategy(mirrored):
    with mirrored.scope():
        model = sequential()
        model.compile(Times(), "mse")
    model.fit(np.ones((2, 1)), np.ones((2, 1)), batch_size=2, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], [[0.6]], rtol=1e-6)
