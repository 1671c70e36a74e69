"""Real tfmot on Keras 3 models, and what comes back."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers as L

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf_keras runs on TensorFlow", allow_module_level=True)

import tf_keras

from keras_dlopt import callbacks, compress, optimizers
from keras_dlopt.compress import litert

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 6, 6, 2)).astype("float32")
Y = RNG.integers(0, 4, 48)


def network():
    """A model inside a model, BatchNormalization, an operation of keras.ops."""
    inputs = keras.Input((6, 6, 2))
    stem = [keras.Input((6, 6, 2)), L.Conv2D(8, 3, name="first"), L.BatchNormalization(), L.ReLU()]
    x = keras.Sequential(stem, name="stem")(inputs)
    x = L.Flatten()(x * 0.5)
    x = L.Dense(25, kernel_regularizer=keras.regularizers.L2(0.01), name="conv")(x)
    return keras.Model(inputs, L.Dense(4, name="head")(x))


def compiled(model, optimizer=None, **kwargs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or keras.optimizers.SGD(0.05), loss, metrics=["accuracy"], **kwargs)
    return model


def fit(model, **kwargs):
    return model.fit(X, Y, **{"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0, **kwargs}).history


def zeros(model):
    layers_ = [layer for layer in model._flatten_layers() if hasattr(layer, "kernel")]
    return {layer.name: float(np.mean(layer.kernel.numpy() == 0)) for layer in layers_}


@pytest.fixture(scope="module")
def pruned():
    """A run with one of our optimizers and callbacks, Keras's early stopping among them."""
    model = network()
    wrapped = compiled(compress.prune(model, 0.8, engine="tfmot", skip="head"), optimizers.AdamW(0.01))
    used = [callbacks.OneCycle(0.01), keras.callbacks.EarlyStopping("loss", patience=5)]
    return model, wrapped, fit(wrapped, callbacks=used)


def test_a_pruned_keras_model_comes_back(pruned):
    model, wrapped, history = pruned
    stripped = wrapped.strip()
    assert type(stripped) is type(model)
    assert [v.shape for v in stripped.weights] == [v.shape for v in model.weights]
    found = zeros(stripped)
    assert found == pytest.approx({path: 0.0 if path == "head" else 0.8 for path in found}, abs=0.004)
    assert len(found) == 3
    np.testing.assert_allclose(stripped.predict(X, verbose=0), wrapped.predict(X, verbose=0), atol=1e-5)
    assert zeros(model)["conv"] == 0
    # Keras 3's own logs: the callback's learning rate, the metric, the loss with the regularization in it.
    assert history["learning_rate"][-1] < 0.001
    loss, accuracy = compiled(stripped).evaluate(X, Y, verbose=0)
    assert wrapped.evaluate(X, Y, verbose=0) == pytest.approx([loss, accuracy], abs=1e-5)


def test_without_zeros_it_is_plain_training():
    model = network()
    wrapped = compiled(compress.prune(model, 0.0, engine="tfmot"))
    before = fit(compiled(model, jit_compile=False))
    np.testing.assert_allclose(fit(wrapped)["loss"], before["loss"], rtol=1e-5)
    for variable, one, other in zip(model.weights, model.get_weights(), wrapped.strip().get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, err_msg=variable.path)


def test_variables_have_the_paths_of_the_model(pruned):
    model, wrapped, _ = pruned
    paths = {variable.path.replace("stem/", "stem_") for variable in model.weights}
    assert paths <= {variable.path for variable in wrapped.weights}


@pytest.mark.parametrize("rows, length", [(8, {}), (24, {}), (56, {"begin": 2, "end": 7, "frequency": 2})])
def test_runs_of_any_length_reach_the_sparsity(rows, length):
    model = keras.Sequential([keras.Input((10,)), L.Dense(20)])
    wrapped = compress.prune(model, 0.8, engine="tfmot", **length)
    wrapped.compile("sgd", "mse")
    wrapped.fit(np.ones((rows, 10)), np.ones((rows, 20)), batch_size=8, verbose=0)
    assert zeros(wrapped.strip()) == {"dense": pytest.approx(0.8, abs=1e-3)}


def test_tfmots_own_schedule_must_fit_the_run():
    schedule = compress.tfmot.load().sparsity.keras.PolynomialDecay(0.0, 0.5, 0, 80)  # frequency=100 is its default
    wrapped = compiled(compress.prune(network(), schedule, engine="tfmot"))
    with pytest.raises(ValueError, match="reaches its 0.5 within the run's 12 steps"):
        fit(wrapped)


