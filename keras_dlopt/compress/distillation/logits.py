"""What a teacher's logits teach: the losses between two sets of logits, one value a row."""

import keras
from keras import ops

from keras_dlopt.arguments import check_number


class SoftTargets(keras.losses.Loss):
    r"""`T**2 * KL(softmax(y_true / T) || softmax(y_pred / T))` over the last axis, both arguments logits.

    `T**2` keeps the gradients of one size when `T` changes.

    Reference:
        Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531.

    Example:

    >>> loss = SoftTargets(temperature=2.0)
    >>> round(float(loss(ops.array([[1.0, 3.0]]), ops.array([[3.0, 1.0]]))), 4)
    1.8485
    """

    def __init__(self, temperature=4.0):
        super().__init__(name="soft_targets")
        self.temperature = temperature

    def call(self, y_true, y_pred):
        return self.rows(None, y_true, y_pred, self.temperature)

    def rows(self, labels, teacher, student, temperature):
        """The loss of each row, at this step's temperature; `labels` do not matter."""
        return temperature**2 * _divergence(_log(teacher / temperature), _log(student / temperature))


class DKD:
    r"""Decoupled distillation: how sure the teacher is of the label, and how it ranks the others, apart.

    With $b = (p_y, 1 - p_y)$ the probability of the label and of the rest, and $\hat p$ the probabilities of the other
    classes among themselves, all at temperature $T$ (t: teacher, s: student),

    $$T^2 \left(a \, KL(b^t \| b^s) + b \, KL(\hat p^t \| \hat p^s)\right)$$

    Hinton's loss is the case $a = 1$ and $b = 1 - p^t_y$: the surer the teacher, the less it tells.

    Args:
        target: $a$, 0 or more. Defaults to 1.
        others: $b$, 0 or more. Defaults to 8, the authors' choice for CIFAR-100.

    Reference:
        Zhao et al., "Decoupled Knowledge Distillation", arXiv 2203.08679.
    """

    def __init__(self, target=1.0, others=8.0):
        self.target = check_number("DKD", "target", target, low=0)
        self.others = check_number("DKD", "others", others, low=0)

    def rows(self, labels, teacher, student, temperature):
        """The loss of each row; `labels` are whole numbers or one-hot rows."""
        if labels is None:
            raise ValueError("`DKD` compares the label with the other classes: it needs labels.")
        classes = student.shape[-1]
        if len(labels.shape) == len(student.shape) and labels.shape[-1] == classes and classes > 1:
            label = ops.cast(labels, "float32")
        else:
            label = ops.one_hot(ops.cast(ops.reshape(labels, ops.shape(student)[:-1]), "int32"), classes)
        parts = []
        for logits in (teacher / temperature, student / temperature):
            others = ops.where(label > 0.5, -1e9, logits)
            mine = ops.sum(label * _log(logits), axis=-1)
            rest = ops.logsumexp(others, axis=-1) - ops.logsumexp(logits, axis=-1)
            parts.append((ops.stack([mine, rest], axis=-1), _log(others)))
        (sure, ranks), (sure_s, ranks_s) = parts
        loss = self.target * _divergence(sure, sure_s) + self.others * _divergence(ranks, ranks_s)
        return temperature**2 * loss


def _log(logits):
    return ops.log_softmax(logits, axis=-1)


def _divergence(teacher, student):
    """KL of log-probabilities."""
    return ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
