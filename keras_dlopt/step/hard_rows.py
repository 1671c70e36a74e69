"""The rows of a batch from which there is most to learn."""

import keras
from keras import ops


def row_losses(model, y, y_pred, sample_weight=None):
    """The loss of every row, by the losses that `model` was compiled with: what each adds to the loss of the batch.

    Outputs and losses are weighted as in `compile`, rows and tokens by `sample_weight` and masks; of several numbers a
    row, such as one a token, it is the mean. Regularization, which is no row's, is left out.

    Raises:
        ValueError: if a loss does not give at least one number a row.
    """
    compiled = model._compile_loss
    losses = compiled._flat_losses
    compiled._flat_losses = [entry._replace(loss=_by_row(entry.loss)) for entry in losses]
    try:
        return compiled(y, y_pred, sample_weight)
    finally:
        compiled._flat_losses = losses


def _by_row(loss):
    def call(y_true, y_pred, sample_weight):
        reduction, loss.reduction = loss.reduction, None
        try:
            values = loss(y_true, y_pred, sample_weight)
        finally:
            loss.reduction = reduction
        if not len(values.shape):
            raise ValueError(f"the loss `{loss.name}` gives one number for the whole batch, not one a row")
        return ops.mean(values, axis=tuple(range(1, len(values.shape)))) if len(values.shape) > 1 else values

    return call


def hard_rows(losses, keep, beta=None, seed=None):
    r"""Which rows to keep, by their loss: a fixed number of them, in the order of the batch.

    Args:
        losses: of every row.
        keep: the share of rows, in (0, 1); at least one row stays.
        beta: $k$ rows are drawn without replacement with odds $F_i^\beta$ where $F_i$ is the share of rows whose loss
            is not larger. `None` keeps the $k$ largest.
        seed: of the draw, two numbers.

    Returns:
        Their indices, a tensor of whole numbers.
    """
    rows = ops.shape(losses)[0]
    if isinstance(rows, int):
        kept = max(1, int(keep * rows + 0.5))
        share = 1 / rows
    else:
        kept = ops.maximum(1, ops.cast(ops.floor(keep * ops.cast(rows, "float32") + 0.5), "int32"))
        share = 1 / ops.cast(rows, "float32")
    order = ops.argsort(losses)
    if beta is not None:
        # Gumbel noise: the largest of log-odds plus noise are a draw without replacement (arXiv 1903.06059).
        percentile = ops.cast(ops.argsort(order) + 1, "float32") * share
        noise = -ops.log(-ops.log(_uniform(ops.shape(losses), seed)))
        order = ops.argsort(beta * ops.log(percentile) + noise)
    return ops.sort(order[rows - kept :])


def _uniform(shape, seed):
    """Numbers in (0, 1) that depend on `seed` alone: nothing is kept between steps, a resumed run draws the same."""
    if keras.backend.backend() == "jax":
        import jax

        key = jax.random.fold_in(jax.random.key(seed[0]), seed[1])
        return jax.random.uniform(key, shape, minval=1e-7, maxval=1.0)
    import tensorflow as tf

    seed = tf.stack([tf.cast(part, "int32") for part in seed])
    return tf.random.stateless_uniform(shape, seed, minval=1e-7, maxval=1.0)
