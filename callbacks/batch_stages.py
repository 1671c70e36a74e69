"""What callbacks that change the batch have in common: which change is in use at which step of the run."""

import keras
from keras.src import backend
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_dlopt import step
from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.callbacks.callback import Callback, in_caller
from keras_dlopt.callbacks.run_length import run_length, steps_until

_ROWS = 3  # of the batch that a change is tried on


class BatchStages(Callback):
    """Base of the callbacks that change the batches of a part of the run, inside the compiled step.

    A change of stage compiles the step anew. It takes place between two executions: with `steps_per_execution=k` the
    steps of one execution are all in the stage of their first. Before the first step every stage is tried on shapes
    alone, without computing.

    Args:
        steps: length of the run in batches, for data of unknown length.
    """

    def __init__(self, steps=None):
        super().__init__()
        self._steps = steps if steps is None else check_number(type(self).__name__, "steps", steps, 1, integer=True)

    def stages(self, run):
        """Pairs of the first step and the change from there on, `None` for none, of a run of `run` steps."""
        raise NotImplementedError

    def on_train_begin(self, logs=None):
        self.end_run()
        run = run_length(self, self._steps)
        self._stages, self._run = self.stages(run), run
        self._changes, owner = step.BatchChanges.of(self.model), object()
        self._changes.set(owner, None)  # the order of the changes is that of the callbacks
        self._owner = owner
        self.at_end(self._changes.put_back, owner)
        self._first = self._next = None
        batch = batch_of_shapes()
        if batch is not None:
            try:
                self.model._symbolic_build(data_batch=batch)  # which TensorFlow leaves to the first step
                for change in dict.fromkeys(change for _, change in self._stages if change is not None):
                    _try(type(self).__name__, self.model, change, batch)
            except BaseException:
                self.end_run()
                raise

    def on_epoch_begin(self, epoch, logs=None):
        if self.params.get("steps"):
            self._first = steps_until(self.params, epoch)
        else:
            self._first = int(epoch * self._run / self.params["epochs"]) if self._next is None else self._next
        self._go_to(self._first)

    def on_train_batch_end(self, batch, logs=None):
        self._go_to(self._first + batch + 1)

    def on_train_end(self, logs=None):
        self.end_run()

    def get_state(self):
        """Where in the run the epoch began, and which step is next."""
        return {"first": self._first, "next": self._next}

    def set_state(self, state):
        """Goes on in the stage of `get_state`."""
        self._first = state["first"]
        self._go_to(state["next"])

    def _go_to(self, next_step):
        self._next = next_step
        self._changes.set(self._owner, [change for first, change in self._stages if first <= next_step][-1])


def equal_stages(changes, end):
    """`changes`, each for the same number of the steps before step `end`, and then none."""
    return [(round(i * end / len(changes)), change) for i, change in enumerate([*changes, None])]


def batch_of_shapes():
    """A batch of the running `fit` as `KerasTensor`s; `None` where only drawing it would tell."""
    data = in_caller("epoch_iterator", EpochIterator)
    adapter = getattr(data, "data_adapter", None)
    if keras.backend.backend() == "tensorflow" and data is not None:
        spec = data._distributed_dataset.element_spec
    elif hasattr(adapter, "_inputs"):  # arrays
        spec = adapter._inputs
    elif hasattr(adapter, "_dataset"):
        spec = adapter._dataset.element_spec
    elif hasattr(adapter, "py_dataset"):
        spec = adapter.py_dataset[0]
    else:
        return None
    return keras.utils.unpack_x_y_sample_weight(keras.tree.map_structure(_shape_only, spec))


def _shape_only(leaf):
    leaf = leaf._value_specs[0] if hasattr(leaf, "_value_specs") else leaf  # of several replicas
    if leaf is None or not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
        return None
    return keras.KerasTensor((_ROWS, *tuple(leaf.shape)[1:]), keras.backend.standardize_dtype(leaf.dtype))


def _try(where, model, change, batch):
    """Raises `ValueError` if `model` cannot take the batch that `change` makes."""
    inputs = []

    def call(*parts):
        x = change(*parts)[0]
        inputs.extend(t for t in keras.tree.flatten(x) if t is not None)
        try:
            return model(x, training=True) if model._call_has_training_arg else model(x)
        except Exception as error:
            failing = _failing(error.__traceback__) or model
            shapes = ", ".join(str(tuple(t.shape[1:])) for t in inputs)
            reason = f"which its {type(failing).__name__} `{failing.name}` does not ({str(error).splitlines()[0]})"
            raise invalid(where, "model", model.name, f"one that takes inputs of shape {shapes}, {reason}") from error

    filtered = keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()  # the frames of Keras know the layer
    try:
        outputs = backend.compute_output_spec(call, *batch)
    finally:
        if filtered:
            keras.config.enable_traceback_filtering()
    rows = inputs[0].shape[0]
    for output in keras.tree.flatten(outputs):
        if len(output.shape) and None not in (rows, output.shape[0]) and output.shape[0] != rows:
            accepted = f"one whose outputs have as many rows as its inputs; of {rows} it makes {output.shape[0]}"
            raise invalid(where, "model", model.name, accepted)


def _failing(traceback):
    """The innermost layer, or operation of `keras.ops`, that was being called."""
    found = None
    while traceback is not None:
        caller = traceback.tb_frame.f_locals.get("self")
        if isinstance(caller, keras.Operation) and not isinstance(caller, keras.Model):
            found = caller
        traceback = traceback.tb_next
    return found
