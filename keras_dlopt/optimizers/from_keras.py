"""Goes on with the training that a Keras optimizer began."""

import contextlib

import keras
import numpy as np
from keras import ops

from keras_dlopt.arguments import invalid
from keras_dlopt.optimizers.table import TABLE

# For each rule the attribute of Keras's optimizer that holds one array a variable for a slot of ours.
_STATE = {
    "SGD": {"m": "momentums"},
    "RMSprop": {"v": "_velocities", "m": "_momentums", "mean": "_average_gradients"},
    "Adam": {"m": "_momentums", "v": "_velocities", "v_max": "_velocity_hats"},
    "AdamW": {"m": "_momentums", "v": "_velocities", "v_max": "_velocity_hats"},
    "Adamax": {"m": "_m", "u": "_u"},
    "Nadam": {"m": "_momentums", "v": "_velocities"},
    "Adagrad": {"a": "_accumulators"},
    "Adadelta": {"a": "_accumulated_grads", "d": "_accumulated_delta_vars"},
    "Ftrl": {"n": "_accumulators", "z": "_linears"},
    "Lion": {"m": "_momentums"},
    "Lamb": {"m": "_momentums", "v": "_velocities"},
    "Adafactor": {"r": "_r", "c": "_c", "v": "_v"},
    "Muon": {"m": "momentums", "v": "adam_velocities"},
    "ScheduleFreeAdamW": {"z": "_momentums", "v": "_velocities"},
}


def from_keras(optimizer):
    r"""Our optimizer of the same rule, in the middle of the training that Keras's has begun.

    ```python
    model.compile(dlopt.optimizers.from_keras(model.optimizer), loss)
    ```

    Arguments, learning rate (a schedule is shared, of a number the current value is taken), step, slots, averages of
    the weights, accumulated gradients and what is excluded from weight decay are taken over. `optimizer` stays as it
    is. State is float32 from then on, also where Keras keeps it in bfloat16.

    For the rules that Keras has right, weights go on as they would have. The others:

    - `Adafactor`: the same weights; the array of each variable's size is dropped. `relative_step=False` becomes
      `True`, for this is what Keras computes either way.
    - `Muon`: variables that keep their rule keep their state. One that moves from AdamW to Muon (attention kernels)
      keeps the average of its gradients; one that moves from Muon to AdamW (the head, two-axis biases) also, with a
      second moment from it, as of independent gradients.
    - `ScheduleFreeAdamW`: z, v and the number of averaged steps are taken over. Keras's weights are y: `compile` turns
      them into x, and in a loop of your own they are left.

    Args:
        optimizer: an optimizer of Keras, built or not, or a `LossScaleOptimizer` around one, whose scale and counter
            are taken over.

    Returns:
        An optimizer of ours, built if `optimizer` is; in a `LossScaleOptimizer` if it was in one.

    Example:

    >>> import keras
    >>> w, theirs = keras.Variable(1.0), keras.optimizers.SGD(0.25, momentum=0.5)
    >>> theirs.apply([keras.ops.ones(())], [w])                # w is 0.75, the momentum 0.25
    >>> from_keras(theirs).apply([keras.ops.ones(())], [w])    # 0.75 - (0.5 * 0.25 + 0.25)
    >>> float(w)
    0.375
    """
    if type(optimizer) is keras.optimizers.LossScaleOptimizer:
        return _scaled(optimizer)
    name = type(optimizer).__name__
    if name not in _STATE or name not in TABLE or type(optimizer) is not getattr(keras.optimizers, name):
        accepted = f"one of Keras's {', '.join(n for n in _STATE if n in TABLE)}, and no subclass of it"
        if isinstance(optimizer, keras.optimizers.MultiOptimizer):
            accepted += "; in place of several, give the `groups` of one of ours their own rules"
        raise invalid("from_keras", "optimizer", optimizer, accepted)
    with _strategy_of(optimizer):
        ours = TABLE[name].optimizer(**_arguments(optimizer, TABLE[name].optimizer))
        _exclude_the_same(optimizer, ours)
        ours._iterations.assign(optimizer._iterations)
        if optimizer.built:
            ours.build(optimizer._trainable_variables)
            _take_slots(optimizer, ours, _STATE[name])
            _take_averages(optimizer, ours)
            if name == "Nadam":
                ours._plan.shared[0]["product"].assign(optimizer._u_product)
            if name == "ScheduleFreeAdamW":
                _take_average(optimizer, ours)
    return ours


