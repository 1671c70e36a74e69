"""What of a run is kept, besides the data position: variables, random number generators, callbacks."""

import random
import sys

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import global_seed_generator

from keras_dlopt import step
from keras_dlopt.arguments import invalid
from keras_dlopt.callbacks.resume import event_files

_EVENT_FILES = "event files"


def variables_of(model):
    """Every variable that a step reads or writes, in an order that another process finds, too."""
    found = [*model.variables, *model.metrics_variables]
    for optimizer in _optimizers_of(model):
        found += optimizer.variables
        for observer in step.observers(optimizer):
            found += observer.variables
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        found += [value for value in _attributes_of(model) if isinstance(value, tf.Variable)]
    return list({id(variable): variable for variable in found}.values())


def _optimizers_of(model):
    """The one it was compiled with, and those that a model of one's own has besides, as a GAN does."""
    others = [value for value in _attributes_of(model) if isinstance(value, keras.optimizers.Optimizer)]
    return list({id(optimizer): optimizer for optimizer in [model.optimizer, *others]}.values())


def _attributes_of(model):
    """What the attributes of the model and its layers hold, by themselves or in a list or dictionary."""
    for layer in model._flatten_layers():
        for _, value in sorted(vars(layer).items()):
            several = list(value.values()) if isinstance(value, dict) else value
            yield from several if isinstance(several, list | tuple) else [value]


def read_builds(model):
    """For each optimizer, where in `model.variables` are those that it was built for; `None` before it is built."""
    places = {id(variable): place for place, variable in enumerate(model.variables)}
    return [
        [places.get(id(variable)) for variable in optimizer._trainable_variables] if optimizer.built else None
        for optimizer in _optimizers_of(model)
    ]


def write_builds(model, builds):
    """Builds the optimizers that `read_builds` found built, where only the first step would."""
    for optimizer, places in zip(_optimizers_of(model), builds, strict=False):
        if not optimizer.built and places and None not in places:
            optimizer.build([model.variables[place] for place in places])


def read_variables(model):
    """Copies of all of them on the host."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables_of(model)]


def write_variables(model, arrays, path):
    """Writes into the model what `read_variables` returned in another process.

    Raises:
        ValueError: if the model has other variables.
    """
    variables = variables_of(model)
    for i, (variable, array) in enumerate(zip(variables, arrays, strict=False)):
        if tuple(variable.shape) != array.shape or keras.backend.standardize_dtype(variable.dtype) != array.dtype.name:
            accepted = f"a folder with checkpoints of this run; variable {i}, {variable.name}, is another there"
            raise invalid("ResumeExactly", "path", path, accepted)
    if len(variables) != len(arrays):
        accepted = f"a folder with checkpoints of this run, which has {len(variables)} variables, not {len(arrays)}"
        raise invalid("ResumeExactly", "path", path, accepted)
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def read_generators():
    """The states of the generators of Python, NumPy, Keras and TensorFlow."""
    states = {"python": _as_list(random.getstate()), "numpy": np.random.get_state(legacy=False)}
    if global_state.get_global_attribute("global_seed_generator") is not None:
        states["keras"] = np.array(keras.ops.convert_to_numpy(global_seed_generator().state))
    generator = _tensorflow_generator()
    if generator is not None:
        states["tensorflow"] = _as_list(generator.getstate())
    return states


def write_generators(states):
    """Sets those of them that are in `states`."""
    if "python" in states:
        random.setstate(_as_state(states["python"]))
    if "numpy" in states:
        np.random.set_state(states["numpy"])
    if "keras" in states:
        global_seed_generator().state.assign(states["keras"])
    generator = _tensorflow_generator()
    if "tensorflow" in states and generator is not None:
        generator.setstate(_as_state(states["tensorflow"]))


def _tensorflow_generator():
    """Where TensorFlow takes the seeds of its operations from, once `tf.random.set_seed` was called."""
    if "tensorflow" not in sys.modules:
        return None
    from tensorflow.python.eager import context

    return getattr(context.context(), "_rng", None)


def _as_list(state):
    version, numbers, gauss = state
    return [version, np.array(numbers, "uint32"), gauss]


def _as_state(state):
    version, numbers, gauss = state
    return version, tuple(int(number) for number in numbers), gauss


def read_attributes(callback):
    """Those attributes of a callback that a checkpoint can hold."""
    skipped = ("params", "_model", "_given")
    return {n: _copy(v) for n, v in vars(callback).items() if n not in skipped and _is_plain(v)}


def read_callback(callback, at_start):
    """What `callback` says it must keep; else its attributes that are no longer as they were at the start."""
    if hasattr(callback, "get_state"):
        return callback.get_state()
    now = read_attributes(callback)
    changed = {n: value for n, value in now.items() if n not in at_start or not equal(value, at_start[n])}
    if isinstance(callback, keras.callbacks.TensorBoard):
        changed[_EVENT_FILES] = event_files.lengths(callback)
    return changed


def write_callback(callback, state):
    """The other way round."""
    if hasattr(callback, "_set_monitor_op") and getattr(callback, "monitor_op", None) is None:
        callback._set_monitor_op()  # which Keras does after the first epoch, and forgets the best
    if isinstance(callback, keras.callbacks.TensorBoard):
        event_files.cut(callback, state.pop(_EVENT_FILES))
    if hasattr(callback, "set_state"):
        callback.set_state(state)
    else:
        vars(callback).update(state)


def _is_plain(value):
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, np.ndarray | np.generic):
        return not value.dtype.hasobject
    return value is None or isinstance(value, bool | int | float | str | bytes)


def _copy(value):
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    return value.copy() if isinstance(value, np.ndarray) else value


def equal(a, b):
    """Whether two such values are the same, bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and (a == b or (a != a and b != b))
