"""The calls that real tfmot can do as well."""


def prune(model, sparsity, *, engine="tfmot", **how):
    """A model to train that real tfmot prunes.

    `callbacks.Prune` prunes natively in any `fit`; this is tfmot's way, for comparison or for what relies on it.

    Args:
        model: a Keras 3 model that `compress.bridge` takes, or a tf_keras model.
        sparsity: share of zeros to reach, or one of tfmot's schedules.
        engine: "tfmot".
        **how: `pattern`, `only`, `skip`, `begin`, `end`, `frequency`, as in `callbacks.Prune`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import compress
    >>> model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(10)])
    >>> wrapped = compress.prune(model, 0.8, engine="tfmot")
    >>> wrapped.compile("adam", "mse")                             # Keras 3's optimizers, losses, metrics, callbacks
    >>> history = wrapped.fit(np.ones((32, 10)), np.ones((32, 10)), verbose=0)
    >>> int(np.count_nonzero(wrapped.strip().layers[0].kernel))    # a Keras 3 model again
    20
    """
    from keras_dlopt.arguments import check_choice
    from keras_dlopt.compress import tfmot

    check_choice("prune", "engine", engine, ["tfmot"])
    return tfmot.prune(model, sparsity, **how)
