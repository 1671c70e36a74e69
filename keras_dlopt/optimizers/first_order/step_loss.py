"""How rules that need the loss of each step get it through `fit`."""

import keras

from keras_dlopt.optimizers.executor.optimizer import Optimizer


class LossAware(Optimizer):
    """Base of rules that ask for `loss`: takes part in the training step of the model compiled with it.

    It hears the loss of which the step takes the gradient, with regularisation and before any scale. A custom
    `train_step` lets it hear as Keras's does: on TensorFlow it calls `optimizer.scale_loss`, on JAX it differentiates
    `model.compute_loss_and_updates`.
    """

    def wrap_train_step(self, model, train_step):
        """See `executor.training_step`."""
        if keras.backend.backend() == "jax":
            return self._listening(model, train_step)
        self._record(model.optimizer)
        return train_step

    def _record(self, outermost):
        """Has `scale_loss` tell the loss it gets: a replica's share of it."""
        scale_loss = type(outermost).scale_loss

        def record_and_scale(loss):
            self.provide(loss=loss)
            return scale_loss(outermost, loss)

        outermost.scale_loss = record_and_scale

    def _listening(self, model, train_step):
        """Has `compute_loss_and_updates` tell the loss it returns, while the step runs."""
        import jax

        def step(state, data):
            compute = model.compute_loss_and_updates

            def compute_and_record(*args, **kwargs):
                result = compute(*args, **kwargs)
                # Nothing with a derivative may leave the function that JAX differentiates; this has none.
                self.provide(loss=jax.lax.stop_gradient(result[1][0]))
                return result

            model.compute_loss_and_updates = compute_and_record
            try:
                return train_step(state, data)
            finally:
                del model.compute_loss_and_updates

        return step
