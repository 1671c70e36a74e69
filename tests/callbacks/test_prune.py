"""Pruning inside `fit`: what the masks are after every step, under every way of executing it."""

import gc
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt import callbacks, compress

pytestmark = pytest.mark.both_backends
TF = keras.backend.backend() == "tensorflow"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 12)).astype("float32")
Y = RNG.normal(size=(80, 4)).astype("float32")
RATE, BATCH = 0.05, 8


def network():
    """Linear, so that NumPy can train it, and wide enough that the share of zeros is hit within 0.001."""
    model = keras.Sequential([keras.Input((12,)), layers.Dense(50, use_bias=False), layers.Dense(4, use_bias=False)])
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(scale=0.3, size=w.shape) for w in model.weights])
    return model


def compiled(model, **kwargs):
    model.compile(keras.optimizers.SGD(RATE), "mse", **kwargs)
    return model


def masks_of(importances, sparsity):
    """Of every kernel its share, rounded so that the sum is right: up for those with the largest fractions."""
    shares = [(1 - sparsity) * i.size for i in importances]
    kept = [int(share) for share in shares]
    while sum(kept) < round(sum(shares)):
        kept[np.argmax(np.subtract(shares, kept))] += 1
    masks = [np.zeros(i.size) for i in importances]
    for mask, importance, number in zip(masks, importances, kept, strict=True):
        mask[np.argsort(importance.ravel(), kind="stable")[importance.size - number :]] = 1
    return [mask.reshape(i.shape) for mask, i in zip(masks, importances, strict=True)]


def masks_of_all(importances, sparsity):
    """The same of all kernels together."""
    (mask,) = masks_of([np.concatenate([i.ravel() for i in importances])], sparsity)
    parts = np.split(mask, np.cumsum([i.size for i in importances])[:-1])
    return [part.reshape(i.shape) for part, i in zip(parts, importances, strict=True)]


def pruned_by_numpy(steps, updates, choose=masks_of, movement=False):
    """Gradient descent on the mean squared error, with masks chosen after the steps in `updates`."""
    weights = [w.astype("float64") for w in network().get_weights()]
    masks = [np.ones_like(w) for w in weights]
    dense, scores = weights, [np.zeros_like(w) for w in weights]  # dense: what a mask hides keeps its value
    for t in range(1, steps + 1):
        rows = slice((t - 1) * BATCH % 80, (t - 1) * BATCH % 80 + BATCH)
        hidden = X[rows] @ weights[0]
        error = 2 * (hidden @ weights[1] - Y[rows]) / (BATCH * 4)
        gradients = [X[rows].T @ error @ weights[1].T, hidden.T @ error]
        scores = [s - g * w for s, g, w in zip(scores, gradients, dense, strict=True)]
        weights = [w - RATE * g for w, g in zip(weights, gradients, strict=True)]
        if movement:
            weights = dense = [np.where(m, w, d) for m, w, d in zip(masks, weights, dense, strict=True)]
        if t in updates:
            masks = choose(scores if movement else [np.abs(w) for w in weights], updates[t])
        weights = [w * m for w, m in zip(weights, masks, strict=True)]
    return weights


def cubic(t, final, begin, end):
    return final * (1 - (1 - (t - begin) / (end - begin)) ** 3)


def fit(model, callback, epochs=2, **kwargs):
    return model.fit(
        X, Y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, callbacks=[callback], **kwargs
    ).history


@pytest.mark.parametrize(
    "jit_compile, steps_per_execution",
    [(True, 1), (True, 8), (False, 1)] + [(False, 8)] * TF,  # without jit JAX compiles every operation of every step
)
def test_every_step_is_numpys(jit_compile, steps_per_execution):
    model = compiled(network(), jit_compile=jit_compile, steps_per_execution=steps_per_execution)
    history = fit(model, callbacks.Prune(0.8, begin=2, end=14, frequency=4))
    expected = pruned_by_numpy(20, {t: cubic(t, 0.8, 2, 14) for t in (6, 10, 14)})
    for got, want in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(got == 0, want == 0)
        np.testing.assert_allclose(got, want, atol=1e-5)
    # After 10 steps the masks of step 10 stand, at the end those of step 14.
    np.testing.assert_allclose(history["sparsity"], [cubic(10, 0.8, 2, 14), 0.8], atol=1e-3)