def test_patterns():
    model = keras.Sequential([keras.Input((8,)), L.Dense(8)])
    for pattern, groups in (("2:4", (2, 4, 8)), ((4, 2), None)):
        wrapped = compress.prune(model, 0.5, engine="tfmot", pattern=pattern)
        wrapped.compile("sgd", "mse")
        wrapped.fit(np.ones((16, 8)), np.ones((16, 8)), batch_size=8, verbose=0)
        kernel = wrapped.strip().get_weights()[0]
        if groups:
            np.testing.assert_array_equal((kernel.reshape(groups) != 0).sum(1), 2)
        else:
            alive = (kernel.reshape(2, 4, 4, 2) != 0).all((1, 3))
            assert alive.sum() == 4 and ((kernel != 0).sum() == 32)


def test_recurrent_and_attention_layers_are_pruned():
    x = keras.Input((5, 8))
    y = L.MultiHeadAttention(2, 4, name="attention")(x, x)
    y = L.GRU(4, return_sequences=True, name="gru")(L.LSTM(8, return_sequences=True, name="lstm")(y))
    model = keras.Model(x, L.SeparableConv1D(10, 2, name="separable")(y))
    wrapped = compress.prune(model, 0.5, engine="tfmot")
    wrapped.compile("sgd", "mse", steps_per_execution=2)
    wrapped.fit(np.ones((16, 5, 8)), np.ones((16, 4, 10)), batch_size=4, verbose=0)
    kernels = [v for v in wrapped.strip().weights if v.path.endswith("kernel") and "depthwise" not in v.path]
    assert len(kernels) == 9 and {float(np.mean(kernel.numpy() == 0)) for kernel in kernels} == {0.5}


def test_a_run_goes_on_from_saved_weights(tmp_path):
    def training():
        keras.utils.set_random_seed(1)
        return compiled(compress.prune(network(), 0.8, engine="tfmot", end=20))

    whole, first, second = training(), training(), training()
    fit(whole, epochs=4)
    fit(first, epochs=4, callbacks=[StopAfterTwo()])
    first.save_weights(tmp_path / "half.weights.h5")
    second.load_weights(tmp_path / "half.weights.h5")
    fit(second, epochs=4, initial_epoch=2)
    for one, other in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


