"""The model that trains a student."""

import copy
import threading

import keras
import numpy as np
from keras import ops

from keras_dlopt.arguments import invalid
from keras_dlopt.compress import graph as graphs
from keras_dlopt.compress.distillation.teachers import CachedLogits, SelfTeacher
from keras_dlopt.step import Observer

# Keras's losses that expect probabilities, unless told otherwise where they can be.
READ_PROBABILITIES = (
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
    "binary_crossentropy",
    "categorical_focal_crossentropy",
    "binary_focal_crossentropy",
    "kl_divergence",
)


class Distiller(keras.Model):
    """What `distill` returns: `student`, trained with the teacher's answers besides the labels."""

    def __init__(self, teachers, student, temperature, alpha, soft, features):
        super().__init__(name=f"distill_{student.name}")
        self.student = student
        self.alpha, self.temperature, self.soft = alpha, temperature, soft
        self._cached = teachers[0] if isinstance(teachers[0], CachedLogits) else None
        if isinstance(teachers[0], SelfTeacher):
            # It is part of this model: its weights change in the step, and a run that goes on needs them.
            self._momentum = teachers[0].momentum
            self.average = copy.deepcopy(student)
            self.average.trainable = False
            teachers = [self.average]
        # Functions, not attributes that Keras tracks: other teachers are no part of this model's weights or files.
        self._teach = lambda x: ([teacher(x, training=False) for teacher in teachers], [])
        self._features = lambda: []
        if features:
            self._learn_features(teachers[0], features)
        self._mean, self._carry = _Mean(name="rows"), threading.local()
        if any(map(callable, (temperature, alpha, *(feature.weight for feature in features)))):
            self._count = self.add_weight(
                shape=(), dtype="int32", initializer="zeros", trainable=False, aggregation="only_first_replica"
            )

    def _learn_features(self, teacher, features):
        told = tapped(teacher, "teacher", [feature.teacher for feature in features])
        own = tapped(self.student, "student", [feature.student for feature in features])
        shapes = [[tuple(tap.shape[1:]) for tap in model.outputs[1:]] for model in (own, told)]
        projectors = [feature.build(*pair) for feature, *pair in zip(features, *shapes, strict=True)]
        self.projectors = [projector for projector in projectors if projector is not None]
        for projector, tap in zip(projectors, own.outputs[1:], strict=True):
            if projector is not None:
                projector.build(tap.shape)

        def teach(x):
            logits, *taps = told(x, training=False)
            return [logits], taps

        self._teach, self._run_with_taps = teach, lambda x: own(x, training=True)
        self._features = lambda: list(zip(features, projectors, strict=True))

    def call(self, inputs, training=None):
        if training and self._features():
            outputs, *self._carry.taps = self._run_with_taps(inputs)
            return outputs
        return self.student(inputs, training=training)

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        """Keras's `compile`; `loss` must read logits, and may be missing if `alpha` is 1."""
        named = keras.losses.get(loss) if isinstance(loss, str) else loss
        function = getattr(named, "fn", named)
        if not getattr(named, "from_logits", getattr(function, "__name__", None) not in READ_PROBABILITIES):
            raise invalid("compile", "loss", loss, "a loss that reads logits, as those made with from_logits=True")
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def fit(self, x=None, y=None, *args, **kwargs):
        """Keras's `fit`; whole-number labels in an array must be classes of the student, or it does not begin.

        With cached answers `x` is the array that they were made from; a data set gives
        `{"labels": y, "answers": logits}` in the place of `y`.
        """
        labels = np.asarray(y) if y is not None and hasattr(y, "__array__") else np.empty(0)
        classes = self.student.output_shape[-1] if graphs.functional(self.student) else np.inf
        if np.issubdtype(labels.dtype, np.integer) and labels.size:
            outside = labels[(labels < 0) | (labels >= classes)]
            if outside.size:
                raise invalid("fit", "y", np.unique(outside)[:5].tolist(), f"labels from 0 to {classes - 1}")
        if self._cached is not None and hasattr(x, "__array__"):
            answers = self._cached.logits
            if len(x) != len(answers):
                raise invalid("fit", "x", f"{len(x)} rows", f"the {len(answers)} rows that the teacher answered")
            y = {"answers": answers} if y is None else {"labels": y, "answers": answers}
        return super().fit(x, y, *args, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        labels, answers, sample_weight = _parts(y, sample_weight)
        if not training or (_is(self.alpha, 0) and not self._features()):
            return super().compute_loss(x, labels, y_pred, sample_weight, training)
        alpha, temperature, *weights = self._at_this_step()
        if hasattr(self, "average"):
            self._average_weights()
        asked, told = self._teach(x) if answers is None else ([answers], [])
        loss = ops.zeros(())
        if not _is(self.alpha, 0):
            teacher = ops.stop_gradient(_ensemble([ops.cast(logits, "float32") for logits in asked], temperature))
            rows = self.soft.rows(labels, teacher, ops.cast(y_pred, "float32"), temperature)
            loss += alpha * self._mean(rows, rows, sample_weight)
            for extra in self.losses:
                loss += alpha * self._aggregate_additional_loss(extra)
        if not _is(self.alpha, 1):
            loss += (1 - alpha) * super().compute_loss(x, labels, y_pred, sample_weight, training)
        for i, (feature, projector) in enumerate(self._features()):
            teacher = ops.stop_gradient(ops.cast(told[i], "float32"))
            student = ops.cast(self._carry.taps[i], "float32")
            rows = feature.rows(student, teacher, projector, sample_weight)
            loss += weights[i] * self._mean(rows, rows, None if feature.weighs_rows else sample_weight)
        return loss

    def _at_this_step(self):
        """`alpha`, the temperature and the weights of the features, as numbers or tensors."""
        values = [self.alpha, self.temperature, *(feature.weight for feature, _ in self._features())]
        if not any(map(callable, values)):
            return values
        step = ops.convert_to_tensor(self._count)
        values = [ops.cast(value(step), "float32") if callable(value) else value for value in values]
        self._count.assign(self._count + 1)  # not before: on TensorFlow `step` may be the variable itself
        return values

    def _average_weights(self):
        for mean, weight in zip(self.average.weights, self.student.weights, strict=True):
            if "float" in weight.dtype:
                here = ops.convert_to_tensor(weight)
                _WRITER.assign(mean, here + self._momentum * (ops.convert_to_tensor(mean) - here))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        labels, _, sample_weight = _parts(y, sample_weight)
        return super().compute_metrics(x, labels, y_pred, sample_weight)

    def save(self, filepath, overwrite=True, **kwargs):
        """Saves the student, as a model of its own."""
        self.student.save(filepath, overwrite=overwrite, **kwargs)


class _Mean(keras.losses.Loss):
    """The mean of rows, as Keras's losses take it: with sample weights, and divided among replicas."""

    def call(self, y_true, y_pred):
        return y_pred


# Writes variables in the step, under every strategy.
_WRITER = Observer()


def _is(value, number):
    return not callable(value) and value == number


def _parts(y, sample_weight):
    """Labels, cached answers and sample weights, of which Keras makes one for each when they come together."""
    if not (isinstance(y, dict) and "answers" in y and set(y) <= {"labels", "answers"}):
        return y, None, sample_weight
    if isinstance(sample_weight, dict):
        sample_weight = sample_weight["answers"]
    return y.get("labels"), y["answers"], sample_weight


def _ensemble(logits, temperature):
    """Logits whose softmax at `temperature` is the mean of the teachers'."""
    if len(logits) == 1:
        return logits[0]
    each = ops.log_softmax(ops.stack(logits) / temperature, axis=-1)
    return temperature * (ops.logsumexp(each, axis=0) - np.log(len(logits)).astype("float32"))


def tapped(model, who, names):
    """A model that shares the layers of `model` and returns its output, then those of the layers called `names`."""
    graph = graphs.functional(model)
    if graph is None or len(graph.outputs) != 1:
        raise invalid("distill", who, model, "a Sequential or functional model with one output, to learn from layers")
    found = {}

    def call(node, args, kwargs):
        inner = graphs.functional(node.operation)
        if inner is None:
            outputs = node.operation(*args, **kwargs)
        else:
            outputs = graphs.replay(inner, keras.tree.flatten(args[0]), call)
            outputs = keras.tree.pack_sequence_as(inner._outputs_struct, outputs)
        found.setdefault(node.operation.name, outputs)
        return outputs

    copied = graphs.rebuild(graph, lambda tensor: tensor, call, name=model.name)
    for name in names:
        if not isinstance(found.get(name), keras.KerasTensor):
            raise invalid("distill", f"features.{who}", name, f"a layer with one output: {', '.join(found)}")
    return keras.Model(copied.inputs, [*copied.outputs, *(found[name] for name in names)])
