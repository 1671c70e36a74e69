"""A hyperparameter that follows a schedule, inside the compiled step."""

import numbers

import keras

from keras_dlopt.arguments import invalid
from keras_dlopt.step.number import StepNumber
from keras_dlopt.step.observer import Observer
from keras_dlopt.step.seam import detach

_BELOW_ONE = ("momentum", "beta_1", "beta_2", "beta_3", "rho")


class Follow(Observer):
    """Gives a hyperparameter of an optimizer, in every step, the value that a schedule has there.

    The learning rate is a variable, into which the value is written. Any other hyperparameter is a Python number that
    Keras compiles into the step: while the step is traced, a number takes its place that is computed in the graph
    from the optimizer's own counter (`StepNumber`). Nothing is kept between steps, nothing is saved: a resumed run
    goes on where it stopped. Keras's optimizers and ours are alike here; one that computes with the hyperparameter
    where no tensor can go, or not at all, is refused with a `ValueError`.

    What an optimizer decides when it is built stays: `momentum=0` has no momentum to schedule. A parameter group with
    a weight decay or an optimizer of its own keeps it, as does the companion that serves what a rule does not take.

    Args:
        optimizer: the optimizer that `attach` will be given; wrappers are looked through.
        of: "learning_rate", or the name of another of its arguments that is a float above 0 now: "momentum",
            "beta_1", "weight_decay", ...
        schedule: step -> value, pure, such as those in `keras_dlopt.schedules`.

    Attributes:
        start: the value of the optimizer's counter at which the schedule begins, 0 unless set before the step is
            traced.
        position: a `Position` that may be ahead of the counter, `None` unless set before the step is traced.

    Raises:
        ValueError: if the optimizer has no such hyperparameter, or none that can follow.

    Example: weight decay that grows.

    >>> import keras, numpy as np
    >>> from keras_dlopt import schedules, step
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    >>> model.compile(keras.optimizers.SGD(0.1, weight_decay=0.5), "mse")
    >>> growing = step.Follow(model.optimizer, "weight_decay", schedules.Ramp(1.0, steps=2))
    >>> step.attach(model.optimizer, growing, model)
    >>> weights = []
    >>> for _ in range(3):                                         # no gradient: decay 0, 0.5, 1 alone
    ...     _ = model.train_on_batch(np.zeros((1, 1)), np.zeros((1, 1)))
    ...     weights.append(round(float(model.get_weights()[0][0, 0]), 4))
    >>> weights
    [1.0, 0.95, 0.855]
    >>> growing.put_back()
    >>> model.optimizer.weight_decay
    0.5
    """

    def __init__(self, optimizer, of, schedule):
        self.of, self.schedule, self.start, self.position = of, schedule, 0, None
        self._owner = _owner(optimizer, of)
        self._is_rate, self._reads = of == "learning_rate", []
        where, value = type(self._owner).__name__, getattr(self._owner, of)
        self._name = f"{where}({of}=...)"
        if self._is_rate:
            if not isinstance(value, keras.Variable):
                raise invalid(where, of, self._owner._learning_rate, "a number, for a schedule to take its place")
            self._rate, self._before = value, float(keras.ops.convert_to_numpy(value))
        else:
            fraction = isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral)
            # The loss is multiplied by its scale before; what else is used outside, the optimizer says itself.
            outside = ("loss_scale_factor", *getattr(self._owner, "used_outside_update", ()))
            if not fraction or value <= 0 or of in outside:
                accepted = "a float above 0 that only its update uses, for a schedule to take its place"
                raise invalid(where, of, value, accepted)
            self._before = value

    def count(self):
        """The number of steps that the optimizer has made."""
        return int(keras.ops.convert_to_numpy(self._owner._iterations))

    def latest(self):
        """The value that was used last, as a float."""
        if self._is_rate:
            return float(keras.ops.convert_to_numpy(self._rate))
        return float(keras.ops.convert_to_numpy(self._at(max(self.count() - 1 - self.start, 0))))

    def check_range(self, steps):
        """Raises `ValueError` if one of the values at these steps is none that the hyperparameter may have."""
        if self.of in _BELOW_ONE:
            largest = float(keras.ops.max(self.schedule(steps)))
            if largest >= 1:
                raise invalid(type(self._owner).__name__, self.of, largest, "below 1 during the whole run")

    def before_apply(self, gradients, variables):
        value = self._at(self.optimizer._iterations - self.start)
        if self._is_rate:
            self.assign(self._rate, value)
        else:
            self._reads.clear()
            number = StepNumber(keras.ops.cast(value, "float32"), self._before, self._name, self._reads)
            setattr(self._owner, self.of, number)
        return gradients

    def _at(self, count):
        count = keras.ops.convert_to_tensor(count)
        if self.position is not None and getattr(self.schedule, "steps", None):
            count = self.position.advance(count, self.schedule.steps)
        return self.schedule(count)

    def after_apply(self, gradients, variables):
        if not self._is_rate:
            # Of several replicas, which all come to this point, one has read its number for all of them.
            setattr(self._owner, self.of, self._before)
            if not self._reads and not self._may_skip_update():
                raise ValueError(f"`{self._name}` cannot follow a schedule: the optimizer's update does not use it.")

    def _may_skip_update(self):
        """Whether this call of `apply` may have been one of Python that only added gradients up."""
        if not self.optimizer.gradient_accumulation_steps or keras.backend.backend() != "tensorflow":
            return False
        import tensorflow as tf

        return tf.executing_eagerly()

    def put_back(self):
        """Detaches this observer, if it is attached, and gives the hyperparameter the value it had before."""
        if self.optimizer is not None:
            detach(self.optimizer, self)
        if self._is_rate:
            self._rate.assign(self._before)
        else:
            setattr(self._owner, self.of, self._before)


def _owner(optimizer, of):
    """The optimizer, or the one inside of it, whose argument it is."""
    chain = [optimizer]
    while hasattr(chain[-1], "inner_optimizer"):
        chain.append(chain[-1].inner_optimizer)
    for owner in reversed(chain):
        if isinstance(of, str) and of in owner.get_config():
            return owner
    names = sorted(name for name, value in chain[-1].get_config().items() if isinstance(value, float))
    raise invalid("Follow", "of", of, f"one of {', '.join(names)}: the numbers of {type(chain[-1]).__name__}")
