"""What all matrix rules share: kernels as stacks of matrices, everything else to AdamW."""

import keras

from keras_dlopt.arguments import invalid
from keras_dlopt.optimizers.drop_in.adam import AdamW
from keras_dlopt.optimizers.executor.hyperparameters import NonNegative, Positive, Switch, UnitInterval
from keras_dlopt.optimizers.executor.optimizer import Optimizer
from keras_dlopt.optimizers.executor.variable_names import is_embedding
from keras_dlopt.optimizers.matrix.selection import (
    AxesByPattern,
    Patterns,
    excluded,
    find_head,
    is_kernel,
)
from keras_dlopt.optimizers.matrix.views import View, view


class KernelOptimizer(Optimizer):
    """Base of the rules for matrices: kernels of any rank, equal shapes stacked, other variables to AdamW.

    `optimizer.describe(model)` prints what goes where. By default the rule takes every kernel of rank 2 and more but
    the output head and embeddings; AdamW takes those, biases (the two-axis ones of attention layers too) and gains.

    Args:
        exclude_layers: patterns searched for in `variable.path`, or functions `variable -> bool`: these go to AdamW.
        exclude_embeddings: whether variables whose own name has "embed" in it go to AdamW.
        exclude_head: whether the output kernel goes to AdamW. It is the last kernel that the model lists, if no other
            layer's variables follow and it is not the only one; where it is another, set this to `False` and name
            the head in `exclude_layers`. In a group of another optimizer the group alone decides.
        per_head: one matrix a head for three-axis kernels of attention layers and of those in `input_axes`, instead
            of one for all heads.
        input_axes: pattern -> number of leading axes of a kernel that are its inputs, >= 1, where the default (see
            `keras_dlopt.optimizers.matrix.views.view`) misreads a kernel, as it may those of an `EinsumDense`.
        adam_beta_1, adam_beta_2, epsilon: AdamW's, as in `AdamW`.
        adam_weight_decay: AdamW's weight decay, >= 0 or `None`.
        adam_lr_ratio: AdamW's learning rate as a multiple of the main one, > 0.
    """

    exclude_layers: Patterns | None = None
    exclude_embeddings: Switch = True
    exclude_head: Switch = True
    per_head: Switch = False
    input_axes: AxesByPattern | None = None
    adam_beta_1: UnitInterval = 0.9
    adam_beta_2: UnitInterval = 0.999
    adam_weight_decay: NonNegative | None = 0.004
    adam_lr_ratio: Positive = 1.0
    epsilon: Positive = 1e-7

    form = "stacked"
    _head = None

    def build(self, variables):
        """Makes the slots for `variables`, the model's trainable variables."""
        if not self.built:
            matrices = [v for v in variables if self._is_matrix(v) and not is_embedding(v)]
            self._head = find_head(variables, matrices)
        super().build(variables)

    def takes(self, variable):
        """Whether the rule, and not AdamW, serves `variable`."""
        if not self._is_matrix(variable) or excluded(variable, self.exclude_layers):
            return False
        if self.exclude_embeddings and is_embedding(variable):
            return False
        return not (self.exclude_head and variable.path == self._head)

    def _is_matrix(self, variable):
        return is_kernel(variable) and min(self._view(variable)[1:3]) > 1  # no vector in disguise

    def _view(self, variable):
        try:
            return view(variable.path, tuple(variable.shape), self.input_axes, self.per_head)
        except ValueError as error:
            raise invalid(type(self).__name__, "input_axes", self.input_axes, str(error)) from None

    def matrices(self, variable):
        """How `variable` is read as matrices."""
        return self._view(variable)

    def to_matrices(self, tensor, seen):
        """The matrices of a variable, (count, rows, columns)."""
        return View(*seen).read(tensor)

    def from_matrices(self, matrices, shape, seen):
        """The variable's tensor from its matrices."""
        return View(*seen).write(matrices, shape)

    @property
    def companion_learning_rate(self):
        return self.adam_lr_ratio

    def companion(self):
        """What serves the other variables."""
        return AdamW(
            weight_decay=self.adam_weight_decay,
            beta_1=self.adam_beta_1,
            beta_2=self.adam_beta_2,
            epsilon=self.epsilon,
        )

    def get_config(self):
        """The constructor's arguments; `from_config` gives the same optimizer without its state."""
        config = super().get_config()
        if self.exclude_layers:
            config["exclude_layers"] = [
                keras.saving.serialize_keras_object(one) if callable(one) else one for one in self.exclude_layers
            ]
        return config
