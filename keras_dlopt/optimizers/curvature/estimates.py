"""What a batch says about the diagonal of the Hessian, at every k-th update, inside the training step."""

import keras
from keras import losses, ops

from keras_dlopt.arguments import invalid
from keras_dlopt.optimizers.curvature.derivatives import gradient, hessian_product

_LOSSES = (losses.CategoricalCrossentropy, losses.SparseCategoricalCrossentropy, losses.BinaryCrossentropy)


def wrap(optimizer, model, train_step, estimate):
    """`train_step` of `model`, with an estimate provided to `optimizer` for each update that needs one.

    `estimate(data, values, at, generator)` gives one tensor for each trainable variable. `at(values, function)` is
    `function()` with these variables at `values`; nothing that it does to any variable is written. Random numbers
    come from `generator`.
    """
    generator = keras.random.SeedGenerator(0)

    def provide(values, mapping, data):
        # The seed is the number of the batch: nothing to save, and a loaded run goes on with the same numbers.
        seed = ops.stack([ops.cast(n, generator.state.dtype) for n in (_replica(), optimizer._iterations)])

        def at(values, function):
            pairs = [*mapping, *zip(model.trainable_variables, values, strict=True), (generator.state, seed)]
            with keras.StatelessScope(pairs, collect_losses=True):
                return function()

        def nothing():
            return [ops.zeros_like(value) for value in values]

        due = _due(optimizer)
        optimizer.provide(curvature=ops.cond(due, lambda: estimate(data, values, at, generator), nothing))

    def step(data):
        if not optimizer.built:
            model.optimizer.build(model.trainable_variables)
        provide([ops.convert_to_tensor(v) for v in model.trainable_variables], (), data)
        return train_step(data)

    def stateless_step(state, data):
        trainable, others, optimizer_state, metrics = state
        mapping = [
            *zip(model.non_trainable_variables, others, strict=True),
            *zip(model.optimizer.variables, optimizer_state, strict=True),
            *zip(model.metrics_variables, metrics, strict=True),
        ]
        with keras.StatelessScope(mapping):
            provide(trainable, mapping, data)
        return train_step(state, data)

    return stateless_step if keras.backend.backend() == "jax" else step


def _due(optimizer):
    """Whether the update of this batch uses an estimate; of accumulated batches the last one gives it."""
    due = ops.equal(ops.mod(optimizer.iterations, optimizer.update_period), 0)
    if optimizer.gradient_accumulation_steps:
        batch = optimizer._iterations + 1
        due = ops.logical_and(due, ops.equal(ops.mod(batch, optimizer.gradient_accumulation_steps), 0))
    return due


def _replica():
    if keras.backend.backend() == "jax":
        return 0
    import tensorflow as tf

    return tf.distribute.get_replica_context().replica_id_in_sync_group


def _replicas():
    if keras.backend.backend() == "jax":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def random_signs(model):
    """Hutchinson's estimate: the Hessian of the loss times random signs, times these signs."""

    def estimate(data, values, at, generator):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)

        def loss(values):
            def value():
                predicted = model(x, training=False)
                return model.compute_loss(x=x, y=y, y_pred=predicted, sample_weight=sample_weight)

            return at(values, value)

        def draw():
            return [2 * ops.cast(keras.random.randint(v.shape, 0, 2, seed=generator), v.dtype) - 1 for v in values]

        signs = at(values, draw)
        return [u * p for u, p in zip(signs, hessian_product(loss, values, signs), strict=True)]

    return estimate


def sampled_labels(model):
    r"""Gauss-Newton-Bartlett: with the loss $\frac 1D \sum_i \ell_i$ and labels drawn from the predictions, the square
    of $\frac{1}{\sqrt D} \nabla \sum_i \ell_i$ is on average the diagonal of its Gauss-Newton matrix.

    Raises:
        ValueError: if the loss does not say how labels are distributed given the outputs.
    """
    loss = model.loss
    if not isinstance(loss, _LOSSES) or not loss.from_logits or len(getattr(model, "outputs", None) or [0]) != 1:
        accepted = "CategoricalCrossentropy, SparseCategoricalCrossentropy or BinaryCrossentropy with from_logits=True"
        raise invalid("compile", "loss", loss, f"of one output, {accepted}, for SophiaG to draw labels from")
    binary = isinstance(loss, losses.BinaryCrossentropy)

    def estimate(data, values, at, generator):
        x, _, sample_weight = keras.utils.unpack_x_y_sample_weight(data)

        def value():
            logits = ops.cast(model(x, training=False), "float32")
            terms = (_binary if binary else _categorical)(logits, generator)
            divisor = ops.cast(ops.size(terms) * _replicas(), "float32")
            if loss.reduction == "sum":
                divisor = logits.shape[-1] if binary else 1.0
            if sample_weight is not None:
                # The square root, as each term comes in squared.
                weight = ops.sqrt(ops.cast(sample_weight, "float32"))
                missing = len(terms.shape) - len(weight.shape)
                terms = terms * ops.reshape(weight, (*ops.shape(weight), *[1] * missing))
            return ops.sum(terms) / ops.sqrt(divisor)

        return gradient(lambda values: at(values, value), values)

    return estimate


def _categorical(logits, generator):
    """The loss of each prediction at a label drawn from it."""
    rows = ops.reshape(ops.stop_gradient(logits), (-1, logits.shape[-1]))
    labels = ops.reshape(keras.random.categorical(rows, 1, seed=generator), ops.shape(logits)[:-1])
    return ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def _binary(logits, generator):
    p = ops.sigmoid(ops.stop_gradient(logits))
    labels = ops.cast(keras.random.uniform(ops.shape(logits), seed=generator) < p, logits.dtype)
    return ops.binary_crossentropy(labels, logits, from_logits=True)
