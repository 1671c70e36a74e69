"""Knowledge distillation: a small model learns from the labels and from what a trained, larger one answers."""

from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.compress import graph as graphs
from keras_dlopt.compress.distillation.distiller import Distiller
from keras_dlopt.compress.distillation.features import AttentionTransfer, Feature, Hint, Relational
from keras_dlopt.compress.distillation.logits import DKD, SoftTargets
from keras_dlopt.compress.distillation.teachers import CachedLogits, SelfTeacher, cache_logits, check_logits

__all__ = [
    "DKD",
    "AttentionTransfer",
    "CachedLogits",
    "Distiller",
    "Hint",
    "Relational",
    "SelfTeacher",
    "SoftTargets",
    "cache_logits",
    "distill",
]


def distill(teacher, student, temperature=4.0, alpha=0.9, *, decoupled=None, features=()):
    r"""A model that trains `student` on labels and on the answers of `teacher` at once.

    With logits `t` of the teacher and `s` of the student, each row is charged

        `(1 - alpha) * loss(y, s) + alpha * T**2 * KL(softmax(t / T) || softmax(s / T)) + features`

    where `loss` is what it is compiled with. `T**2` keeps the two gradients of one size when `T` changes. Sample and
    class weights apply to all terms. Regularization losses of the student are added in full.

    Compile and fit it like any model, with `callbacks.Prune` or on a student from `quantize_aware`, too; metrics,
    `evaluate`, `predict` and `save` are the student's. The teacher runs in inference mode, is not changed, not trained
    and not saved.

    Args:
        teacher: a trained `keras.Model` that returns logits; a list of such, whose probabilities are averaged; a
            `SelfTeacher`, the average of the student's own weights; or a `CachedLogits`, answers on disk.
        student: the built `keras.Model` to train; it returns as many logits. It stays a plain model.
        temperature: `T`, positive, or a schedule: a function of the step. Higher values show more of how the teacher
            ranks the wrong classes. Defaults to 4.
        alpha: the teacher's share of the loss, in [0, 1], or a schedule. Defaults to 0.9.
        decoupled: a `DKD` in the place of the divergence; it needs labels that are classes.
        features: layers that learn from layers: `Hint`, `AttentionTransfer` and `Relational` in a list. The student
            and the first teacher must be Sequential or functional.

    Returns:
        A `Distiller`, a `keras.Model`.

    Raises:
        ValueError: if a model returns probabilities, the numbers of classes differ, or layers do not fit.

    Reference:
        Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import compress
    >>> teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3)])
    >>> student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> distiller = compress.distill(teacher, student, temperature=2.0, alpha=0.5)
    >>> distiller.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> history = distiller.fit(np.ones((8, 4)), np.zeros(8), verbose=0)
    >>> distiller.student is student
    True
    """
    teachers = list(teacher) if isinstance(teacher, list | tuple) else [teacher]
    if not teachers:
        raise invalid("distill", "teacher", teacher, "at least one model")
    trained = [one for one in teachers if not isinstance(one, SelfTeacher | CachedLogits)]
    for one in trained:
        check_logits("distill", "teacher", one)
    check_logits("distill", "student", student)
    if trained and len(trained) < len(teachers) or not trained and len(teachers) > 1:
        raise invalid("distill", "teacher", teacher, "a list of models alone")
    if not callable(temperature):
        check_number("distill", "temperature", temperature, low=0, ends="()")
    if not callable(alpha):
        check_number("distill", "alpha", alpha, low=0, high=1)
    if decoupled is not None and not isinstance(decoupled, DKD):
        raise invalid("distill", "decoupled", decoupled, "a DKD")
    features = list(features) if isinstance(features, list | tuple) else [features]
    for feature in features:
        if not isinstance(feature, Feature):
            raise invalid("distill", "features", feature, "made of Hint, AttentionTransfer and Relational")
    if features and (isinstance(teachers[0], CachedLogits) or len(teachers) > 1):
        raise invalid("distill", "features", features, "left out for an ensemble, and for answers on disk")
    if graphs.functional(student):
        classes = student.output_shape[-1]
        known = [one.output_shape[-1] for one in trained if graphs.functional(one)]
        known += [one.logits.shape[-1] for one in teachers if isinstance(one, CachedLogits)]
        for found in known:
            if found != classes:
                raise invalid(
                    "distill", "student", student, f"a model with the teacher's {found} classes, not {classes}"
                )
    soft = SoftTargets() if decoupled is None else decoupled
    return Distiller(teachers, student, temperature, alpha, soft, features)
