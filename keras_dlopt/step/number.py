"""A hyperparameter that changes from step to step, in code that was written for a Python number."""

import numbers
import operator

import keras
from keras import ops


class StepNumber:
    """A scalar tensor that stands in for a Python number while a step is traced.

    Arithmetic with Python numbers gives such numbers, arithmetic with tensors gives tensors of their dtype, and `ops`
    take it for the tensor it is. The one thing that Python may know of it is which side of 0 and of 1 it is on,
    because optimizers decide by that which state they keep: the number it stands for answers. Whatever else would
    make a constant of it, such as `float()` and `math`, is an error.

    Args:
        tensor: the value in this step, a float32 scalar.
        stands_for: the Python number.
        name: of the hyperparameter, for errors: "Adam(beta_1=...)".
        reads: a list that grows whenever a tensor is made from this number, or from one computed from it.
    """

    __array_ufunc__ = None  # NumPy's numbers leave arithmetic to this class

    def __init__(self, tensor, stands_for, name, reads):
        self._tensor, self._stands_for, self._name, self._reads = tensor, stands_for, name, reads

    def _value(self, dtype=None):
        self._reads.append(dtype)
        return self._tensor if dtype is None else ops.cast(self._tensor, dtype)

    def __tf_tensor__(self, dtype=None, name=None):
        return self._value(dtype and dtype.name)

    def __jax_array__(self):
        return self._value()

    def _combine(self, operation, other, swapped):
        if isinstance(other, StepNumber):
            other, stands_for = other._tensor, other._stands_for
        elif isinstance(other, numbers.Real):
            stands_for = other = float(other)
        else:
            return self._with_tensor(operation, ops.convert_to_tensor(other), swapped)
        pairs = [(self._tensor, other), (self._stands_for, stands_for)]
        tensor, stands_for = (operation(b, a) if swapped else operation(a, b) for a, b in pairs)
        return StepNumber(tensor, stands_for, self._name, self._reads)

    def _with_tensor(self, operation, other, swapped):
        dtype = keras.backend.standardize_dtype(other.dtype)
        own = self._value(dtype if keras.backend.is_float_dtype(dtype) else None)
        return operation(other, own) if swapped else operation(own, other)

    def __neg__(self):
        return StepNumber(-self._tensor, -self._stands_for, self._name, self._reads)

    def _compare(self, operation, other):
        if isinstance(other, numbers.Real) and other in (0, 1):
            return operation(self._stands_for, other)
        self._refuse()

    def __bool__(self):
        return bool(self._stands_for)

    def _refuse(self, *_):
        raise ValueError(f"`{self._name}` cannot follow a schedule: this optimizer makes a constant of it.")

    __float__ = __int__ = __index__ = __round__ = __hash__ = _refuse


def _arithmetic(operation, swapped):
    return lambda self, other: self._combine(operation, other, swapped)


def _comparison(operation):
    return lambda self, other: self._compare(operation, other)


for _name in ("add", "sub", "mul", "truediv", "pow"):
    setattr(StepNumber, f"__{_name}__", _arithmetic(getattr(operator, _name), False))
    setattr(StepNumber, f"__r{_name}__", _arithmetic(getattr(operator, _name), True))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(StepNumber, f"__{_name}__", _comparison(getattr(operator, _name)))
