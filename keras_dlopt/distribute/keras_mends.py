"""What Keras 3.15 needs to train under `tf.distribute`: small replacements, put in by `strategy`.

Each replaces one function of Keras's TensorFlow trainer, and stands aside for every model that needs it not. What was
there before is in `UPSTREAM`; tests/distribute/test_workers.py fails once Keras does without one.

- `symbolic_build`: `fit` builds the model from a batch that it reduces over the replicas, a tuple, which the collective
  strategy refuses (keras-team/keras 20585). A replica's own batch has all that the build needs, shapes and dtypes.
- `reduce`: logs are averaged over the replicas along axis 0, which a scalar does not have.
- `compile`: refuses or corrects the settings that are known to break under a strategy.
- `saving`: all workers read the weights, which may need all of them, but only the chief's file is kept; it is written
  beside and then renamed, because workers are killed when one of them dies.
"""

import functools
import os
import tempfile
import uuid
import warnings

import keras
import tensorflow as tf
from keras.src.backend.tensorflow import trainer as keras_trainer

from keras_dlopt.distribute.executions import uses_collectives
from keras_dlopt.distribute.plan import is_chief
from keras_dlopt.optimizers.executor.training_step import chain

UPSTREAM = {}


def for_several_workers():
    """Puts in all that MultiWorkerMirroredStrategy needs; a second call does nothing."""
    _replace(keras_trainer.TensorFlowTrainer, "_maybe_symbolic_build", _symbolic_build)
    _replace(keras_trainer, "reduce_per_replica", _reduce)
    for name in ("save", "save_weights"):
        _replace(keras.Model, name, _saving)
    _replace(keras.callbacks.BackupAndRestore, "_save_model", _backup)
    _replace(keras.callbacks.BackupAndRestore, "on_train_end", _chief_only)


def check_compile():
    """Makes `model.compile` correct the settings that break under a strategy; a second call does nothing."""
    # The class that Keras compares with to see whether a model has a `compile` of its own.
    owner = next(cls for cls in keras.Model.__mro__ if "compile" in vars(cls))
    _replace(owner, "compile", _compile)


def _replace(owner, name, mend):
    """Puts `mend(upstream)` in place of an attribute, once."""
    key = f"{owner.__name__.rpartition('.')[2]}.{name}"
    if key not in UPSTREAM:
        UPSTREAM[key] = getattr(owner, name)
        setattr(owner, name, functools.wraps(UPSTREAM[key])(mend(UPSTREAM[key])))


def _several_workers(strategy):
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and strategy.extended._in_multi_worker_mode()


def _symbolic_build(upstream):
    def build(self, iterator=None, data_batch=None):
        if self._distribute_strategy is None or not _several_workers(self._distribute_strategy):
            return upstream(self, iterator=iterator, data_batch=data_batch)
        if iterator is not None:
            _, _, distributed = next(iter(iterator))
            local = self.distribute_strategy.experimental_local_results
            data_batch = keras.tree.map_structure(lambda value: local(value)[0], next(distributed))
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    return build


def _reduce(upstream):
    def reduce(values, strategy, reduction):
        if reduction != "auto" or not _several_workers(strategy):
            return upstream(values, strategy, reduction)
        return keras.tree.map_structure(lambda value: strategy.reduce("MEAN", value, axis=None), values)

    return reduce


def _compile(upstream):
    def compile(self, *args, **kwargs):
        upstream(self, *args, **kwargs)
        strategy = getattr(self, "_distribute_strategy", None)
        if strategy is None:
            return
        if any(o._distribution_strategy is not strategy for o in chain(self.optimizer)):
            raise ValueError("`compile(optimizer=...)` must get an optimizer that was made inside `strategy.scope()`.")
        tpu = isinstance(strategy, tf.distribute.TPUStrategy)
        if self.run_eagerly and tpu:
            raise ValueError("`compile(run_eagerly=True)` cannot train on a TPU, which runs compiled programs only.")
        if self.jit_compile and (tpu or strategy.num_replicas_in_sync > 1):
            why = "TPUStrategy compiles by itself" if tpu else "XLA cannot compile a step that several replicas share"
            warnings.warn(f"`jit_compile=True` is turned off: {why}.", stacklevel=2)
            self.jit_compile = False
        if self.steps_per_execution > 1 and uses_collectives(strategy):
            warnings.warn(
                f"`steps_per_execution={self.steps_per_execution}` becomes 1: TensorFlow cannot run the collective "
                "operations of several replicas inside its loop over steps.",
                stacklevel=2,
            )
            self.steps_per_execution = 1

    return compile


def _saving(upstream):
    def save(self, filepath, *args, **kwargs):
        path = os.fspath(filepath) if isinstance(filepath, str | os.PathLike) else None
        if path is None or not _several_workers(getattr(self, "_distribute_strategy", None)):
            return upstream(self, filepath, *args, **kwargs)
        if not is_chief():
            with tempfile.TemporaryDirectory() as folder:
                upstream(self, os.path.join(folder, os.path.basename(path)), *args, **kwargs)
        elif "://" in path or os.path.exists(path) and not kwargs.get("overwrite", True):
            upstream(self, filepath, *args, **kwargs)
        else:
            # Keras tells the format by the name's end.
            beside = os.path.join(os.path.dirname(path), f".{uuid.uuid4().hex}.{os.path.basename(path)}")
            try:
                upstream(self, beside, *args, **kwargs)
                os.replace(beside, path)
            finally:
                if os.path.exists(beside):
                    os.remove(beside)

    return save


def _backup(upstream):
    def save(self):
        if is_chief():
            upstream(self)
        else:
            self.model.save_weights(self._weights_path)

    return save


def _chief_only(upstream):
    def on_train_end(self, logs=None):
        if is_chief():
            upstream(self, logs)

    return on_train_end
