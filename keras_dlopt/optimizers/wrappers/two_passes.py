"""Two gradients of the same batch in one training step: the second one where the first leads to."""

import threading

import keras

from keras_dlopt.optimizers.wrappers import replicas


class Passes(threading.local):
    """What the pass that this thread is in does with the gradient: collects it, or updates the right weights."""

    gradients = None
    weights = None


def two_passes(model, train_step, perturbed):
    """The training step that takes its gradient at other weights.

    Each pass is the model's own `train_step`, custom ones included, from the same state: dropout draws the same masks,
    and what the step changes besides the weights (BatchNormalization's statistics, metrics) changes once, in the first
    pass, at the model's own weights. So the logs are those of the first pass.

    Args:
        model: the model, compiled.
        train_step: its training step, see `executor.training_step`.
        perturbed: `(gradients, weights) -> weights` for the second pass, lists of tensors; the gradients are summed
            over the replicas, and may carry a loss scale.
    """
    passes = Passes()
    if keras.backend.backend() == "jax":
        return _on_jax(model, train_step, perturbed, passes)
    return _on_tensorflow(model, train_step, perturbed, passes)


def _on_tensorflow(model, train_step, perturbed, passes):
    optimizer = model.optimizer
    keras_apply = optimizer.apply

    def apply(grads, trainable_variables=None):
        variables = optimizer._trainable_variables if trainable_variables is None else trainable_variables
        if passes.gradients is not None:
            passes.gradients += [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]
            return
        if passes.weights is not None:
            replicas.write(*passes.weights)
            passes.weights = None
        keras_apply(grads, trainable_variables)

    def step(data):
        state = [*model.non_trainable_variables, *model.metrics_variables]
        before = replicas.read_all(state)
        passes.gradients = []
        try:
            logs = train_step(data)
        finally:
            found, passes.gradients = passes.gradients, None
        if not found:
            return logs
        after = replicas.read_all(state)
        gradients, variables = zip(*found, strict=True)
        weights = [replicas.read(v) for v in variables]
        replicas.write([*state, *variables], [*before, *perturbed(replicas.total(gradients), weights)])
        passes.weights = (variables, weights)
        try:
            train_step(data)
        finally:
            passes.weights = None
        replicas.write(state, after)
        return logs

    optimizer.apply = apply
    return step


def _on_jax(model, train_step, perturbed, passes):
    optimizer = model.optimizer
    keras_apply = optimizer.stateless_apply

    def stateless_apply(optimizer_variables, grads, trainable_variables):
        if passes.gradients is not None:
            passes.gradients = list(grads)
            return trainable_variables, optimizer_variables
        if passes.weights is not None:
            trainable_variables = passes.weights
        return keras_apply(optimizer_variables, grads, trainable_variables)

    def step(state, data):
        weights, others, of_optimizer, metrics = state
        passes.gradients = []
        try:
            logs, new_state = train_step(state, data)
        finally:
            gradients, passes.gradients = passes.gradients, None
        if not gradients:
            return logs, new_state
        passes.weights = weights
        try:
            there = perturbed(gradients, weights)
            _, (new_weights, _, new_of_optimizer, _) = train_step((there, others, of_optimizer, metrics), data)
        finally:
            passes.weights = None
        return logs, (new_weights, new_state[1], new_of_optimizer, new_state[3])

    optimizer.stateless_apply = stateless_apply
    return step
