"""What a teacher's inner layers teach: losses between the outputs of two layers, one value a row."""

import keras
from keras import ops

from keras_dlopt.arguments import check_number, invalid


class Feature:
    """A layer of the student that learns from a layer of the teacher.

    Args:
        student, teacher: names of the layers; those of models inside models, too.
        weight: what the loss is multiplied by, a positive number, or a schedule: a function of the step.
    """

    weighs_rows = False  # whether `rows` has put the sample weights in already

    def __init__(self, student, teacher, weight=1.0):
        where = type(self).__name__
        for name, value in (("student", student), ("teacher", teacher)):
            if not isinstance(value, str):
                raise invalid(where, name, value, "the name of a layer")
        if not callable(weight):
            check_number(where, "weight", weight, low=0, ends="()")
        self.student, self.teacher, self.weight = student, teacher, weight

    def build(self, student, teacher):
        """Told the shapes of both layers' outputs, without rows; returns a layer to be trained along, or `None`."""

    def rows(self, student, teacher, projector, sample_weight):
        """The loss of each row, from float32 outputs."""
        raise NotImplementedError


class Hint(Feature):
    r"""The student's features, projected to the teacher's width, should be the teacher's (FitNets).

    $$\frac{1}{2n} \sum_{i=1}^{n} \left(t_i - r(s)_i\right)^2$$

    over all $n$ numbers of a row. Where widths differ, $r$ is a matrix over the last axis, a 1x1 convolution, that is
    trained along; where heights or widths of images do, the larger is averaged down to the smaller.

    Reference:
        Romero et al., "FitNets: Hints for Thin Deep Nets", arXiv 1412.6550.
    """

    def build(self, student, teacher):
        if len(student) != len(teacher):
            raise invalid(
                "Hint", "student", self.student, f"a layer with outputs of rank {len(teacher)}, not {student}"
            )
        _ratios("Hint", self, student[:-1], teacher[:-1])
        return Projector(teacher[-1], name=f"projector_{self.student}") if student[-1] != teacher[-1] else None

    def rows(self, student, teacher, projector, sample_weight):
        student, teacher = _same_size(student, teacher)
        student = student if projector is None else projector(student)
        difference = teacher - ops.cast(student, "float32")
        return ops.mean(ops.reshape(difference**2, (ops.shape(teacher)[0], -1)), axis=-1) / 2


class AttentionTransfer(Feature):
    r"""The student should look where the teacher looks.

    With $Q = \sum_c A_c^2$, the energy of all channels at each place,

    $$\frac{1}{2} \left\| \frac{Q_s}{\|Q_s\|_2} - \frac{Q_t}{\|Q_t\|_2} \right\|_2$$

    Widths need not agree; where heights or widths of images differ, the larger map is averaged down.

    Reference:
        Zagoruyko, Komodakis, "Paying More Attention to Attention", arXiv 1612.03928.
    """

    def build(self, student, teacher):
        if len(student) != len(teacher) or len(student) < 2:
            accepted = f"a layer with places and channels like the teacher's {teacher}, not {student}"
            raise invalid("AttentionTransfer", "student", self.student, accepted)
        _ratios("AttentionTransfer", self, student[:-1], teacher[:-1])

    def rows(self, student, teacher, projector, sample_weight):
        maps = [ops.sum(ops.square(made), axis=-1, keepdims=True) for made in (student, teacher)]
        maps = [ops.reshape(made, (ops.shape(made)[0], -1)) for made in _same_size(*maps)]
        one, other = (made / (ops.norm(made, axis=-1, keepdims=True) + 1e-12) for made in maps)
        return _root(ops.sum(ops.square(one - other), axis=-1)) / 2


class Relational(Feature):
    r"""The rows of a batch should lie to each other as they do for the teacher.

    With $d_{ij}$ the distance between two rows divided by the mean of all, $\cos_{ijk}$ of the angle at $j$ that three
    make, and $l$ Huber's loss, the mean over all pairs and over all triples of different rows

    $$D \cdot l(d^t_{ij}, d^s_{ij}) + A \cdot l(\cos^t_{ijk}, \cos^s_{ijk})$$

    Pairs and triples count with the product of their rows' weights. Angles need memory for the cube of the batch.

    Args:
        distance, angle: $D$ and $A$, 0 or more. Default to 25 and 50, as the authors have them.

    Reference:
        Park et al., "Relational Knowledge Distillation", arXiv 1904.05068.
    """

    weighs_rows = True

    def __init__(self, student, teacher, weight=1.0, distance=25.0, angle=50.0):
        super().__init__(student, teacher, weight)
        self.distance = check_number("Relational", "distance", distance, low=0)
        self.angle = check_number("Relational", "angle", angle, low=0)

    def rows(self, student, teacher, projector, sample_weight):
        one, other = (ops.reshape(made, (ops.shape(made)[0], -1)) for made in (student, teacher))
        count = ops.shape(one)[0]
        apart = 1.0 - ops.eye(count)
        pairs = apart if sample_weight is None else apart * sample_weight[:, None] * sample_weight[None, :]
        number = ops.cast(count, "float32")
        loss = ops.zeros((count,))
        if self.distance:
            errors = _huber(_distances(one, apart), _distances(other, apart))
            loss += self.distance * ops.sum(errors * pairs, axis=1) / ops.maximum(number - 1, 1)
        if self.angle:
            errors = _huber(_angles(one), _angles(other))
            triples = pairs[:, :, None] * apart[None] * apart[:, None, :]
            if sample_weight is not None:
                triples *= sample_weight[None, None, :]
            each = ops.maximum((number - 1) * (number - 2), 1)
            loss += self.angle * ops.sum(errors * triples, axis=(1, 2)) / each
        return loss


class Projector(keras.layers.Layer):
    """A matrix over the last axis. No `Dense`, which pruning and quantization would take for the student's."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.matrix = self.add_weight(name="matrix", shape=(input_shape[-1], self.units))

    def call(self, inputs):
        return ops.matmul(inputs, self.matrix)


def _ratios(where, feature, student, teacher):
    for one, other in zip(student, teacher, strict=True):
        if one is None or other is None or max(one, other) % min(one, other):
            accepted = f"a layer whose size {student} and the teacher's {teacher} are multiples of each other"
            raise invalid(where, "student", feature.student, accepted)


def _same_size(one, other):
    for axis in range(1, len(one.shape) - 1):
        size = min(one.shape[axis], other.shape[axis])
        one, other = _averaged(one, axis, size), _averaged(other, axis, size)
    return one, other


def _averaged(features, axis, size):
    if features.shape[axis] == size:
        return features
    shape = list(ops.shape(features))
    shape[axis : axis + 1] = [size, features.shape[axis] // size]
    return ops.mean(ops.reshape(features, shape), axis=axis + 1)


def _root(squares):
    """The square root, whose derivative at zero is zero."""
    positive = squares > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, squares, 1.0)), 0.0)


def _distances(rows, apart):
    found = _root(ops.sum(ops.square(rows[:, None] - rows[None]), axis=-1))
    mean = ops.sum(found) / ops.maximum(ops.sum(apart), 1.0)
    return found / ops.where(mean > 0, mean, 1.0)


def _angles(rows):
    between = rows[:, None] - rows[None]  # [i, j]: from j to i
    length = _root(ops.sum(ops.square(between), axis=-1, keepdims=True))
    between = between / ops.where(length > 0, length, 1.0)
    return ops.einsum("ijd,kjd->ijk", between, between)


def _huber(one, other):
    error = ops.abs(one - other)
    return ops.where(error <= 1, error**2 / 2, error - 0.5)
