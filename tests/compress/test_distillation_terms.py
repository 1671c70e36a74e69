"""Every term of a distillation loss against NumPy, written from the papers; who may teach; what it combines with."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dlopt import callbacks, compress, schedules
from keras_dlopt.compress import distillation
from keras_dlopt.compress.distillation import DKD, AttentionTransfer, Hint, Relational, SelfTeacher

TF = keras.backend.backend() == "tensorflow"
RNG = np.random.default_rng(0)
ROWS = 12
X = RNG.normal(size=(ROWS, 4, 4, 3)).astype("float32")
Y = RNG.integers(0, 5, ROWS)
WEIGHT = RNG.uniform(0.1, 2.0, ROWS).astype("float32")
SGD = 0.1


def network(width, seed, pool=1):
    """A convolution `features`, halved in size by the student's pooling, inside a model; logits."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4, 4, 3))
    stem = [keras.Input((4, 4, 3)), layers.Conv2D(width, 3, padding="same", activation="tanh", name="features")]
    x = keras.Sequential(stem, name="stem")(inputs)
    x = layers.AveragePooling2D(pool, name="pooled")(x)
    return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))


def outputs(model, *names):
    """The logits, and what the layers called `names` say, by another way than the code under test."""
    stem = model.get_layer("stem")
    features = keras.ops.convert_to_numpy(stem.layers[0](X))
    pooled = keras.ops.convert_to_numpy(model.get_layer("pooled")(features))
    known = {"features": features, "pooled": pooled}
    return model.predict(X, verbose=0), *(known[name] for name in names)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def kl(p, q):
    return (p * np.log(p / q)).sum(-1)


def one_step(distiller, y=Y, weight=WEIGHT, loss=True, **kwargs):
    """The loss of the first step, on all rows at once."""
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.SGD(SGD), entropy if loss else None, **kwargs)
    return distiller.fit(X, y, sample_weight=weight, batch_size=ROWS, shuffle=False, verbose=0).history["loss"][0]


def decoupled(t, s, temperature, target, others):
    p, q = softmax(t / temperature), softmax(s / temperature)
    rows = []
    for i, y in enumerate(Y):
        b, c = (np.array([r[i, y], 1 - r[i, y]]) for r in (p, q))
        rest_p, rest_q = (np.delete(r[i], y) / (1 - r[i, y]) for r in (p, q))
        rows.append(target * kl(b, c) + others * kl(rest_p, rest_q))
    return temperature**2 * np.array(rows)


@pytest.mark.both_backends
def test_decoupled():
    teacher, student = network(6, 1), network(3, 2)
    t, s = outputs(teacher)[0], outputs(student)[0]
    found = one_step(compress.distill(teacher, student, 3.0, 1.0, decoupled=DKD(1.5, 4.0)), loss=False)
    np.testing.assert_allclose(found, (WEIGHT * decoupled(t, s, 3.0, 1.5, 4.0)).mean(), rtol=1e-4)
    # With `others` at what the teacher leaves to them, it is the divergence of all classes.
    rest = 1 - softmax(t / 3.0)[np.arange(ROWS), Y]
    parts = decoupled(t, s, 3.0, 1.0, 0.0) + rest * decoupled(t, s, 3.0, 0.0, 1.0)
    np.testing.assert_allclose(parts, 9.0 * kl(softmax(t / 3), softmax(s / 3)), rtol=1e-4)


def test_decoupled_takes_one_hot_labels():
    t, s = RNG.normal(size=(2, ROWS, 5)).astype("float32")
    for labels in (Y, Y[:, None], np.eye(5)[Y]):
        found = DKD(1.5, 4.0).rows(*map(keras.ops.convert_to_tensor, (labels, t, s)), 3.0)
        np.testing.assert_allclose(found, decoupled(t, s, 3.0, 1.5, 4.0), rtol=1e-4)


def halved(maps):
    return maps.reshape(ROWS, 2, 2, 2, 2, -1).mean((2, 4))


def energy(maps):
    flat = np.square(maps).sum(-1).reshape(ROWS, -1)
    return flat / np.linalg.norm(flat, axis=-1, keepdims=True)


def huber(error):
    return np.where(np.abs(error) <= 1, error**2 / 2, np.abs(error) - 0.5)


def cosine(rows, i, j, k):
    one, other = rows[i] - rows[j], rows[k] - rows[j]
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


