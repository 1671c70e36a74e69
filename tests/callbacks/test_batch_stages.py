"""What the compiled step is given in each stage, under every way to compile it, and what is left afterwards."""

import gc

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt import callbacks

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(48, 16, 16, 2)).astype("float32")
CLASSES = RNG.integers(3, size=48)
TOKENS = RNG.integers(7, size=(48, 16))


def left_on(model):
    """What the callbacks put on a model, if it is still there."""
    names = {"train_step", "make_train_function", "_endings", "_batch_changes", "_manual_input_spec"}
    return set().union(*(names & set(vars(layer)) for layer in model._flatten_layers()))


class Shapes(layers.Layer):
    """Passes its input on and remembers the shapes it was traced with in training."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = []

    def call(self, inputs, training=None):
        if training:
            self.seen.append(tuple(inputs.shape[1:]))
        return inputs


class OwnStep(keras.Model):
    """A subclassed model with a training step of its own, which counts its rows."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.traced = []

    def call(self, inputs, training=None):
        return self.inner(inputs, training=training)

    def train_step(self, *args):
        self.traced.append(tuple(args[-1][0].shape[1:]))
        return super().train_step(*args)


def compiled(model, **kwargs):
    kwargs = {"jit_compile": BACKEND == "jax", **kwargs}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"], **kwargs)
    return model


def image_network(size=16):
    shapes = Shapes()
    body = [shapes, layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    return keras.Sequential([keras.Input((size, size, 2)), *body]), shapes


def functional(size=16):
    inputs = keras.Input((size, size, 2))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(inputs))
    return keras.Model(inputs, layers.Dense(3)(x))


class Functions(keras.callbacks.Callback):
    """The batch sizes of the train functions in use: one entry a step, the number of the function."""

    def on_train_begin(self, logs=None):
        self.seen, self.functions = [], []

    def on_train_batch_begin(self, batch, logs=None):
        function = self.model.train_function
        if function not in self.functions:
            self.functions.append(function)
        self.seen.append(self.functions.index(function))


# The stages: of 12 steps in 2 epochs, the first 4 at 8, then 4 at 12 (nothing rounded), then whole.
def resizing(**kwargs):
    return callbacks.ProgressiveResizing((0.5, 12), end=8, multiple=4, **kwargs)


CASES = {
    "plain": {},
    "jit": {"jit_compile": True},
    "executions of 2": {"steps_per_execution": 2},
}


@pytest.mark.both_backends
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_sizes_of_a_run(case):
    model, shapes = image_network()
    compiled(model, **case)
    functions = Functions()
    history = model.fit(
        *(IMAGES, CLASSES, 8),
        epochs=2,
        verbose=0,
        callbacks=[resizing(), functions],
        validation_data=(IMAGES, CLASSES),
    ).history
    assert {shape[:2] for shape in shapes.seen} == {(8, 8), (12, 12), (16, 16)}
    per_execution = case.get("steps_per_execution", 1)
    assert functions.seen == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2][::per_execution]
    assert not left_on(model)
    assert np.isfinite(history["loss"]).all()
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(IMAGES, CLASSES, 8, verbose=0)[0], rel=1e-5)


def test_epochs_of_different_lengths():
    functions = Functions()
    grow = callbacks.BatchSizeSchedule({0: 4, 1: 12})  # 12, 4, 4, 4 steps
    resize = callbacks.ProgressiveResizing((0.5,), end=0.75)
    compiled(functional()).fit(IMAGES, CLASSES, 4, epochs=4, verbose=0, callbacks=[grow, resize, functions])
    assert functions.seen == [0] * 18 + [1] * 6


@pytest.mark.both_backends
def test_a_step_is_that_of_small_images_made_before():
    keras.utils.set_random_seed(1)
    model = compiled(functional())
    weights = model.get_weights()
    model.fit(*(IMAGES, CLASSES, 8), shuffle=False, verbose=0, callbacks=[callbacks.ProgressiveResizing((0.5,), end=6)])
    small = ops.convert_to_numpy(ops.image.resize(IMAGES, (8, 8), antialias=False))
    np.testing.assert_allclose(small[:, 0, 0], IMAGES[:, :2, :2].mean((1, 2)), atol=1e-6)  # half: means of four
    other = compiled(functional(8))
    other.set_weights(weights)
    other.fit(small, CLASSES, 8, shuffle=False, verbose=0)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.both_backends
def test_maps_of_the_images_are_resized_by_nearest_neighbours():
    model = OwnMaps()
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=BACKEND == "jax")
    maps = np.arange(256).reshape(16, 16)[None, ..., None].repeat(8, 0)
    resize = callbacks.ProgressiveResizing((0.5,), end=1, targets=True, steps=1)
    model.fit(IMAGES[:8], maps, 8, sample_weight=np.ones((8, 16, 16)), callbacks=[resize], verbose=0)
    np.testing.assert_array_equal(model.get_weights()[1], maps[0, 1::2, 1::2, 0])


