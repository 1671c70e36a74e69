"""What the Schedule-Free optimizers share: the sequences x, y and z."""

from typing import Annotated

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import Range
from keras_dlopt.optimizers.executor.optimizer import Optimizer
from keras_dlopt.optimizers.schedule_free import training

Between = Annotated[float, Range(0.0, 1.0, "()")]
Steps = Annotated[int, Range(0, integer=True)]

# The counter of updates starts anew there: only whether it moved counts, and float32 holds these numbers exactly.
_COUNT_TO = 2**20


class ScheduleFree(Optimizer):
    r"""Base of the Schedule-Free optimizers: a step, an average, and a mixture of both where the gradient is taken.

    $$y_t = (1-\beta) z_t + \beta x_t, \qquad z_{t+1} = z_t - \eta_t\, (u_t + \lambda y_t), \qquad
      x_{t+1} = (1-c_{t+1})\, x_t + c_{t+1}\, z_{t+1}, \qquad c_{t+1} = \frac{w_t}{\sum_{i \le t} w_i}$$

    with the direction $u_t$ at $y_t$ and the averaging weights $w_t = t^r \max_{i \le t} \eta_i^p$, so that the short
    steps of a warm-up count less.

    **In a model** (`compile` and `fit`, a `train_step` of your own included) the model's weights are $x$ all the
    time: in `evaluate`, `predict`, validation, callbacks, `get_weights` and every saved file. Only inside the training
    step they are $y$. If the model has `BatchNormalization` layers, each step ends with a second forward pass of the
    batch, at $x$, for their moving statistics: about a third more work.

    **In a loop of your own** around `apply` the variables hold $y$, as in the authors' code, and
    `evaluation_weights(variables)` gives $x$.

    A subclass declares `direction(g, s, t) -> (u, new_slots)`.
    """

    from_weights = ("z",)
    needs_weights = True
    whole_step = True
    # The largest rate so far; how many steps of the latest step's weight the average is made of; a counter of updates.
    shared = {"largest_rate": 0.0, "averaged": 0.0, "updates": 0.0}

    used_outside_update = ("beta_1", "momentum")  # to turn x into y before the gradient is taken

    _variables_hold_average = False
    starts_from_training_weights = False  # whether the weights of the model that it is compiled with are y

    @property
    def mixing(self):
        """The share beta of the average in y."""
        return self.beta_1

    def direction(self, g, s, t):
        """The direction u and the new slots."""
        raise NotImplementedError

    def pace(self, t):
        """What multiplies the learning rate at step t: the linear warm-up."""
        return ops.minimum(t / self.warmup_steps, 1.0) if self.warmup_steps else 1.0

    def combine(self, before, sums, t, lr):
        """The new scalars. `averaged` is n = 1/c: for equal weights the number of steps, exact where a running sum of
        small weights would round."""
        largest = ops.maximum(before.largest_rate, lr * self.pace(t))
        latest = 1.0
        shrink = ops.power(1 - 1 / t, self.r) if self.r else 1.0
        if self.weight_lr_power:
            latest = ops.cast(largest > 0, "float32")  # steps of length 0 have no weight
            ratio = before.largest_rate / ops.where(largest > 0, largest, 1.0)
            shrink = shrink * ops.power(ratio, self.weight_lr_power)
        return {
            "largest_rate": largest,
            "averaged": latest + before.averaged * shrink,
            "updates": ops.mod(before.updates + 1, _COUNT_TO),
        }

    def rule(self, g, w, s, t, lr, decay, shared):
        y, z, n = w, s.z, shared.averaged
        u, new = self.direction(g, s, t)
        x = self._average(y, z)
        z = z - lr * self.pace(t) * (u if decay is None else u + decay * y)
        x = x + (z - x) * ops.where(n > 0, 1 / ops.maximum(n, 1.0), 0.0)
        after = x if self._variables_hold_average else self._mixture(x, z)
        return y - after, new | {"z": z}

    def _mixture(self, x, z):
        return x + (1 - self.mixing) * (z - x)

    def _average(self, y, z):
        """The x of which y is the mixture with z."""
        return y + (y - z) * ((1 - self.mixing) / self.mixing)

    def evaluation_weights(self, variables):
        """The averages $x$ of variables that hold $y$: for evaluation in a training loop of your own.

        Args:
            variables: variables that the optimizer was built with.

        Returns:
            A list of tensors, one a variable.

        Example:

        >>> import keras
        >>> from keras_dlopt.optimizers import ScheduleFreeSGD
        >>> w = keras.Variable([1.0])
        >>> optimizer = ScheduleFreeSGD(0.1)
        >>> for _ in range(2):
        ...     optimizer.apply([keras.ops.ones(1)], [w])          # z is 0.9, then 0.8
        >>> keras.ops.convert_to_numpy(optimizer.evaluation_weights([w])[0]).round(3)
        array([0.85], dtype=float32)
        """
        return self._convert(self._average, variables)

    def training_weights(self, variables, averages):
        """The $y$ of `variables` whose $x$ is `averages`, a list of tensors: where the gradient is to be taken."""
        return self._convert(self._mixture, variables, averages)

    def _convert(self, formula, variables, values=None):
        z = {
            i: part
            for bucket in self._plan.buckets
            if bucket.owner is self
            for i, part in zip(bucket.indices, bucket.unpack_slot("z", bucket.slots["z"]), strict=True)
        }
        converted = []
        for variable, value in zip(variables, values or variables, strict=True):
            value, own = ops.convert_to_tensor(value), z.get(self._get_variable_index(variable))
            if own is not None:  # before the first step z is the weights, and not yet in its slot
                other = ops.cast(formula(ops.cast(value, own.dtype), own), value.dtype)
                value = ops.where(self.iterations > 0, other, value)
            converted.append(value)
        return converted

    @property
    def updates_made(self):
        """A counter that stands still in a step without an update: between the batches of an accumulated gradient, or
        when loss scaling or `skip_nonfinite` drops one."""
        shared = dict(zip(self._plan.owners, self._plan.shared, strict=True))
        return ops.copy(shared[self]["updates"] if self in shared else self.iterations)

    def wrap_train_step(self, model, train_step):
        """The step of `model` with the gradient taken at $y$, that leaves $x$ in the weights."""
        if self.starts_from_training_weights:
            variables = model.trainable_variables
            for variable, x in zip(variables, self.evaluation_weights(variables), strict=True):
                variable.assign(x)
            self.starts_from_training_weights = False
        return training.wrap(self, model, train_step)