def relational(t, s, distance, angle, weight):
    total = 0.0
    t, s = t.reshape(ROWS, -1), s.reshape(ROWS, -1)
    lengths = [np.linalg.norm(r[:, None] - r[None], axis=-1) for r in (t, s)]
    lengths = [d / d[~np.eye(ROWS, dtype=bool)].mean() for d in lengths]
    for i in range(ROWS):
        for j in range(ROWS):
            if i == j:
                continue
            pair = weight[i] * weight[j]
            total += distance * pair * huber(lengths[0][i, j] - lengths[1][i, j]) / (ROWS * (ROWS - 1))
            for k in set(range(ROWS)) - {i, j}:
                error = huber(cosine(t, i, j, k) - cosine(s, i, j, k))
                total += angle * pair * weight[k] * error / (ROWS * (ROWS - 1) * (ROWS - 2))
    return total


@pytest.mark.both_backends
def test_layers_teach_layers():
    teacher, student = network(6, 1), network(3, 2, pool=2)
    (_, t), (_, s, pooled) = outputs(teacher, "features"), outputs(student, "features", "pooled")
    features = [
        Hint("pooled", "features", weight=2.0),  # narrower and smaller
        AttentionTransfer("pooled", "features", weight=3.0),
        Relational("features", "features", weight=0.5, distance=2.0, angle=3.0),
    ]
    distiller = compress.distill(teacher, student, alpha=0.0, features=features)
    (projector,) = distiller.projectors
    matrix = np.array(projector.get_weights()[0])
    hard = -np.log(softmax(outputs(student)[0])[np.arange(ROWS), Y])
    rows = hard + 2.0 * np.square(halved(t) - pooled @ matrix).mean((1, 2, 3)) / 2
    maps = energy(pooled) - halved(np.square(t).sum(-1, keepdims=True)).reshape(ROWS, -1) / np.linalg.norm(
        halved(np.square(t).sum(-1, keepdims=True)).reshape(ROWS, -1), axis=-1, keepdims=True
    )
    rows += 3.0 * np.linalg.norm(maps, axis=-1) / 2
    expected = (WEIGHT * rows).mean() + 0.5 * relational(t, s, 2.0, 3.0, WEIGHT)
    np.testing.assert_allclose(one_step(distiller), expected, rtol=1e-4)
    assert np.abs(projector.get_weights()[0] - matrix).max() > 0  # it learns, too
    assert len(student.get_weights()) == 4 and student.predict(X, verbose=0).shape == (ROWS, 5)


def test_hints_of_one_size_need_no_projector():
    teacher, student = network(3, 1), network(3, 2)
    distiller = compress.distill(teacher, student, alpha=0.0, features=Hint("features", "features"))
    assert distiller.projectors == []
    same = compress.distill(student, student, alpha=0.0, features=[AttentionTransfer("features", "features")])
    one_step(same)  # the norm's derivative at zero
    assert all(np.isfinite(weight).all() for weight in student.get_weights())


@pytest.mark.both_backends
def test_teachers_are_averaged():
    teachers, student = [network(6, 1), network(5, 3), network(4, 4)], network(3, 2)
    s = outputs(student)[0]
    p = np.mean([softmax(outputs(teacher)[0] / 2.0) for teacher in teachers], axis=0)
    expected = (WEIGHT * 4.0 * kl(p, softmax(s / 2.0))).mean()
    np.testing.assert_allclose(one_step(compress.distill(teachers, student, 2.0, 1.0), loss=False), expected, rtol=1e-4)


@pytest.mark.both_backends
@pytest.mark.parametrize("jit_compile", [True] + [False] * TF)
def test_temperature_and_weight_follow_schedules(jit_compile):
    teacher, student = network(6, 1), network(3, 2)
    alpha, temperature = schedules.LinearDecay(0.8, 4), schedules.Ramp(4.0, 4, start=0.5)
    distiller = compress.distill(teacher, student, temperature, alpha)
    losses = Losses()
    distiller.compile(
        keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(True), jit_compile=jit_compile
    )
    distiller.fit(
        np.tile(X, (3, 1, 1, 1)), np.tile(Y, 3), batch_size=ROWS, shuffle=False, verbose=0, callbacks=[losses]
    )
    t, s = outputs(teacher)[0], outputs(student)[0]
    hard, running = -np.log(softmax(s)[np.arange(ROWS), Y]).mean(), []
    for a, T in ((0.8, 2.0), (0.6, 2.5), (0.4, 3.0)):
        running.append((1 - a) * hard + a * T**2 * kl(softmax(t / T), softmax(s / T)).mean())
    np.testing.assert_allclose(losses.means, np.cumsum(running) / [1, 2, 3], rtol=1e-4)


