"""Knowledge distillation: a small model learns from the labels and from what a trained, larger one answers."""

import keras
import numpy as np
from keras import ops

from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.compress import graph as graphs
from keras_dlopt.compress.fake_quant import FakeQuant

# Keras's losses that expect probabilities unless told otherwise.
CROSS_ENTROPIES = ("categorical_crossentropy", "sparse_categorical_crossentropy", "binary_crossentropy")


def distill(teacher, student, temperature=4.0, alpha=0.9):
    r"""A model that trains `student` on labels and on the answers of `teacher` at once.

    With logits `t` of the teacher and `s` of the student, each row is charged

        `(1 - alpha) * loss(y, s) + alpha * T**2 * KL(softmax(t / T) || softmax(s / T))`

    where `loss` is what it is compiled with. `T**2` keeps the two gradients of one size when `T` changes. Sample and
    class weights apply to both terms. Regularization losses of the student are added in full.

    Compile and fit it like any model; metrics, `evaluate`, `predict` and `save` are the student's. The teacher runs in
    inference mode, is not changed, not trained and not saved.

    Args:
        teacher: a trained `keras.Model` that returns logits.
        student: the built `keras.Model` to train; it returns as many logits. It stays a plain model.
        temperature: `T`, positive. Higher values show more of how the teacher ranks the wrong classes. Defaults to 4.
        alpha: the teacher's share of the loss, in [0, 1]. Defaults to 0.9.

    Returns:
        A `Distiller`, a `keras.Model`.

    Raises:
        ValueError: if a model returns probabilities, or the numbers of classes differ.

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
    for name, model in (("teacher", teacher), ("student", student)):
        if not isinstance(model, keras.Model) or not model.built:
            raise invalid("distill", name, model, "a built keras.Model")
        layer = _makes_probabilities(model)
        if layer is not None:
            raise invalid(
                "distill", name, model, f"a model that returns logits, but `{layer.name}` makes probabilities"
            )
    check_number("distill", "temperature", temperature, low=0, ends="()")
    check_number("distill", "alpha", alpha, low=0, high=1)
    classes = [model.output_shape[-1] for model in (teacher, student) if graphs.functional(model)]
    if len(set(classes)) > 1:
        raise invalid(
            "distill", "student", student, f"a model with the teacher's {classes[0]} classes, not {classes[1]}"
        )
    return Distiller(teacher, student, temperature, alpha)


class SoftTargets(keras.losses.Loss):
    """`T**2 * KL(softmax(y_true / T) || softmax(y_pred / T))` over the last axis, both arguments logits.

    Example:

    >>> loss = SoftTargets(temperature=2.0)
    >>> round(float(loss(ops.array([[1.0, 3.0]]), ops.array([[3.0, 1.0]]))), 4)
    1.8485
    """

    def __init__(self, temperature):
        super().__init__(name="soft_targets")
        self.temperature = temperature

    def call(self, y_true, y_pred):
        teacher = ops.log_softmax(y_true / self.temperature)
        student = ops.log_softmax(y_pred / self.temperature)
        return self.temperature**2 * ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)


class Distiller(keras.Model):
    """What `distill` returns: `student`, trained with the teacher's answers besides the labels."""

    def __init__(self, teacher, student, temperature, alpha):
        super().__init__(name=f"distill_{student.name}")
        self.student = student
        self.alpha = alpha
        self.soft_targets = SoftTargets(temperature)
        # A function, not an attribute that Keras tracks: the teacher is no part of this model's weights or files.
        self._teach = lambda x: ops.stop_gradient(teacher(x, training=False))

    def call(self, inputs, training=None):
        return self.student(inputs, training=training)

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        """Keras's `compile`; `loss` must read logits, and may be missing if `alpha` is 1."""
        named = keras.losses.get(loss) if isinstance(loss, str) else loss
        if getattr(named, "from_logits", None) is False or getattr(named, "__name__", None) in CROSS_ENTROPIES:
            raise invalid("compile", "loss", loss, "a loss that reads logits: construct it with from_logits=True")
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def fit(self, x=None, y=None, *args, **kwargs):
        """Keras's `fit`; whole-number labels in an array must be classes of the student, or it does not begin."""
        labels = np.asarray(y) if y is not None and hasattr(y, "__array__") else np.empty(0)
        classes = self.student.output_shape[-1] if graphs.functional(self.student) else np.inf
        if np.issubdtype(labels.dtype, np.integer) and labels.size:
            outside = labels[(labels < 0) | (labels >= classes)]
            if outside.size:
                raise invalid("fit", "y", np.unique(outside)[:5].tolist(), f"labels from 0 to {classes - 1}")
        return super().fit(x, y, *args, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if not training or self.alpha == 0:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        loss = self.alpha * self.soft_targets(self._teach(x), y_pred, sample_weight)
        for extra in self.losses:
            loss += self.alpha * self._aggregate_additional_loss(extra)
        if self.alpha < 1:
            loss += (1 - self.alpha) * super().compute_loss(x, y, y_pred, sample_weight, training)
        return loss

    def save(self, filepath, overwrite=True, **kwargs):
        """Saves the student, as a model of its own."""
        self.student.save(filepath, overwrite=overwrite, **kwargs)


def _makes_probabilities(model):
    """The layer that turns the model's output into probabilities, if that can be seen."""
    graph = graphs.functional(model)
    if graph is None:
        return None
    producers = graphs.producers(graph)
    for output in graph.outputs:
        node = producers.get(id(output))
        while node is not None and isinstance(node.operation, FakeQuant):
            node = producers.get(id(node.input_tensors[0]))
        if node is None:
            continue
        last = node.operation
        if isinstance(last, keras.Model):
            found = _makes_probabilities(last)
            if found is not None:
                return found
        activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__.lower())
        if activation in ("softmax", "sigmoid"):
            return last
    return None