class OwnMaps(keras.Model):
    """Keeps the first target of the batch in a weight."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(), name="scale")
        self.kept = self.add_weight(shape=(8, 8), trainable=False, name="kept")

    def call(self, inputs):
        return inputs[..., :1] * self.scale

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if y.shape[1] == 8:
            self.kept.assign(ops.cast(y[0, ..., 0], "float32"))
            assert tuple(sample_weight.shape[1:]) == tuple(y_pred.shape[1:3]) == (8, 8)
        return super().compute_loss(x, y, y_pred, sample_weight, training)


@pytest.mark.both_backends
def test_integer_images_stay_integers():
    seen = []

    class Own(OwnStep):
        def train_step(self, *args):
            seen.append((keras.backend.standardize_dtype(args[-1][0].dtype), tuple(args[-1][0].shape[1:3])))
            return super().train_step(*args)

    model = compiled(Own(functional()))
    resize = callbacks.ProgressiveResizing((0.5,), end=1, steps=1)
    model.fit(np.full((8, 16, 16, 2), 200, "uint8"), CLASSES[:8], callbacks=[resize], verbose=0)
    assert set(seen) == {("uint8", (8, 8))}


def test_mirrored(mirrored):
    if BACKEND != "tensorflow":
        pytest.skip("a strategy of TensorFlow")
    keras.utils.set_random_seed(1)
    single = compiled(functional())
    with mirrored.scope():
        model = compiled(functional())
    model.set_weights(single.get_weights())
    for trained in (single, model):
        trained.fit(IMAGES, CLASSES, 8, epochs=2, shuffle=False, verbose=0, callbacks=[resizing()])
    for one, two in zip(model.get_weights(), single.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.both_backends
def test_an_own_step_initial_epoch_and_accumulation():
    model = OwnStep(functional())
    compiled(model)
    model.optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    model.fit(IMAGES, CLASSES, 8, epochs=2, initial_epoch=1, verbose=0, callbacks=[resizing()])
    assert list(dict.fromkeys(model.traced)) == [(12, 12, 2), (16, 16, 2)]


@pytest.mark.both_backends
def test_data_of_unknown_length_go_by_the_given_steps():
    def rows():
        for i in range(0, 48, 8):
            yield IMAGES[i : i + 8], CLASSES[i : i + 8]

    model = compiled(OwnStep(functional()))
    with pytest.raises(ValueError, match=r"ProgressiveResizing\(steps=...\)"):
        model.fit(rows(), verbose=0, callbacks=[resizing()])
    model.traced.clear()
    model.fit(rows(), verbose=0, callbacks=[resizing(steps=12)])
    assert list(dict.fromkeys(model.traced)) == [(8, 8, 2), (12, 12, 2)]


def fixed():
    return keras.Sequential([keras.Input((16, 16, 2)), layers.Flatten(), layers.Dense(3, name="head")])


def unbuilt():
    return keras.Sequential([layers.Flatten(), layers.Dense(3, name="head")])


def reshaped():
    inputs = keras.Input((16, 16, 2))
    return keras.Model(inputs, layers.Dense(3, name="head")(ops.mean(ops.reshape(inputs, (-1, 16, 16, 2)), (1, 2))))


@pytest.mark.both_backends
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (fixed, r"inputs of shape \(8, 8, 2\), which its Dense `head` does not"),
        (unbuilt, r"inputs of shape \(8, 8, 2\), which its Dense `head` does not"),
        (reshaped, r"inputs of shape \(8, 8, 2\), which its Reshape `reshape|as many rows as its inputs"),
        (lambda: OwnStep(fixed()), "Dense `head`"),
    ],
    ids=["fixed", "unbuilt", "reshaped", "subclassed"],
)
def test_a_model_that_cannot_take_a_size_is_refused_before_the_first_step(build, message):
    model = compiled(build())
    with pytest.raises(ValueError, match=message):
        model.fit(IMAGES, CLASSES, 8, epochs=2, verbose=0, callbacks=[resizing()])
    assert int(model.optimizer.iterations) == 0 and not left_on(model)


@pytest.mark.both_backends
def test_a_run_that_fails_leaves_nothing_for_the_next():
    class Fail(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model = compiled(OwnStep(functional()))
    resize = resizing()
    with pytest.raises(KeyboardInterrupt):
        model.fit(IMAGES, CLASSES, 8, epochs=2, verbose=0, callbacks=[resize, Fail()])
    assert left_on(model)
    model.traced.clear()
    model.train_on_batch(IMAGES[:8], CLASSES[:8])
    assert model.traced == [(16, 16, 2)] and not left_on(model)
    with pytest.raises(KeyboardInterrupt):
        model.fit(IMAGES, CLASSES, 8, epochs=2, verbose=0, callbacks=[resize, Fail()])
    del resize
    gc.collect()
    assert not left_on(model)


class PowerCut(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 7:
            raise KeyboardInterrupt


def test_a_resumed_run_is_in_the_stage_where_it_was(tmp_path):
    if BACKEND != "tensorflow":
        pytest.skip("ResumeExactly needs TensorFlow")

    def run(path, *others):
        keras.utils.set_random_seed(1)
        model = compiled(OwnStep(functional()))
        model.build((None, 16, 16, 2))
        used = [callbacks.ProgressiveResizing((0.5, 12), end=10, multiple=4), callbacks.SelectiveBackprop(begin=6)]
        used += [*others, callbacks.ResumeExactly(path, every_steps=1)]
        model.fit(IMAGES, CLASSES, 8, epochs=2, verbose=0, callbacks=used)
        return model

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", PowerCut())
    resumed, whole = run(tmp_path / "cut"), run(tmp_path / "whole")
    assert resumed.traced[0][:2] == (12, 12) or (8, 8, 2) not in resumed.traced
    for one, two in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def text_network(length=16):
    inputs = keras.Input((length,))
    x = layers.Embedding(7, 4)(inputs)
    return keras.Model(inputs, layers.Dense(7)(x))


@pytest.mark.both_backends
@pytest.mark.parametrize(("mode", "rows"), [("truncate", 8), ("reshape", 16)])
def test_a_step_is_that_of_short_sequences_made_before(mode, rows):
    keras.utils.set_random_seed(1)
    targets, weights = (TOKENS + 1) % 7, RNG.uniform(size=TOKENS.shape).astype("float32")
    model = compiled(text_network())
    start = model.get_weights()
    warmup = callbacks.SequenceLengthWarmup((0.5,), end=6, mode=mode)
    model.fit(TOKENS, targets, 8, sample_weight=weights, shuffle=False, verbose=0, callbacks=[warmup])
    short = [a[:, :8] if mode == "truncate" else a.reshape(-1, 8) for a in (TOKENS, targets, weights)]
    other = compiled(text_network(8))
    other.set_weights(start)
    other.fit(short[0], short[1], rows, sample_weight=short[2], shuffle=False, verbose=0)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.both_backends
def test_sequences_that_cannot_be_shortened():
    class Positions(layers.Layer):
        def build(self, shape):
            self.table = self.add_weight(shape=shape[1:])

        def call(self, inputs):
            return inputs + self.table

    inputs = keras.Input((16,))
    x = layers.GlobalAveragePooling1D()(Positions(name="positions")(layers.Embedding(7, 4)(inputs)))
    with pytest.raises(ValueError, match="Positions `positions`"):
        compiled(keras.Model(inputs, layers.Dense(3)(x))).fit(
            *(TOKENS, CLASSES, 8), verbose=0, callbacks=[callbacks.SequenceLengthWarmup()]
        )
    model = keras.Sequential([keras.Input((16,)), layers.Embedding(7, 4), layers.GlobalAveragePooling1D()])
    model.add(layers.Dense(3))
    with pytest.raises(ValueError, match=r"SequenceLengthWarmup\(mode=...\)"):
        compiled(model).fit(TOKENS, CLASSES, 8, verbose=0, callbacks=[callbacks.SequenceLengthWarmup(mode="reshape")])
    compiled(model).fit(TOKENS, CLASSES, 8, verbose=0, callbacks=[callbacks.SequenceLengthWarmup()])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: callbacks.ProgressiveResizing(()), r"ProgressiveResizing\(sizes=...\)"),
        (lambda: callbacks.ProgressiveResizing((1.5,)), r"ProgressiveResizing\(sizes=...\)"),
        (lambda: callbacks.ProgressiveResizing(end=0), r"ProgressiveResizing\(end=...\)"),
        (lambda: callbacks.ProgressiveResizing(multiple=0), r"ProgressiveResizing\(multiple=...\)"),
        (lambda: callbacks.SequenceLengthWarmup(0.5), r"SequenceLengthWarmup\(lengths=...\)"),
        (lambda: callbacks.SequenceLengthWarmup(mode="cut"), r"SequenceLengthWarmup\(mode=...\)"),
        (lambda: callbacks.SelectiveBackprop(1.0), r"SelectiveBackprop\(keep=...\)"),
        (lambda: callbacks.SelectiveBackprop(select="hard"), r"SelectiveBackprop\(select=...\)"),
    ],
)
def test_refused_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_stages_that_the_run_does_not_reach_are_refused():
    for late in (
        callbacks.ProgressiveResizing(end=13),
        callbacks.SequenceLengthWarmup(end=13),
        callbacks.SelectiveBackprop(begin=6, end=13),
    ):
        with pytest.raises(ValueError, match=rf"{type(late).__name__}\(end=...\).*within the run, which has 12 steps"):
            compiled(functional()).fit(IMAGES, CLASSES, 8, epochs=2, verbose=0, callbacks=[late])


@pytest.mark.both_backends
def test_data_that_are_no_images_are_refused():
    model = compiled(keras.Sequential([keras.Input((4,)), layers.Dense(3)]))
    with pytest.raises(ValueError, match=r"ProgressiveResizing\(x=...\).*rank 4"):
        model.fit(IMAGES[:, 0, :2].reshape(48, 4), CLASSES, verbose=0, callbacks=[callbacks.ProgressiveResizing()])