class Losses(keras.callbacks.Callback):
    """The mean loss of the steps so far, after each."""

    def on_train_begin(self, logs=None):
        self.means = []

    def on_train_batch_end(self, batch, logs=None):
        self.means.append(float(logs["loss"]))


@pytest.mark.both_backends
def test_the_students_past_teaches():
    student = network(3, 2)
    distiller = compress.distill(SelfTeacher(0.75), student, 2.0, 0.5)
    weights = [student.get_weights()]
    one_step(distiller)
    for _ in range(2):
        weights.append(student.get_weights())
        distiller.fit(X, Y, batch_size=ROWS, verbose=0)
    average = weights[0]
    for later in weights[1:]:  # at the beginning of a step, what the last one has made
        average = [0.75 * a + 0.25 * w for a, w in zip(average, later, strict=True)]
    for got, want in zip(distiller.average.get_weights(), average, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)
    assert len(distiller.trainable_weights) == len(student.weights)


def test_cached_answers_train_the_same_student(tmp_path):
    teacher, students = network(6, 1), [network(3, 2), network(3, 2)]
    cached = distillation.cache_logits(teacher, X, tmp_path / "answers.npy", batch_size=5)
    np.testing.assert_array_equal(cached.logits, teacher.predict(X, batch_size=5, verbose=0))
    for used, student in zip((teacher, cached), students, strict=True):
        distiller = compress.distill(used, student, 2.0, 0.7)
        distiller.compile(
            keras.optimizers.SGD(SGD), keras.losses.SparseCategoricalCrossentropy(True), metrics=["accuracy"]
        )
        history = distiller.fit(
            X, Y, batch_size=4, epochs=2, sample_weight=WEIGHT, verbose=0, shuffle=False, validation_data=(X, Y)
        ).history
        assert "val_accuracy" in history
    for one, other in zip(*(student.get_weights() for student in students), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_files_of_others_are_no_answers(tmp_path):
    teacher, x = keras.Sequential([keras.Input((3,)), layers.Dense(2)]), RNG.normal(size=(8, 3)).astype("float32")
    path, beside = tmp_path / "a.npy", tmp_path / "a.json"

    def refused(message):
        with pytest.raises(ValueError, match=rf"cache_logits\(path=.*{message}"):
            distillation.cache_logits(teacher, x, path)

    np.save(path, x)
    refused("a.json is missing")
    np.testing.assert_array_equal(np.load(path), x)
    path.unlink()
    for foreign in ('{"mine": 1}', "[]", "no JSON"):
        beside.write_text(foreign)
        refused("a.json is not its own")
        assert beside.read_text() == foreign
    beside.unlink()
    distillation.cache_logits(teacher, x, path)
    np.save(path, x)
    refused("answers of shape .8, 2., as a.json says")


def test_caching_goes_on_where_it_broke_off(tmp_path, monkeypatch):
    teacher = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    x = RNG.normal(size=(200, 3)).astype("float32")
    predict, asked = type(teacher).predict, []

    def break_off(self, rows, **kwargs):
        asked.append(len(rows))
        if len(asked) == 4:
            raise KeyboardInterrupt
        return predict(self, rows, **kwargs)

    monkeypatch.setattr(type(teacher), "predict", break_off)
    with pytest.raises(KeyboardInterrupt):
        distillation.cache_logits(teacher, x, tmp_path / "a.npy", batch_size=2)
    assert not (tmp_path / "a.npy").exists()
    cached = distillation.cache_logits(teacher, x, tmp_path / "a.npy", batch_size=2)
    assert asked == [2, 64, 64, 64, 2, 64, 8]  # 128 rows were there
    np.testing.assert_array_equal(cached.logits, predict(teacher, x, batch_size=2, verbose=0))
    distillation.cache_logits(teacher, x, tmp_path / "a.npy", batch_size=2)
    assert len(asked) == 7  # only opened
    teacher.set_weights([w + 1 for w in teacher.get_weights()])
    with pytest.raises(ValueError, match=r"cache_logits\(path=.*this teacher, this data"):
        distillation.cache_logits(teacher, x, tmp_path / "a.npy", batch_size=2)


@pytest.mark.skipif(not TF, reason="tf.distribute")
def test_replicas_learn_as_one(mirrored):
    """Features, schedules and the average of weights under two replicas."""

    def train():
        student = network(3, 2)
        features = [Hint("features", "features")]
        distiller = compress.distill(SelfTeacher(0.75), student, 2.0, schedules.LinearDecay(0.8, 4), features=features)
        distiller.compile(
            keras.optimizers.SGD(SGD), keras.losses.SparseCategoricalCrossentropy(True), jit_compile=False
        )
        distiller.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
        return distiller.get_weights()

    alone = train()
    with mirrored.scope():
        together = train()
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.both_backends
def test_half_precision_is_summed_in_float32():
    teacher = network(6, 1)
    with_half = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        student = network(3, 2)
        distiller = compress.distill(teacher, student, 2.0, 0.5, features=Hint("features", "features"))
    finally:
        keras.config.set_dtype_policy(with_half)
    loss = one_step(distiller)
    exact = one_step(compress.distill(teacher, network(3, 2), 2.0, 0.5))
    assert np.isfinite(loss) and loss > 0.9 * exact


def test_pruned_and_quantized_while_it_learns():
    keras.utils.set_random_seed(3)
    teacher = network(6, 1)
    student = keras.Sequential(
        [
            keras.Input((4, 4, 3)),
            layers.Conv2D(4, 3, padding="same", name="features"),
            layers.Flatten(),
            layers.Dense(5),
        ]
    )
    quantized = compress.quantize_aware(student)
    distiller = compress.distill(teacher, quantized, 2.0, 0.5, features=Hint("features", "features"))
    distiller.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(True), jit_compile=False)
    history = distiller.fit(X, Y, batch_size=4, epochs=4, verbose=0, callbacks=[callbacks.Prune(0.5)]).history
    assert history["sparsity"][-1] == pytest.approx(0.5, abs=1e-3)
    kernels = [v for v in quantized.weights if v.path.endswith("kernel")]
    assert [np.mean(kernel.numpy() == 0) for kernel in kernels] == pytest.approx([0.5, 0.5], abs=1e-3)
    assert np.all(distiller.projectors[0].get_weights()[0] != 0)
    assert history["loss"][-1] < history["loss"][0]


