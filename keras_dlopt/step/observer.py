"""What an observer is, and the few tools it needs to work under every strategy and backend."""

import keras


class Observer:
    """Sees and may change what an optimizer does, inside the compiled step.

    Override any of `build`, `before_apply` and `after_apply`, then `attach` it. The two `apply` methods are
    called once for each call of `optimizer.apply`, that is once a batch, and are traced with it: tensors
    only, nothing on the host, no Python state that changes from step to step. What the step must remember
    lives in variables made by `add_variable` and written by `assign`.

    Gradients are those of the loss: already unscaled under loss scaling, one per variable, `None` where a
    variable has none, `tf.IndexedSlices` where TensorFlow makes them sparse. Under `tf.distribute` both
    methods run once in each replica, where the gradients are that replica's share, to be summed: what is
    *written* must be the same on every replica, so compute it from weights, from this observer's variables,
    or from `all_reduce(gradients)`.

    A step is one update of the weights. With `gradient_accumulation_steps=k` they move at every k-th call
    only; `optimizer.iterations` counts the updates finished so far, so that it is one higher in `after_apply`
    than in `before_apply` exactly when the weights moved.

    Attributes:
        optimizer: the optimizer observed; the inner one under a `LossScaleOptimizer`. `None` before `build`.
        variables: this observer's variables, in the order they were added.
        carry: what `before_apply` hands to `after_apply`, as attributes. Replicas run in threads that take
            turns in the middle of a step; plain attributes would mix them up, this object belongs to one
            thread.
    """

    optimizer = None

    def build(self, optimizer, variables):
        """Creates this observer's variables; called once, when it is attached (or at the first step, if the
        model has no weights before)."""

    def before_apply(self, gradients, variables):
        """Called before the update. Returns the gradients the optimizer shall use, one per variable."""
        return gradients

    def skips(self):
        """Called before the update: a boolean tensor, whether it is left out. `None`, the default, is never.

        A conditional around the update is TensorFlow's alone, and only without a strategy: elsewhere it
        cannot be had, and `after_apply` puts back what the update wrote.
        """
        return None

    def after_apply(self, gradients, variables):
        """Called after the update, with the gradients the optimizer was given."""

    def add_variable(self, shape, dtype=None, initializer="zeros", name=None):
        """Makes a variable that the step can write; call it in `build`.

        Args:
            shape: its shape.
            dtype: its dtype; `None` is Keras's `floatx`.
            initializer: Keras initializer or its name.
            name: its name, for debugging.

        Returns:
            A `keras.Variable`, never part of what the optimizer saves.
        """
        variable = keras.Variable(
            initializer=keras.initializers.get(initializer),
            shape=shape,
            dtype=dtype,
            trainable=False,
            name=name,
        )
        self.variables.append(variable)
        return variable

    def assign(self, variable, value):
        """Writes a weight or an observer's variable inside the step: every replica writes its own copy, as
        is.

        No arithmetic happens between replicas, so that a mask written this way stays exact. Under
        `tf.distribute`
        it must not be called inside a conditional: use `keras.ops.where` on the value.
        """
        if keras.backend.backend() != "tensorflow":
            variable.assign(value)
            return
        import tensorflow as tf

        def write(copy, value):
            copy.assign(tf.cast(value, copy.dtype))

        def write_everywhere(strategy, variable, value):
            strategy.extended.update(variable, write, args=(value,), group=False)

        native = variable.value if isinstance(variable, keras.Variable) else variable
        strategy = tf.distribute.get_strategy()
        tf.__internal__.distribute.interim.maybe_merge_call(write_everywhere, strategy, native, value)

    def all_reduce(self, tensors):
        """Sums a list of tensors over the replicas: the global gradients, from `gradients`.

        `None` stays `None`, and sparse gradients come back dense, because the squares of repeated rows do not
        add up to a norm. On JAX a distributed step is one program over all data: nothing is left to sum.
        """
        if keras.backend.backend() != "tensorflow":
            return tensors
        import tensorflow as tf

        tensors = [None if t is None else tf.convert_to_tensor(t) for t in tensors]
        replica = tf.distribute.get_replica_context()
        if replica.num_replicas_in_sync == 1:
            return tensors
        summed = iter(replica.all_reduce(tf.distribute.ReduceOp.SUM, [t for t in tensors if t is not None]))
        return [None if t is None else next(summed) for t in tensors]

    def accumulated(self, gradients, variables):
        """The mean gradient that an update made now would use; call it in `before_apply`.

        Without gradient accumulation these are `gradients`. With `gradient_accumulation_steps=k` it is
        (sum over the batches since the last update + this batch's) / k.
        """
        steps = self.optimizer.gradient_accumulation_steps
        if not steps:
            return gradients
        sums = self.optimizer._accumulated_gradients
        return [
            None if g is None else keras.ops.add(g, sums[self.optimizer._get_variable_index(v)]) / steps
            for g, v in zip(gradients, variables, strict=True)
        ]
