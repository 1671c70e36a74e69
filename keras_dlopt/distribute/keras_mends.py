"""What Keras 3.15 needs to train under `tf.distribute`: small replacements, put in by `strategy`.

Each replaces one function of Keras's TensorFlow trainer, and stands aside for every model that needs it not. What was
there before is in `replaced.UPSTREAM`; tests/distribute/test_workers.py fails once Keras does without one.

- `symbolic_build`: `fit` builds the model from a batch that it reduces over the replicas, a tuple, which the collective
  strategy refuses (keras-team/keras 20585). A replica's own batch has all that the build needs, shapes and dtypes.
- `reduce`: logs are averaged over the replicas along axis 0, which a scalar does not have.
- `compile`: refuses or corrects the settings that are known to break under a strategy.
"""

import warnings

import keras
import tensorflow as tf
from keras.src.backend.tensorflow import trainer as keras_trainer

from keras_dlopt.distribute.executions import uses_collectives
from keras_dlopt.distribute.replaced import replace
from keras_dlopt.optimizers.executor.training_step import chain


def for_several_workers():
    """Puts in all that MultiWorkerMirroredStrategy needs; a second call does nothing."""
    replace(keras_trainer.TensorFlowTrainer, "_maybe_symbolic_build", _symbolic_build)
    replace(keras_trainer, "reduce_per_replica", _reduce)


def check_compile():
    """Makes `model.compile` correct the settings that break under a strategy; a second call does nothing."""
    # The class that Keras compares with to see whether a model has a `compile` of its own.
    owner = next(cls for cls in keras.Model.__mro__ if "compile" in vars(cls))
    replace(owner, "compile", _compile)


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
            raise ValueError("`compile(...)` must be called, and its optimizer made, inside `strategy.scope()`.")
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