@pytest.mark.parametrize("jit_compile", [True] + [False] * TF)
def test_movement_over_all_kernels_is_numpys(jit_compile):
    model = compiled(network(), jit_compile=jit_compile)
    fit(model, callbacks.Prune(0.8, begin=2, end=14, frequency=4, criterion="movement", ranking="global"))
    updates = {t: cubic(t, 0.8, 2, 14) for t in (6, 10, 14)}
    expected = pruned_by_numpy(20, updates, choose=masks_of_all, movement=True)
    for got, want in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(got == 0, want == 0)
        np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.skipif(not TF, reason="tf.distribute")
def test_movement_is_that_of_all_replicas(mirrored):
    with mirrored.scope():
        model = compiled(network(), jit_compile=False)
    fit(model, callbacks.Prune(0.8, begin=2, end=14, frequency=4, criterion="movement"))
    expected = pruned_by_numpy(20, {t: cubic(t, 0.8, 2, 14) for t in (6, 10, 14)}, movement=True)
    for weight, want in zip(model.weights, expected, strict=True):
        for copy in weight.value.values:
            np.testing.assert_array_equal(copy.numpy() == 0, want == 0)
            np.testing.assert_allclose(copy.numpy(), want, atol=1e-5)


@pytest.mark.parametrize("pattern, sparsity", [("1:2", 0.5), ((2, 2), 0.75)])
def test_patterns_hold_after_every_epoch_and_at_the_end(pattern, sparsity):
    model = compiled(network())
    history = fit(model, callbacks.Prune(sparsity, pattern=pattern))
    np.testing.assert_allclose(history["sparsity"], [sparsity] * 2, atol=1e-3)
    for weights in model.get_weights():
        if pattern == "1:2":
            groups = weights.reshape(-1, 2, weights.shape[1])
            assert np.all(np.sum(groups == 0, axis=1) == 1)
        else:
            blocks = (weights != 0).reshape(weights.shape[0] // 2, 2, -1, 2).sum((1, 3))
            assert set(blocks.ravel()) == {0, 4}


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        inside = [keras.Input((12,)), layers.Dense(20, activation="relu")]
        self.body, self.head = keras.Sequential(inside, name="body"), layers.Dense(4, name="head")

    def call(self, x):
        return self.head(self.body(x))


def test_a_model_of_ones_own_with_a_model_inside():
    model = Subclassed()
    model.compile("adam", "mse")
    fit(model, callbacks.Prune(0.75, only=layers.Dense, skip=lambda layer: layer.name == "head"))
    assert np.mean(ops.convert_to_numpy(model.body.layers[0].kernel) == 0) == 0.75
    assert np.all(ops.convert_to_numpy(model.head.kernel) != 0)


@pytest.mark.skipif(not TF, reason="tf.distribute")
def test_replicas_are_pruned_alike(mirrored):
    # Keras itself fails under MirroredStrategy with more than one step an execution.
    with mirrored.scope():
        model = compiled(network(), jit_compile=False)
    fit(model, callbacks.Prune(0.8, begin=2, end=14, frequency=4))
    expected = pruned_by_numpy(20, {t: cubic(t, 0.8, 2, 14) for t in (6, 10, 14)})
    for weight, want in zip(model.weights, expected, strict=True):
        for copy in weight.value.values:
            np.testing.assert_array_equal(copy.numpy() == 0, want == 0)
            np.testing.assert_allclose(copy.numpy(), want, atol=1e-5)


def test_tfmots_schedule_says_when():
    from tensorflow_model_optimization.sparsity import keras as tfmot

    schedule = tfmot.PolynomialDecay(0.5, 0.9, begin_step=4, end_step=16, frequency=6)
    model = compiled(network())
    fit(model, callbacks.Prune(schedule))
    expected = pruned_by_numpy(20, {t: 0.9 - 0.4 * (1 - (t - 4) / 12) ** 3 for t in (4, 10, 16)})
    for got, want in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("rows", [8, 16, 24, 56])
def test_runs_of_any_length_reach_the_sparsity(rows):
    model = compiled(network())
    history = model.fit(X[:rows], Y[:rows], batch_size=8, callbacks=[callbacks.Prune(0.8)], verbose=0).history
    assert history["sparsity"][-1] == pytest.approx(0.8, abs=1e-3)
    for weights in model.get_weights():
        assert np.mean(weights == 0) == pytest.approx(0.8, abs=1e-3)


def test_zeros_are_kept_in_further_training_and_only_those():
    model = compiled(network())
    fit(model, callbacks.Prune(0.8))
    zeros = [w == 0 for w in model.get_weights()]
    before = model.get_weights()
    fit(model, callbacks.Prune.keep())
    for was, is_now, old in zip(zeros, model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(is_now == 0, was)
        assert np.mean(is_now[~was] != old[~was]) > 0.5
    fit(model, keras.callbacks.Callback())
    assert all(np.all(w != 0) for w in model.get_weights())


def test_a_quantization_aware_student_stays_pruned():
    model = compiled(network())
    fit(model, callbacks.Prune(0.8))
    aware = compiled(compress.quantize_aware(model))
    history = fit(aware, callbacks.Prune.keep(), epochs=1)
    assert history["sparsity"][-1] == pytest.approx(0.8, abs=1e-3)
    for old, new in zip(model.trainable_weights, aware.trainable_weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(old) == 0, ops.convert_to_numpy(new) == 0)


def test_distillation_and_pruning_in_one_run():
    student = network()
    distiller = compress.distill(network(), student)
    distiller.compile(keras.optimizers.SGD(RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    distiller.fit(X, Y.argmax(-1), batch_size=8, callbacks=[callbacks.Prune(0.5)], verbose=0)
    for weights in student.get_weights():
        assert np.mean(weights == 0) == pytest.approx(0.5, abs=1e-3)


def test_files_are_those_of_a_run_without_it(tmp_path):
    model = network()
    model.compile(keras.optimizers.Adam(0.01), "mse")
    inside = keras.callbacks.ModelCheckpoint(tmp_path / "inside.keras")
    fit(model, callbacks.Prune(0.8), epochs=1)
    model.fit(X, Y, callbacks=[callbacks.Prune.keep(), inside], verbose=0)
    plain = network()
    plain.compile(keras.optimizers.Adam(0.01), "mse")
    fit(plain, keras.callbacks.Callback(), epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Keras warns when it skips an optimizer's state
        loaded = keras.models.load_model(tmp_path / "inside.keras")
    shapes = [variable.shape for variable in plain.optimizer.variables]
    assert [variable.shape for variable in loaded.optimizer.variables] == shapes
    assert [variable.shape for variable in model.optimizer.variables] == shapes
    for a, b in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))


def test_a_resumed_run_goes_on_where_it_was():
    model = compiled(network())
    history = fit(model, callbacks.Prune(0.8, end=30), epochs=4, initial_epoch=2)
    wanted = [cubic(30, 0.8, 0, 30)] * 2
    np.testing.assert_allclose(history["sparsity"], wanted, atol=1e-3)
    first = fit(compiled(network()), callbacks.Prune(0.8, end=40), epochs=4, initial_epoch=1)["sparsity"]
    np.testing.assert_allclose(first, [cubic(t, 0.8, 0, 40) for t in (20, 30, 40)], atol=2e-3)


@pytest.mark.parametrize("how", [{}, {"ranking": "global"}, {"pattern": (2, 2)}])
def test_a_run_resumed_from_a_file_is_the_run_that_was_not_interrupted(tmp_path, how):
    """Two epochs, two files: one ends between two choices of masks, one after the last."""

    def prune():
        return callbacks.Prune(0.8, end=17, frequency=4, **how)

    whole = network()
    whole.compile(keras.optimizers.SGD(RATE, momentum=0.9), "mse")
    save = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    whole.fit(X, Y, batch_size=BATCH, epochs=3, shuffle=False, verbose=0, callbacks=[prune(), save])
    for epoch in (1, 2):
        resumed = keras.models.load_model(tmp_path / f"{epoch}.keras")
        fit(resumed, prune(), epochs=3, initial_epoch=epoch)
        for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_movement_resumed_keeps_what_is_pruned(tmp_path):
    save = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    prune = callbacks.Prune(0.8, end=17, frequency=4, criterion="movement")
    compiled(network()).fit(X, Y, batch_size=BATCH, epochs=2, verbose=0, callbacks=[prune, save])
    model = keras.models.load_model(tmp_path / "1.keras")
    before = model.get_weights()
    fit(model, callbacks.Prune(0.8, end=17, frequency=4, criterion="movement"), initial_epoch=1)
    for old, weights in zip(before, model.get_weights(), strict=True):
        assert 0.5 < np.mean(old == 0) < 0.8 and np.all(weights[old == 0] == 0)
        assert np.mean(weights == 0) == pytest.approx(0.8, abs=1e-3)


def test_pruning_a_pruned_model_further():
    model = compiled(compress.prune(network(), 0.5))
    zeros = [w == 0 for w in model.get_weights()]
    first = fit(model, callbacks.Prune(0.8, begin=10, end=20, frequency=10, initial=0.5))["sparsity"]
    np.testing.assert_allclose(first, [0.5, 0.8], atol=1e-3)
    assert all(np.mean(w[old] == 0) > 0.9 for old, w in zip(zeros, model.get_weights(), strict=True))


def test_averaged_weights_are_masked_too():
    model = network()
    model.compile(keras.optimizers.SGD(RATE, use_ema=True, ema_momentum=0.9), "mse")
    fit(model, callbacks.Prune(0.8))
    for weights in model.get_weights():
        assert np.mean(weights == 0) == pytest.approx(0.8, abs=1e-3)


@pytest.mark.skipif(not TF, reason="JAX has no loss scaling")
def test_half_precision_with_loss_scaling():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(keras.optimizers.SGD(RATE), "mse")
    assert fit(model, callbacks.Prune(0.8))["sparsity"][-1] == pytest.approx(0.8, abs=1e-3)


def test_a_run_that_stops_early_says_what_it_reached():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    model = compiled(network())
    with pytest.warns(UserWarning, match="the run ended at sparsity 0.[0-9]+, short of 0.800"):
        model.fit(X, Y, batch_size=8, epochs=4, callbacks=[callbacks.Prune(0.8), Stop()], verbose=0)


def test_restored_weights_are_masked_and_a_warning_says_that_they_had_fewer_zeros():
    model = compiled(network())
    stop = keras.callbacks.EarlyStopping("loss", mode="max", patience=9, restore_best_weights=True)
    with pytest.warns(UserWarning, match=r"Prune: the restored weights had sparsity 0\.[1-7]\d*, .* 0\.800"):
        model.fit(X, Y, batch_size=8, epochs=4, callbacks=[stop, callbacks.Prune(0.8, end=0.75)], verbose=0)
    assert stop.best_epoch == 0
    for weights in model.get_weights():
        assert np.mean(weights == 0) == pytest.approx(0.8, abs=1e-3)
    with warnings.catch_warnings(), pytest.raises(ValueError, match="Prune comes after EarlyStopping"):
        model.fit(X, Y, callbacks=[callbacks.Prune(0.8), stop], verbose=0)


def test_a_run_that_fails_leaves_nothing_for_the_next():
    class Fail(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model, prune = compiled(network()), callbacks.Prune(0.8)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=8, callbacks=[prune, Fail()], verbose=0)
    assert fit(model, prune)["sparsity"][-1] == pytest.approx(0.8, abs=1e-3)
    assert "apply" not in vars(model.optimizer)

    prune = callbacks.Prune(0.8)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=8, callbacks=[prune, Fail()], verbose=0)
    assert "apply" in vars(model.optimizer)
    del prune
    gc.collect()
    assert "apply" not in vars(model.optimizer)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"sparsity": 1.0}, r"`Prune\(sparsity=...\)` must be a finite number in \[0, 1\)"),
        ({"sparsity": -0.1}, r"`Prune\(sparsity=...\)`"),
        ({"sparsity": float("nan")}, r"`Prune\(sparsity=...\)`"),
        ({"sparsity": "0.8"}, r"`Prune\(sparsity=...\)`"),
        ({"sparsity": 0.8, "begin": -1}, r"`Prune\(begin=...\)`"),
        ({"sparsity": 0.8, "end": 1.5}, r"`Prune\(end=...\)`"),
        ({"sparsity": 0.8, "end": True}, r"`Prune\(end=...\)`"),
        ({"sparsity": 0.8, "steps": 0}, r"`Prune\(steps=...\)` must be a whole number >= 1"),
        ({"sparsity": 0.8, "initial": 0.9}, r"`Prune\(initial=...\)` must be a finite number in \[0, 0.8\]"),
        ({"sparsity": 0.5, "pattern": "4:2"}, r"`Prune\(pattern=...\)` must be \"unstructured\", \"m:n\""),
        ({"sparsity": 0.5, "pattern": (4, 0)}, r"`Prune\(pattern=...\)` must be a whole number >= 1"),
        ({"sparsity": 0.5, "ranking": "all"}, r"`Prune\(ranking=...\)` must be one of 'layer', 'global'"),
        ({"sparsity": 0.5, "criterion": "size"}, r"`Prune\(criterion=...\)` must be one of 'magnitude', 'movement'"),
        ({"sparsity": 0.5, "only": 3}, r"`Prune\(only=...\)` must be a pattern"),
        ({"sparsity": 0.5, "skip": "("}, r"`Prune\(skip=...\)` must be a pattern \(that compiles\)"),
        ({"sparsity": 0.8, "frequency": 0}, r"`Prune\(frequency=...\)` must be a whole number >= 1"),
    ],
)
def test_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        callbacks.Prune(**arguments)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: callbacks.Prune(0.8, end=21), r"`Prune\(end=...\)` must be within the run, which has 20 steps"),
        (
            lambda: callbacks.Prune(0.8, begin=0.7, end=0.5),
            r"`Prune\(begin=...\)` must be before `end`, .* step 10",
        ),
        (lambda: callbacks.Prune(0.8, skip="head"), r"`Prune\(skip=...\)`"),
        (lambda: callbacks.Prune(0.8, only=layers.Conv2D), r"`Prune\(only=...\)`"),
        (lambda: callbacks.Prune(0.6, pattern="1:2"), "must be 0.5, which is what the pattern 1:2 leaves at zero"),
        (lambda: callbacks.Prune(0.6, pattern="3:5"), r"`Prune\(pattern=...\)` must be .*its 12 inputs are no"),
        (lambda: callbacks.Prune(0.5, pattern=(5, 5)), r"`Prune\(pattern=...\)` must be .*12 x 50 is no multiple of 5"),
        (lambda: callbacks.Prune(0.8, pattern=(2, 50), skip="_1"), "of 6 blocks in 1 weights, 0.8333 is the nearest"),
        (lambda: callbacks.Prune.keep(), "a model with zeros in the weights"),
    ],
)
def test_refused_before_the_first_step(make, message):
    model = compiled(network())
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        fit(model, make())
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_model_with_more_zeros_already_is_refused():
    model = compiled(compress.prune(network(), 0.8))
    with pytest.raises(ValueError, match=r"`Prune\(sparsity=...\)` must be at least 0.8, .*is pruned already"):
        fit(model, callbacks.Prune(0.5))