def _scaled(optimizer):
    with _strategy_of(optimizer):
        ours = keras.optimizers.LossScaleOptimizer(
            from_keras(optimizer.inner_optimizer),
            initial_scale=optimizer.initial_scale,
            dynamic_growth_steps=optimizer.dynamic_growth_steps,
            name=optimizer.name,
        )
        if optimizer.built:
            ours.build(optimizer._trainable_variables)
            ours.step_counter.assign(optimizer.step_counter)
            ours.dynamic_scale.assign(optimizer.dynamic_scale)
    return ours


def _strategy_of(optimizer):
    """The scope of the tf.distribute strategy that `optimizer` was made in."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.distribute.has_strategy():
            return optimizer._distribution_strategy.scope()
    return contextlib.nullcontext()


def _arguments(optimizer, cls):
    """The arguments of `optimizer`, as they are now."""
    # Not from its configuration, which has no place for schedules that cannot be saved.
    arguments = {name: getattr(optimizer, name) for name in cls.__signature__.parameters if hasattr(optimizer, name)}
    rate = optimizer._learning_rate
    arguments["learning_rate"] = float(ops.convert_to_numpy(rate)) if isinstance(rate, keras.Variable) else rate
    if isinstance(optimizer, keras.optimizers.Adafactor):
        arguments["relative_step"] = True
    return arguments


def _exclude_the_same(optimizer, ours):
    """Excludes from weight decay what `optimizer` excludes."""
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if hasattr(optimizer, name):
            setattr(ours, name, getattr(optimizer, name))


def _take_slots(optimizer, ours, attributes):
    store = {}
    ours.save_own_variables(store)
    as_matrices = {
        index: (bucket.owner, view)
        for bucket in ours._plan.buckets
        if bucket.stacked
        for index, view in zip(bucket.indices, bucket.views, strict=True)
    }
    for key, start in store.items():
        slot, _, index = key.partition(".")
        value = _slot(optimizer, attributes[slot], int(index)) if index else None
        if value is not None:
            if int(index) in as_matrices:
                owner, view = as_matrices[int(index)]
                value = ops.convert_to_numpy(owner.to_matrices(ops.convert_to_tensor(value), view))
            store[key] = np.asarray(value, start.dtype)
    ours.load_own_variables(store)


def _slot(optimizer, attribute, index):
    """What the variable at `index` has in the slot that Keras keeps as `attribute`, or `None` for nothing."""
    if isinstance(optimizer, keras.optimizers.Muon) and optimizer.adam_velocities[index] is None:
        return _slot_of_muon(optimizer, attribute, index)
    kept = getattr(optimizer, attribute)[index]
    if kept is None:
        return None
    value = ops.convert_to_numpy(kept)
    return -value if isinstance(optimizer, keras.optimizers.SGD) else value  # theirs is added, ours subtracted


def _slot_of_muon(optimizer, attribute, index):
    momentum, mu = optimizer.momentums[index], optimizer.momentum
    if momentum is None:
        return None
    mean = (1 - mu) * np.asarray(ops.convert_to_numpy(momentum), "float32")  # theirs is a sum of gradients
    if attribute == "momentums":
        return mean
    return np.full_like(mean, np.mean(mean**2) * (1 + mu) / (1 - mu))


def _take_averages(optimizer, ours):
    """The moving averages of the weights and the gradients accumulated so far."""
    for name in ("_model_variables_moving_average", "_accumulated_gradients"):
        for own, value in zip(getattr(ours, name, ()), getattr(optimizer, name, ()), strict=True):
            if own is not None:
                own.assign(value)


def _take_average(optimizer, ours):
    """The scalars of Schedule-Free: all of Keras's steps count the same, so that there are as many as steps."""
    steps, shared = ops.cast(optimizer.iterations, "float32"), ours._plan.shared[0]
    shared["averaged"].assign(steps)
    shared["largest_rate"].assign(ops.cast(optimizer.learning_rate, "float32") * ours.pace(steps))
    ours.starts_from_training_weights = True
