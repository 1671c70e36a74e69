"""The distillation loss and its gradient against NumPy, and whose weights are trained, saved and evaluated."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dlopt import compress
from keras_dlopt.compress.distillation import SoftTargets

pytestmark = pytest.mark.both_backends
TF = keras.backend.backend() == "tensorflow"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 5)).astype("float32")
Y = RNG.integers(0, 3, size=24)
WEIGHT = RNG.uniform(0.1, 2.0, size=24).astype("float32")
RATE = 0.1


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def linear(seed=0, **kwargs):
    kernel = np.random.default_rng(seed).normal(size=(5, 3)).astype("float32")
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3, use_bias=False, **kwargs)])
    model.set_weights([kernel])
    return model


def teacher():
    """With parts that behave differently, and change, in training mode."""
    model = keras.Sequential([keras.Input((5,)), layers.Dropout(0.5), layers.BatchNormalization(), layers.Dense(3)])
    model.layers[-1].set_weights([RNG.normal(size=(5, 3)).astype("float32"), np.ones(3, "float32")])
    return model


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def loss_and_gradient(kernel, answers, temperature, alpha, weight):
    """By hand: the weighted loss (Keras divides by the number of rows), and its gradient for a linear student."""
    logits = X @ kernel
    p, q = softmax(answers / temperature), softmax(logits / temperature)
    hard = -np.log(softmax(logits)[np.arange(24), Y])
    soft = temperature**2 * (p * np.log(p / q)).sum(-1)
    loss = (weight * ((1 - alpha) * hard + alpha * soft)).mean()
    by_logits = (1 - alpha) * (softmax(logits) - np.eye(3)[Y]) + alpha * temperature * (q - p)
    return loss, X.T @ (weight[:, None] * by_logits) / 24


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_step_is_the_closed_form(temperature, alpha, weighted):
    wise, student = teacher(), linear()
    kernel, answers = student.get_weights()[0], wise.predict(X, verbose=0)
    weight = WEIGHT if weighted else np.ones(24, "float32")
    distiller = compress.distill(wise, student, temperature, alpha)
    distiller.compile(keras.optimizers.SGD(RATE), cross_entropy())
    history = distiller.fit(X, Y, sample_weight=weight, batch_size=24, verbose=0)

    loss, gradient = loss_and_gradient(kernel, answers, temperature, alpha, weight)
    np.testing.assert_allclose(history.history["loss"][0], loss, rtol=1e-5)
    np.testing.assert_allclose((kernel - student.get_weights()[0]) / RATE, gradient, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_every_execution_trains_the_same_student(jit_compile, steps_per_execution):
    wise, student = teacher(), linear()
    before = wise.get_weights()
    distiller = compress.distill(wise, student, 2.0, 0.5)
    distiller.compile(
        keras.optimizers.SGD(RATE), cross_entropy(), jit_compile=jit_compile, steps_per_execution=steps_per_execution
    )
    distiller.fit(np.tile(X, (6, 1)), np.tile(Y, 6), batch_size=24, shuffle=False, verbose=0)

    kernel = linear().get_weights()[0]
    answers = wise.predict(X, verbose=0)
    for _ in range(6):
        kernel = kernel - RATE * loss_and_gradient(kernel, answers, 2.0, 0.5, np.ones(24))[1]
    np.testing.assert_allclose(student.get_weights()[0], kernel, atol=1e-5)
    for old, new in zip(before, wise.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_without_the_teacher_it_is_plain_training():
    plain, student = linear(), linear()
    for model, trained in ((plain, plain), (student, compress.distill(teacher(), student, alpha=0))):
        trained.compile(keras.optimizers.Adam(0.01), cross_entropy(), metrics=["accuracy"])
        trained.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        assert len(model.get_weights()) == 1
    np.testing.assert_allclose(plain.get_weights()[0], student.get_weights()[0], atol=1e-6)


def test_without_labels_it_only_imitates():
    distiller = compress.distill(teacher(), linear(), 2.0, alpha=1)
    distiller.compile(keras.optimizers.SGD(RATE))
    kernel, answers = distiller.student.get_weights()[0], teacher_answers(distiller)
    history = distiller.fit(X, batch_size=24, verbose=0)
    loss, _ = loss_and_gradient(kernel, answers, 2.0, 1.0, np.ones(24))
    np.testing.assert_allclose(history.history["loss"][0], loss, rtol=1e-5)


def teacher_answers(distiller):
    return keras.ops.convert_to_numpy(distiller._teach(keras.ops.convert_to_tensor(X))[0][0])


def test_regularization_of_the_student_counts_in_full():
    wise, student = linear(seed=1), linear(kernel_regularizer=keras.regularizers.L2(0.1))
    kernel, answers = student.get_weights()[0], wise.predict(X, verbose=0)
    distiller = compress.distill(wise, student, 2.0, 0.7)
    distiller.compile(keras.optimizers.SGD(RATE), cross_entropy())
    history = distiller.fit(X, Y, batch_size=24, verbose=0)
    loss, _ = loss_and_gradient(kernel, answers, 2.0, 0.7, np.ones(24))
    np.testing.assert_allclose(history.history["loss"][0], loss + 0.1 * np.square(kernel).sum(), rtol=1e-5)


def test_metrics_evaluation_and_files_are_the_students(tmp_path):
    student = linear()
    distiller = compress.distill(teacher(), student, alpha=0.5)
    distiller.compile("sgd", cross_entropy(), metrics=["accuracy"])
    logits = X @ student.get_weights()[0]
    loss, accuracy = distiller.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(loss, -np.log(softmax(logits)[np.arange(24), Y]).mean(), rtol=1e-5)
    assert accuracy == pytest.approx((logits.argmax(-1) == Y).mean())
    np.testing.assert_allclose(distiller.predict(X, verbose=0), logits, atol=1e-5)
    assert [id(w) for w in distiller.weights] == [id(w) for w in student.weights]

    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras")
    distiller.fit(X, Y, callbacks=[checkpoint], verbose=0)
    loaded = keras.models.load_model(tmp_path / "best.keras")
    assert type(loaded) is keras.Sequential
    np.testing.assert_array_equal(loaded.get_weights()[0], student.get_weights()[0])


def test_sequences_are_charged_step_by_step():
    a, b = RNG.normal(size=(2, 4, 6, 3)).astype("float32")
    p, q = softmax(a / 3.0), softmax(b / 3.0)
    expected = 9.0 * (p * np.log(p / q)).sum(-1).mean()
    np.testing.assert_allclose(float(SoftTargets(3.0)(a, b)), expected, rtol=1e-5)


@pytest.mark.skipif(not TF, reason="loss scaling and tf.distribute are TensorFlow's")
def test_mixed_precision_trains_a_half_precision_student():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        student = linear()
    finally:
        keras.config.set_dtype_policy("float32")
    wise = linear(seed=1)
    kernel, answers = student.get_weights()[0], wise.predict(X, verbose=0)
    distiller = compress.distill(wise, student, 2.0, 0.5)
    distiller.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(RATE)), cross_entropy())
    history = distiller.fit(X, Y, batch_size=24, verbose=0)
    loss, gradient = loss_and_gradient(kernel, answers, 2.0, 0.5, np.ones(24))
    np.testing.assert_allclose(history.history["loss"][0], loss, rtol=1e-2)
    np.testing.assert_allclose((kernel - student.get_weights()[0]) / RATE, gradient, atol=1e-2)


@pytest.mark.skipif(not TF, reason="loss scaling and tf.distribute are TensorFlow's")
def test_replicas_share_the_closed_form(mirrored):
    wise = linear(seed=1)
    with mirrored.scope():
        student = linear()
        distiller = compress.distill(wise, student, 2.0, 0.5)
        distiller.compile(keras.optimizers.SGD(RATE), cross_entropy(), jit_compile=False)
    kernel, answers = student.get_weights()[0], wise.predict(X, verbose=0)
    history = distiller.fit(X, Y, sample_weight=WEIGHT, batch_size=24, verbose=0)
    loss, gradient = loss_and_gradient(kernel, answers, 2.0, 0.5, WEIGHT)
    np.testing.assert_allclose(history.history["loss"][0], loss, rtol=1e-5)
    np.testing.assert_allclose((kernel - student.get_weights()[0]) / RATE, gradient, atol=1e-5)


def ends_in(*last):
    return keras.Sequential([keras.Input((5,)), layers.Dense(3), *last])


def nested(*last):
    return keras.Sequential([keras.Input((5,)), ends_in(*last)])


REFUSED = {
    "no model": (lambda: {"teacher": "teacher.keras"}, r"`distill\(teacher=...\)` must be a built keras.Model"),
    "unbuilt": (lambda: {"student": keras.Sequential([layers.Dense(3)])}, r"`distill\(student=...\)` must be a built"),
    "softmax layer": (lambda: {"teacher": ends_in(layers.Softmax(name="soft"))}, "but `soft` makes probabilities"),
    "softmax in a layer": (lambda: {"student": ends_in(layers.Dense(3, "softmax", name="soft"))}, "but `soft` makes"),
    "sigmoid inside": (lambda: {"teacher": nested(layers.Activation("sigmoid", name="soft"))}, "but `soft` makes"),
    "quantized": (lambda: {"student": compress.quantize_aware(ends_in(layers.Softmax(name="s")))}, "but `s` makes"),
    "other classes": (lambda: {"student": ends_in(layers.Dense(4))}, "the teacher's 3 classes, not 4"),
    "temperature": (lambda: {"temperature": 0.0}, r"`distill\(temperature=...\)` must be a finite number > 0"),
    "infinite": (lambda: {"temperature": float("inf")}, r"`distill\(temperature=...\)`"),
    "alpha": (lambda: {"alpha": 1.5}, r"`distill\(alpha=...\)` must be a finite number in \[0, 1\]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    build, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        compress.distill(**{"teacher": ends_in(), "student": ends_in(), **build()})


@pytest.mark.parametrize(
    "loss",
    [
        "sparse_categorical_crossentropy",
        "categorical_focal_crossentropy",
        "binary_focal_crossentropy",
        "kl_divergence",
        "KLDivergence",
        keras.losses.kl_divergence,
        keras.losses.CategoricalCrossentropy(),
        keras.losses.KLDivergence(),
    ],
)
def test_a_loss_that_reads_probabilities_is_refused(loss):
    distiller = compress.distill(ends_in(), ends_in())
    with pytest.raises(ValueError, match=r"`compile\(loss=...\)` must be a loss that reads logits"):
        distiller.compile("sgd", loss)
