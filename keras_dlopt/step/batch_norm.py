"""BatchNormalization statistics of weights that no forward pass has seen."""

import keras


def reestimate_batch_norm(model, batches):
    """Gives every trainable BatchNormalization layer the equal mean of its statistics over `batches`.

    Averaged weights need it: the moving statistics belong to the weights they were gathered with. As in PyTorch's
    `update_bn`, batches pass the model in training mode, one after another.

    Args:
        model: a built model.
        batches: its inputs, batch by batch; of equal size, for each counts the same.

    Returns:
        Whether the model has such layers.
    """
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if not layers:
        return False
    momenta = [layer.momentum for layer in layers]
    try:
        for i, batch in enumerate(batches):
            for layer in layers:
                layer.momentum = i / (i + 1)
            model(batch, training=True)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    return True
