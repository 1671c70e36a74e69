"""What a batch says about the diagonal of the Hessian, at every k-th update, inside the training step."""

import keras
from keras import losses, ops
from keras.src.backend import get_keras_mask

from keras_dlopt.arguments import invalid
from keras_dlopt.optimizers.curvature.derivatives import gradient, hessian_product
from keras_dlopt.optimizers.executor.update import dense

_LOSSES = (losses.CategoricalCrossentropy, losses.SparseCategoricalCrossentropy, losses.BinaryCrossentropy)


def wrap(optimizer, model, train_step, estimate, own_draws):
    """`train_step` of `model`, with an estimate provided to `optimizer` for each update that needs one.

    `estimate(data, values, at, generator)` gives one tensor for each trainable variable. `at(values, function)` is
    `function()` with these variables at `values`; nothing that it does to any variable is written, so that the masks
    of dropout are those which the step itself draws afterwards. Random numbers come from `generator`; with `own_draws`
    each replica gets numbers of its own.
    """
    generator = keras.random.SeedGenerator(0)

    def provide(values, mapping, data):
        # The seed is the number of the batch: nothing to save, and a loaded run goes on with the same numbers. The
        # generator counts its draws in the second word.
        words = (optimizer._iterations, _replica() if own_draws else 0)
        seed = ops.stack([ops.cast(word, generator.state.dtype) for word in words])

        def at(values, function):
            pairs = [*mapping, *zip(model.trainable_variables, values, strict=True), (generator.state, seed)]
            with keras.StatelessScope(pairs, collect_losses=True):
                return function()

        def nothing():
            return [ops.zeros_like(value) for value in values]

        found = ops.cond(_due(optimizer), lambda: estimate(data, values, at, generator), nothing)
        found = {id(variable): part for variable, part in zip(model.trainable_variables, found, strict=True)}
        # The optimizer may have been built with more variables: some can be frozen by now.
        optimizer.provide(curvature=[found.get(id(variable)) for variable in optimizer._trainable_variables])

    def step(data):
        if not optimizer.built:
            model.optimizer.build(model.trainable_variables)
        provide([dense(v) for v in model.trainable_variables], (), data)
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
                predicted = model(x, training=True)
                return model.compute_loss(x=x, y=y, y_pred=predicted, sample_weight=sample_weight)

            return at(values, value)

        def draw():
            return [2 * ops.cast(keras.random.randint(v.shape, 0, 2, seed=generator), v.dtype) - 1 for v in values]

        signs = at(values, draw)
        return [u * p for u, p in zip(signs, hessian_product(loss, values, signs), strict=True)]

    return estimate


def sampled_labels(model):
    r"""Gauss-Newton-Bartlett: with the loss $\sum_i \omega_i \ell_i$ over predictions and labels drawn from these, the
    square of $\nabla \sum_i \sqrt{\omega_i}\, \ell_i$ is on average the diagonal of its Gauss-Newton matrix.

    Raises:
        ValueError: if the loss does not say how labels are distributed given the outputs.
    """
    loss = model.loss
    known = isinstance(loss, _LOSSES) and loss.from_logits and getattr(loss, "axis", -1) == -1
    if not known or loss.reduction in (None, "none") or len(getattr(model, "outputs", None) or [0]) != 1:
        accepted = "CategoricalCrossentropy, SparseCategoricalCrossentropy or BinaryCrossentropy with from_logits=True"
        raise invalid("compile", "loss", loss, f"of one output, {accepted}, for SophiaG to draw labels from")
    draw = _binary if isinstance(loss, losses.BinaryCrossentropy) else _categorical

    def estimate(data, values, at, generator):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)

        def value():
            outputs = model(x, training=True)
            terms = draw(ops.cast(outputs, "float32"), generator)
            kept = _kept(loss, outputs, y)
            return ops.sum(terms * ops.sqrt(_weights(loss.reduction, ops.shape(terms), kept, sample_weight)))

        return gradient(lambda values: at(values, value), values)

    return estimate


def _categorical(logits, generator):
    """The loss of each prediction at a label drawn from it."""
    rows = ops.reshape(ops.stop_gradient(logits), (-1, logits.shape[-1]))
    labels = ops.reshape(keras.random.categorical(rows, 1, seed=generator), ops.shape(logits)[:-1])
    return ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def _binary(logits, generator):
    """The same for predictions that are a vector of independent ones each, whose losses Keras averages."""
    p = ops.sigmoid(ops.stop_gradient(logits))
    labels = ops.cast(keras.random.uniform(ops.shape(logits), seed=generator) < p, logits.dtype)
    terms = ops.binary_crossentropy(labels, logits, from_logits=True)
    # Over the square root, because each term comes in squared.
    return ops.sum(terms, axis=-1) / logits.shape[-1] ** 0.5


def _kept(loss, outputs, y):
    """1 for the predictions that the loss counts and 0 for masked ones and ignored classes; `None` for all."""
    kept = get_keras_mask(outputs)
    if getattr(loss, "ignore_class", None) is not None:
        counted = ops.not_equal(ops.reshape(y, ops.shape(outputs)[:-1]), ops.cast(loss.ignore_class, y.dtype))
        kept = counted if kept is None else ops.logical_and(kept, counted)
    return None if kept is None else ops.cast(kept, "float32")


def _weights(reduction, shape, kept, sample_weight):
    """What the loss multiplies each prediction's by; of several replicas each gives its share."""
    weights = ops.ones(shape)
    if sample_weight is not None:
        own = ops.shape(sample_weight)[: len(shape)]
        own = ops.reshape(ops.cast(sample_weight, "float32"), (*own, *[1] * (len(shape) - len(own))))
        weights = weights * own
    if kept is not None:
        weights = weights * kept
    if reduction == "sum":
        return weights
    counted = weights if reduction == "mean_with_sample_weight" else ops.ones(shape) if kept is None else kept
    return ops.divide_no_nan(weights, ops.sum(counted) * _replicas())