def test_two_of_them_share_a_run_but_not_a_weight():
    model = compiled(network())
    first, second = (layer.kernel.path for layer in model.layers)
    pair = [callbacks.Prune(0.75, only=first), callbacks.Prune(0.5, only=second)]
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=pair)
    assert [float(np.mean(w == 0)) for w in model.get_weights()] == [0.75, 0.5]
    with pytest.raises(ValueError, match=f"two of them have `{second}`"):
        model.fit(X, Y, verbose=0, callbacks=[callbacks.Prune(0.8), callbacks.Prune(0.8, only=second)])


def test_a_schedule_of_tfmots_that_outlives_the_run_is_refused():
    from tensorflow_model_optimization.sparsity import keras as tfmot

    with pytest.raises(ValueError, match="within the run's 20 steps; the last update is at step 0"):
        fit(compiled(network()), callbacks.Prune(tfmot.PolynomialDecay(0.0, 0.8, 0, 20)))


def test_data_of_unknown_length_is_refused():
    def rows():
        yield X[:8], Y[:8]

    with pytest.raises(ValueError, match=r"`Prune\(steps=...\)` must be given, because the length of this run"):
        compiled(network()).fit(rows(), callbacks=[callbacks.Prune(0.8)], verbose=0)
    model = compiled(network())
    model.fit(rows(), callbacks=[callbacks.Prune(0.8, steps=1)], verbose=0)
    assert all(np.mean(weights == 0) == pytest.approx(0.8, abs=1e-3) for weights in model.get_weights())


def test_a_model_that_gets_its_weights_in_the_first_step():
    """No `keras.Input`: Keras builds the model while the step is traced."""
    unbuilt = keras.Sequential([layers.Dense(50, use_bias=False), layers.Dense(4, use_bias=False)])
    model = compiled(unbuilt)
    fit(model, callbacks.Prune(0.8))
    for weight in model.get_weights():
        assert np.count_nonzero(weight) == round(weight.size * 0.2)


def test_layers_that_are_never_called_are_left_out():
    """The optimizer waits for them to be built until the first step."""
    model = Subclassed()
    model.unused = layers.Dense(3)
    model(X[:1])
    model.head.kernel.assign(np.where(np.eye(20, 4), 0, 1))
    fit(compiled(model), callbacks.Prune.keep(), epochs=1)
    np.testing.assert_array_equal(ops.convert_to_numpy(model.head.kernel) == 0, np.eye(20, 4))