class StopAfterTwo(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == 1


def test_saving_saves_the_model_without_wrappers(pruned, tmp_path):
    _, wrapped, _ = pruned
    wrapped.save(tmp_path / "pruned.keras")
    loaded = keras.saving.load_model(tmp_path / "pruned.keras")
    np.testing.assert_allclose(loaded.predict(X, verbose=0), wrapped.predict(X, verbose=0), atol=1e-5)


def test_models_of_tf_keras_stay_there():
    model = tf_keras.Sequential([tf_keras.layers.InputLayer((10,)), tf_keras.layers.Dense(10)])
    wrapped = compress.prune(model, 0.8, engine="tfmot")
    wrapped.compile("sgd", "mse")
    wrapped.fit(np.ones((8, 10)), np.ones((8, 10)), batch_size=8, verbose=0)
    stripped = wrapped.strip()
    assert isinstance(stripped, tf_keras.Sequential)
    assert np.count_nonzero(stripped.get_weights()[0]) == 20 and np.count_nonzero(model.get_weights()[0]) == 100


def test_importing_tfmot_leaves_no_trace():
    """In a process of its own: other tests import tfmot themselves."""
    code = "import os, keras, tensorflow as tf; from keras_dlopt import compress; compress.tfmot.load();"
    code += "assert 'TF_USE_LEGACY_KERAS' not in os.environ and tf.keras.__version__ == keras.__version__"
    subprocess.run([sys.executable, "-c", code], check=True, env=_without("TF_USE_LEGACY_KERAS"))


def _without(name):
    return {key: value for key, value in os.environ.items() if key != name}


REFUSED = {
    "engine": (lambda: compress.prune(network(), 0.5, engine="torch"), r"prune\(engine=.*'torch'"),
    "sparsity": (lambda: compress.prune(network(), 1.0, engine="tfmot"), r"prune\(sparsity=.*\[0, 1\).*1.0"),
    "pattern": (lambda: compress.prune(network(), 0.5, engine="tfmot", pattern="24"), r"prune\(pattern=.*'24'"),
    "skip": (lambda: compress.prune(network(), 0.5, engine="tfmot", skip="tail"), r"prune\(skip=.*head.*'tail'"),
    "only": (lambda: compress.prune(network(), 0.5, engine="tfmot", only=3), r"prune\(only=.*a pattern.*3"),
    "all skipped": (lambda: compress.prune(network(), 0.5, engine="tfmot", skip=L.Layer), r"prune\(model=.*layers"),
    "Lambda": (
        lambda: compress.prune(keras.Sequential([keras.Input((2,)), L.Lambda(abs)]), 0.5, engine="tfmot"),
        r"prune\(model=.*Lambda `lambda`",
    ),
    "XLA": (
        lambda: compiled(compress.prune(network(), 0.5, engine="tfmot"), jit_compile=True),
        r"compile\(jit_compile=.*False",
    ),
    "end": (
        lambda: fit(compiled(compress.prune(network(), 0.5, engine="tfmot", end=13))),
        r"prune\(end=.*12.*13",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("how", [{}, {"per_channel": True, "keep_zeros": True}], ids=["", "channels"])
def test_a_clustered_keras_model_comes_back(how):
    model = compress.prune(network(), 0.5, only=L.Dense)
    wrapped = compiled(compress.cluster(model, 4, engine="tfmot", start="density", skip="head", **how))
    fit(wrapped)
    stripped = wrapped.strip()
    values = {layer.name: np.unique(layer.kernel) for layer in stripped._flatten_layers() if hasattr(layer, "kernel")}
    assert len(values["conv"]) <= 4 and len(values["first"]) <= (4 * 8 if how else 4) and len(values["head"]) == 100
    assert 0 in values["conv"] or not how
    np.testing.assert_allclose(stripped.predict(X, verbose=0), wrapped.predict(X, verbose=0), atol=1e-5)


@pytest.mark.parametrize("keep", [(), "zeros", "centroids", ("zeros", "centroids")], ids=["", "P", "C", "PC"])
def test_quantization_aware_training(keep, tmp_path):
    """A LiteRT file of integers, and in it what was to be kept."""
    inputs = keras.Input((6, 6, 2))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(8, 3, use_bias=False)(inputs)))
    x = L.Dense(16, activation="relu", name="wide")(L.Flatten()(x * L.Activation("hard_silu")(x)))
    model = keras.Model(inputs, L.Dense(4)(x))
    if "zeros" in keep:
        model = compress.prune(model, 0.5, only=L.Dense)
    if "centroids" in keep:
        model = compress.cluster(model, 8, only=L.Dense, keep_zeros=True)
    wrapped = compiled(compress.quantize_aware(model, engine="tfmot", keep=keep))
    fit(wrapped)
    assert wrapped.float_layers == ()
    exported = wrapped.export(tmp_path / "model.tflite", check=X)
    assert exported.float_tensors == 0 and exported.agreement > 0.9
    runner = litert.interpreter(exported.path)
    (kernel,) = (
        runner.get_tensor(tensor["index"])
        for tensor in runner.get_tensor_details()
        if list(tensor["shape"]) == [16, 128]
    )
    if "zeros" in keep:
        assert np.mean(kernel == 0) >= 0.5
    if "centroids" in keep:
        assert len(np.unique(kernel)) <= 8


def test_attention_comes_back_from_clustering():
    """tfmot changes the order of its weights."""
    x = keras.Input((5, 8))
    model = keras.Model(x, L.MultiHeadAttention(2, 4, name="attention")(x, x))
    wrapped = compress.cluster(model, 4, engine="tfmot")
    data = RNG.normal(size=(8, 5, 8)).astype("float32")
    stripped = wrapped.strip()
    np.testing.assert_allclose(stripped(data), wrapped(data), atol=1e-5)
    assert all(len(np.unique(v.numpy())) <= 4 for v in stripped.weights if v.path.endswith("kernel"))


def test_what_stays_float_is_told(tmp_path):
    model = keras.Sequential([keras.Input((6, 6, 2)), L.Flatten(), L.LayerNormalization(name="norm"), L.Dense(4)])
    wrapped = compiled(compress.quantize_aware(model, engine="tfmot"))
    fit(wrapped, epochs=1)
    assert wrapped.float_layers == ("norm",)
    with pytest.raises(ValueError, match=r"export\(model=.*allow_float=True.*norm"):
        wrapped.export(tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())
    assert wrapped.export(tmp_path / "model.tflite", allow_float=True).float_tensors > 0
    with pytest.raises(ValueError, match="does not come back to Keras 3"):
        wrapped.strip()
