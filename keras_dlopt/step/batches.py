"""Another batch in the place of the one that the compiled training step draws.

With `steps_per_execution` above 1 a step draws its batches itself, so that a batch can only be changed inside of it:
the model's `train_step`, the user's own included, is called with the changed one. Each change of shape is a trace of
its own, and steps without a change are the steps of a model that nobody touched.
"""

import itertools

import keras
from keras.src.models.functional import Functional

from keras_dlopt.step.surround import release, surround


class BatchChanges:
    """The changes to the batches that one model trains on; `of(model)` gives the one there is, or a new one.

    A change is a function `(x, y, sample_weight) -> (x, y, sample_weight)` of tensors with static shapes, but for the
    number of rows. It may call the model: variables that this writes keep their values. Several changes follow each
    other in the order in which their owners came. Evaluation and prediction see the batches as they are.

    While there are changes, the shapes of the model's `Input` are not enforced: its layers do that. The model has its
    own `train_step` again when the last owner goes.

    Args:
        model: a compiled model.
    """

    @classmethod
    def of(cls, model):
        return vars(model).get("_batch_changes") or cls(model)

    def __init__(self, model):
        self.model, self._changes, self._around = model, {}, None
        self._strict = [
            layer
            for layer in model._flatten_layers()
            if isinstance(layer, Functional) and not hasattr(layer, "_manual_input_spec")
        ]
        for layer in self._strict:
            layer.input_spec = None
        model._batch_changes = self

    def set(self, owner, change):
        """From the next step on, `owner` changes the batch so; with `None` it leaves it as it is."""
        found = self._changes.get(owner)
        self._changes[owner] = change
        if change is not found:
            release(self.model, self._around)
            changes = [change for change in self._changes.values() if change is not None]
            if changes:
                self._around = self._with(changes)
                surround(self.model, self._around)

    def put_back(self, owner):
        """Ends the changes of `owner`."""
        self.set(owner, None)
        del self._changes[owner]
        if self._changes:
            return
        for layer in self._strict:
            del layer._manual_input_spec
        del self.model._batch_changes

    def _with(self, changes):
        """For `surround`: the step on the changed batch."""

        def around(step, *args):
            *state, data = args  # on JAX the state comes first
            parts = keras.utils.unpack_x_y_sample_weight(data)
            with _scope(self.model, *state):
                for change in changes:
                    parts = change(*parts)
            return step(*state, tuple(parts[: len(data)]) if isinstance(data, list | tuple) else parts[0])

        return around


def _scope(model, state=None):
    """Variables have the values they have in the step, and what is assigned to them is forgotten."""
    if state is None:
        return keras.StatelessScope()
    variables = (
        *(model.trainable_variables, model.non_trainable_variables),
        *(model.optimizer.variables, model.metrics_variables),
    )
    pairs = (zip(own, values, strict=True) for own, values in zip(variables, state, strict=True))
    return keras.StatelessScope(list(itertools.chain.from_iterable(pairs)))
