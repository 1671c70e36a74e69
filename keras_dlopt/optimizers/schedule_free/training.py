"""The training step of a model whose weights are the average x, and y only while the gradient is taken."""

import keras
from keras import layers, ops


def wrap(optimizer, model, train_step):
    """`train_step` of `model` with the gradient at y, x in the weights before and after."""
    make = _stateless_step if keras.backend.backend() == "jax" else _step
    return make(optimizer, model, train_step)


def _step(optimizer, model, train_step):
    def step(data):
        variables, statistics = model.trainable_variables, _batch_statistics(model)
        if not optimizer.built:
            model.optimizer.build(variables)
        x, before = _read(variables), _read(statistics)
        updates = optimizer.updates_made
        _write(variables, optimizer.training_weights(variables, x))
        logs = _leaving_average(optimizer, train_step, data)
        moved = ops.not_equal(optimizer.updates_made, updates)
        x = [ops.where(moved, now, old) for now, old in zip(_read(variables), x, strict=True)]
        _write(variables, x)
        if statistics:
            others = _read(model.non_trainable_variables)
            _write(statistics, _statistics_at(model, x, others, statistics, before, data))
        return logs

    return step


def _stateless_step(optimizer, model, train_step):
    def step(state, data):
        x, others, optimizer_state, metrics = state
        variables, statistics = model.trainable_variables, _batch_statistics(model)
        before = _select(model.non_trainable_variables, others, statistics)
        with keras.StatelessScope(zip(model.optimizer.variables, optimizer_state, strict=True)):
            y = optimizer.training_weights(variables, x)
            updates = optimizer.updates_made
        logs, state = _leaving_average(optimizer, train_step, (y, others, optimizer_state, metrics), data)
        after, others, optimizer_state, metrics = state
        with keras.StatelessScope(zip(model.optimizer.variables, optimizer_state, strict=True)):
            moved = ops.not_equal(optimizer.updates_made, updates)
        x = [ops.where(moved, now, old) for now, old in zip(after, x, strict=True)]
        if statistics:
            fresh = iter(_statistics_at(model, x, others, statistics, before, data))
            keys = {id(v) for v in statistics}
            others = [
                next(fresh) if id(v) in keys else value
                for v, value in zip(model.non_trainable_variables, others, strict=True)
            ]
        return logs, (x, others, optimizer_state, metrics)

    return step


def _leaving_average(optimizer, train_step, *args):
    """Calls `train_step`; the updates in it put x into the variables in place of y."""
    # Seen while tracing. Replicas, which are threads, have all left the update before the first one resets it.
    optimizer._variables_hold_average = True
    try:
        return train_step(*args)
    finally:
        optimizer._variables_hold_average = False


def _read(variables):
    # Copies: on TensorFlow `convert_to_tensor` gives the variable itself, which changes.
    return [ops.copy(v) for v in variables]


def _write(variables, values):
    # With several replicas each writes its own copy, of the same value.
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _select(variables, values, wanted):
    found = {id(variable): value for variable, value in zip(variables, values, strict=True)}
    return [found[id(v)] for v in wanted]


def _batch_statistics(model):
    """The moving statistics of the layers that update them."""
    wanted = {
        id(variable)
        for layer in model._flatten_layers()
        if isinstance(layer, layers.BatchNormalization) and layer.trainable
        for variable in layer.non_trainable_variables
    }
    return [v for v in model.non_trainable_variables if id(v) in wanted]


def _statistics_at(model, x, others, statistics, before, data):
    """The moving statistics after the batch `data` at the weights `x`, from what they were `before` the step.

    `others` are the values of all `non_trainable_variables`; whatever else the forward pass changes is forgotten.
    """
    old = {id(variable): value for variable, value in zip(statistics, before, strict=True)}
    everything = model.non_trainable_variables
    start = [old.get(id(v), value) for v, value in zip(everything, others, strict=True)]
    inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    _, end = model.stateless_call(x, start, inputs, training=True)
    return _select(everything, end, statistics)
