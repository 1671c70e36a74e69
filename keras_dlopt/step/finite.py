"""Steps with gradients that are not finite, undone inside the step."""

from keras import ops

from keras_dlopt.step.observer import Observer
from keras_dlopt.step.rate_factor import followed
from keras_dlopt.step.seam import observers
from keras_dlopt.xla import compiled_by_xla

RING = 32


class FiniteSteps(Observer):
    """Undoes every step whose gradients have NaN or infinity: weights and all that the optimizer keeps stay.

    The weights, slots, accumulated gradients and the optimizer's counter are put back to what they were before the
    step; observers attached later see gradients of zero and no update. With a `rate`, they are put back to the last
    copy instead, which `copy` makes, and the learning rate is multiplied by `by`.

    Args:
        rate: `None`, or the `RateFactor` that is lowered, attached before.
        by: what it is multiplied by.
    """

    def __init__(self, rate=None, by=1.0):
        self.rate, self.by = rate, by

    def build(self, optimizer, variables):
        self.calls = self.add_variable((), "int32", name="calls")
        self.found = self.add_variable((), "int32", name="found")
        self.steps = self.add_variable((RING,), "int32", name="steps")
        self.bad = self.add_variable((RING, len(variables)), "bool", name="bad")
        self.paths = [variable.path for variable in variables]
        self.places = {id(variable): i for i, variable in enumerate(variables)}
        kept = {id(v) for observer in observers(optimizer) for v in observer.variables}
        kept.add(id(optimizer._learning_rate))
        self.state = list(variables) + [v for v in optimizer.variables if id(v) not in kept]
        self.copies = []
        if self.rate is not None:
            self.copies = [self.add_variable(v.shape, v.dtype, name="good_" + v.name) for v in self.state]
            self.copy()

    def copy(self):
        """Makes the state that a bad step goes back to the present one, between steps: no step leaves a bad one."""
        for copy, variable in zip(self.copies, self.state, strict=True):
            copy.assign(ops.copy(variable))

    def before_apply(self, gradients, variables):
        counts = self.all_reduce([None if g is None else ops.cast(_is_bad(g), "float32") for g in gradients])
        row = [ops.zeros((), "bool")] * len(self.paths)
        for variable, count in zip(variables, counts, strict=True):
            if count is not None:
                row[self.places[id(variable)]] = count > 0
        self.carry.row = ops.stack(row)
        self.carry.any = any_bad = ops.any(self.carry.row)
        if _conditional():
            if observers(self.optimizer)[-1] is self:
                return gradients  # nobody else looks at them
        elif not self.copies:
            # A copy: TensorFlow's `convert_to_tensor` returns the variable, which would be read after the update.
            self.carry.before = [ops.copy(v) for v in self.state]
        return [None if g is None else _zero_where(any_bad, g) for g in gradients]

    def skips(self):
        # Nothing is then to be put back, and nothing to be held for it.
        return self.carry.any if _conditional() else None

    def after_apply(self, gradients, variables):
        bad, calls, found = self.carry.any, ops.copy(self.calls), ops.copy(self.found)
        if not _conditional():
            for variable, source in zip(self.state, self.copies or self.carry.before, strict=True):
                self.assign(variable, ops.where(bad, ops.convert_to_tensor(source), ops.convert_to_tensor(variable)))
        elif self.copies:
            self._put_back_if(bad)
        if self.rate is not None:
            factors = (
                [self.rate.factor] if followed(self.optimizer) else [self.rate.factor, self.optimizer._learning_rate]
            )
            for factor in factors:
                now = ops.convert_to_tensor(factor)
                self.assign(factor, ops.where(bad, now * self.by, now))
        here = ops.logical_and(ops.arange(RING) == found % RING, bad)
        self.assign(self.steps, ops.where(here, calls, ops.convert_to_tensor(self.steps)))
        self.assign(self.bad, ops.where(here[:, None], self.carry.row, ops.convert_to_tensor(self.bad)))
        self.assign(self.calls, calls + 1)
        self.assign(self.found, found + ops.cast(bad, "int32"))

    def _put_back_if(self, bad):
        import tensorflow as tf

        def put_back():
            for variable, copy in zip(self.state, self.copies, strict=True):
                variable.assign(copy)
            return tf.no_op()

        tf.cond(bad, put_back, tf.no_op)

    def number(self):
        """How many steps were undone."""
        return int(ops.convert_to_numpy(self.found))

    def latest(self, since):
        """Of the steps undone after the first `since`, the last 32 at most: (batch, paths of the gradients)."""
        steps, bad, number = ops.convert_to_numpy(self.steps), ops.convert_to_numpy(self.bad), self.number()
        return [
            (int(steps[i % RING]), [path for path, is_bad in zip(self.paths, bad[i % RING], strict=True) if is_bad])
            for i in range(max(since, number - RING), number)
        ]


def _conditional():
    """Whether the update can stand in a conditional."""
    if compiled_by_xla():  # which fuses what puts the state back with the update
        return False
    import tensorflow as tf

    return not tf.distribute.has_strategy()


def _is_bad(gradient):
    # Of a sparse gradient the rows that are there; it stays sparse.
    return ops.logical_not(ops.all(ops.isfinite(getattr(gradient, "values", gradient))))


def _zero_where(bad, gradient):
    if not hasattr(gradient, "indices"):
        return ops.where(bad, ops.zeros_like(gradient), gradient)
    values = ops.where(bad, ops.zeros_like(gradient.values), gradient.values)
    return type(gradient)(values, gradient.indices, gradient.dense_shape)
