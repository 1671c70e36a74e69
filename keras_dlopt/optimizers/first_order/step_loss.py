"""How rules that need the loss of each step get it through `fit`."""

import keras

from keras_dlopt.optimizers.executor.optimizer import Optimizer


class LossAware(Optimizer):
    """Base of rules that ask for `loss`: takes part in the training step of the model compiled with it."""

    def wrap_train_step(self, model, train_step):
        """See `executor.training_step`."""
        if keras.backend.backend() == "jax":
            return self._recomputing(model, train_step)
        self._record(model.optimizer)
        return train_step

    def _record(self, outermost):
        """Has `scale_loss` tell the loss it gets, of which the gradient is then taken: a replica's share of it."""
        scale_loss = type(outermost).scale_loss

        def record_and_scale(loss):
            self.provide(loss=loss)
            return scale_loss(outermost, loss)

        outermost.scale_loss = record_and_scale

    def _recomputing(self, model, train_step):
        """Computes the loss before the step: what leaves JAX's differentiated function any other way is an error.

        The inputs are those of the step, seeds of dropout included, so that XLA merges the two computations.
        """

        def step(state, data):
            trainable, non_trainable, of_optimizer, metrics = state
            _, (loss, *_) = model.compute_loss_and_updates(
                trainable,
                non_trainable,
                metrics,
                *keras.utils.unpack_x_y_sample_weight(data),
                training=True,
                optimizer_variables=of_optimizer,
            )
            self.provide(loss=loss)
            return train_step(state, data)

        return step