def narrow():
    return network(3, 2)


REFUSED = {
    "no teacher": (lambda: compress.distill([], narrow()), r"distill\(teacher=.*at least one"),
    "mixed": (lambda: compress.distill([narrow(), SelfTeacher()], narrow()), r"distill\(teacher=.*models alone"),
    "momentum": (lambda: SelfTeacher(1.0), r"SelfTeacher\(momentum=.*1.0"),
    "decoupled": (lambda: compress.distill(narrow(), narrow(), decoupled=2.0), r"distill\(decoupled=.*DKD.*2.0"),
    "DKD": (lambda: DKD(others=-1), r"DKD\(others=.*-1"),
    "features": (lambda: compress.distill(narrow(), narrow(), features=["conv"]), r"distill\(features=.*Hint.*'conv'"),
    "layer": (
        lambda: compress.distill(narrow(), narrow(), features=Hint("conv", "features")),
        r"distill\(features.student=.*features, .*'conv'",
    ),
    "rank": (
        lambda: compress.distill(narrow(), narrow(), features=Hint("flatten", "features")),
        r"(?s)distill\(features.student=|Hint\(student=",
    ),
    "weight": (lambda: Hint("a", "b", weight=0), r"Hint\(weight=.*> 0.*0"),
    "name": (lambda: Relational(1, "b"), r"Relational\(student=.*name of a layer.*1"),
    "ensemble with features": (
        lambda: compress.distill([narrow(), narrow()], narrow(), features=Hint("features", "features")),
        r"distill\(features=.*ensemble",
    ),
    "cache elsewhere": (lambda: distillation.cache_logits(narrow(), X, "a.npz"), r"cache_logits\(path=.*\.npy"),
    "cache without rows": (lambda: distillation.cache_logits(narrow(), X[:0], "a.npy"), r"cache_logits\(x=.*rows"),
    "labels for DKD": (
        lambda: one_step(
            compress.distill(narrow(), narrow(), alpha=1, decoupled=DKD()), y=None, weight=None, loss=False
        ),
        "labels",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call()
