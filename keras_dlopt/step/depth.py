"""A training step in which residual branches are left out at random."""

import threading

import keras
from keras import ops

from keras_dlopt.step.residual import run, taken_or_zero
from keras_dlopt.step.seam import _unwrap
from keras_dlopt.step.surround import WhileTraced, replace


class RandomDepth(WhileTraced):
    """Runs residual blocks with their branch or without it: for `surround`.

    Args:
        model: the model whose step it is.
        found: pairs, from the input on, of a functional model and its `residual.branches`, or of a layer that is a
            block and `None`.
        rates: with which probability each of all the branches is left out.
        per_sample: whether each row draws for itself.
        seed: of the draws.
    """

    def __init__(self, model, found, rates, per_sample, seed):
        self.model, self.found, self.rates, self.per_sample, self.seed = model, found, rates, per_sample, seed
        self._local = threading.local()

    def __call__(self, step, *args):
        # Read before the step, and handed to what runs in the same thread: the trainer of JAX has it in the state.
        counter = _unwrap(self.model.optimizer)[-1]._iterations
        if keras.backend.backend() == "jax":
            self._local.counter = _value_in(self.model.optimizer.variables, args[0][2], counter)
        else:
            self._local.counter = ops.cast(counter, "int32")
        try:
            with self.changed():
                return step(*args)
        finally:
            del self._local.counter

    def change(self, undo):
        first = 0
        for owner, found in self.found:
            if found is None:
                replace(undo, owner, "call", self._block(owner, first))
            else:
                replace(undo, owner, "call", self._functional(owner, found, first))
            first += 1 if found is None else len(found)

    def _functional(self, model, found, first):
        original = model.call

        def call(inputs, training=None, mask=None, **kwargs):
            if not training:
                return original(inputs, training=training, mask=mask, **kwargs)

            def added(i, shortcut, branch):
                variables = [v for n in found[i].nodes for v in getattr(n.operation, "variables", ())]
                return self._kept(first + i, shortcut, branch, variables)

            return run(model, found, inputs, training, added)

        return call

    def _block(self, layer, number):
        original = layer.call

        def call(x, *args, **kwargs):
            if kwargs.get("training") is False:
                return original(x, *args, **kwargs)

            def branch():
                return original(x, *args, **kwargs) - x

            return x + self._kept(number, x, branch, layer.variables)

        return call

    def _kept(self, number, shortcut, branch, variables):
        """What is added to the shortcut of a block."""
        rate = self.rates[number]
        if self.per_sample:
            value = branch()
            kept = self._draw(number, (ops.shape(value)[0], *(1 for _ in value.shape[1:]))) >= rate
            return ops.where(kept, value / (1 - rate), ops.zeros_like(value))
        taken = ops.reshape(self._draw(number, (1,)), ()) >= rate
        return taken_or_zero(taken, lambda: branch() / (1 - rate), shortcut, variables)

    def _draw(self, number, shape):
        """Uniform numbers of [0, 1), of this step, block and, for rows, replica."""
        if keras.backend.backend() == "jax":
            import jax

            key = jax.random.fold_in(jax.random.PRNGKey(self.seed), self._local.counter)
            return jax.random.uniform(jax.random.fold_in(key, number), shape)
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        one = replica.replica_id_in_sync_group if replica is not None and self.per_sample else 0
        seed = tf.random.experimental.stateless_fold_in([self.seed, number], self._local.counter)
        return tf.random.stateless_uniform(shape, tf.random.experimental.stateless_fold_in(seed, one))


def _value_in(variables, values, variable):
    return next(x for v, x in zip(variables, values, strict=True) if v is variable)
