"""Layers that do not train, without a word to the optimizer."""

import warnings

import keras

from keras_dlopt.step.seam import _scope, _unwrap
from keras_dlopt.step.surround import WhileTraced, replace, wrappers


class Frozen(WhileTraced):
    """Keeps layers as they are: for `surround`.

    While the step is traced they have `trainable=False`: they run in inference mode where that matters
    (BatchNormalization), no gradient is taken for them, and what only their gradients need is not computed. The
    optimizer gets `None` for their gradients and keeps the slots of all variables it was built with, as they are.
    Before and after, the model is one in which everything trains: it is saved so, with all of the optimizer's state.

    Args:
        model: the model, built.
        layers: the layers, composite ones with all that is in them.

    Raises:
        ValueError: if other layers of the model are frozen so already.
    """

    def __init__(self, model, layers):
        if any(isinstance(wrapper, Frozen) for wrapper in wrappers(model)):
            raise ValueError(f'Layers of "{model.name}" are frozen by another callback of the run already.')
        self.model, self.layers = model, list(layers)
        build_optimizer(model)

    def __call__(self, step, *args):
        if keras.backend.backend() == "jax":
            return self._with_part_of_the_state(step, *args)
        with self.changed():
            return step(*args)

    def change(self, undo):
        optimizer = self.model.optimizer
        name = "stateless_apply" if keras.backend.backend() == "jax" else "apply"
        replace(undo, optimizer, name, self._widened(getattr(optimizer, name)))
        undo.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "Gradients do not exist")  # of the frozen layers
        layers = [part for layer in self.layers for part in layer._flatten_layers()]
        flags = [(owner, owner.trainable) for owner in [*layers, *(v for part in layers for v in part.variables)]]
        undo.callback(_put_flags_back, flags)
        for layer in self.layers:
            layer.trainable = False

    def _widened(self, apply):
        """`apply`, or `stateless_apply`, of all the optimizer's variables, given gradients for a part of them."""
        everything = _unwrap(self.model.optimizer)[-1]._trainable_variables

        def tf_apply(grads, trainable_variables=None):
            grads = list(grads)
            variables = list(self.model.trainable_variables if trainable_variables is None else trainable_variables)
            known = {id(v) for v in everything}
            if len(grads) != len(variables) or any(id(v) not in known for v in variables):
                return apply(grads, trainable_variables)
            given = {id(v): g for g, v in zip(grads, variables, strict=True)}
            return apply([given.get(id(v)) for v in everything], everything)

        def stateless_apply(optimizer_variables, grads, trainable_variables):
            part = self.model.trainable_variables
            given = {id(v): g for v, g in zip(part, grads, strict=True)}
            values = self._values | {id(v): x for v, x in zip(part, trainable_variables, strict=True)}
            new, state = apply(
                optimizer_variables, [given.get(id(v)) for v in everything], [values[id(v)] for v in everything]
            )
            new = _by_id(everything, new)
            self._written = new  # of frozen weights, too: masks go over them
            return [new[id(v)] for v in part], state

        return stateless_apply if keras.backend.backend() == "jax" else tf_apply

    def _with_part_of_the_state(self, step, state, data):
        """JAX's step, on a state in which the frozen weights are among those that do not train."""
        model = self.model
        all_of_it = model.trainable_variables, model.non_trainable_variables
        trained, others, *rest = state
        self._values = _by_id(all_of_it[0], trained) | _by_id(all_of_it[1], others)
        self._written = {}
        try:
            with self.changed():
                part = model.trainable_variables, model.non_trainable_variables
                inside = ([self._values[id(v)] for v in variables] for variables in part)
                logs, (trained, others, *rest) = step((*inside, *rest), data)
                values = _by_id(part[1], others) | self._written | _by_id(part[0], trained)
        finally:
            del self._values, self._written  # tracers
        return logs, (*([values[id(v)] for v in variables] for variables in all_of_it), *rest)


def build_optimizer(model):
    """Gives the optimizer its slots for all variables that train when nothing is frozen."""
    inner = _unwrap(model.optimizer)[-1]
    if not inner.built:
        with _scope(inner):
            model.optimizer.build(model.trainable_variables)


def _by_id(variables, values):
    return {id(variable): value for variable, value in zip(variables, values, strict=True)}


def _put_flags_back(flags):
    for owner, flag in flags:  # a layer sets what is in it: those come later
        owner.trainable = flag
