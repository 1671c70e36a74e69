"""Training on more than one device: the TPU preflight."""

__all__ = ["preflight"]


def __getattr__(name):
    if name == "preflight":
        from keras_dlopt.distribute.aot.preflight import preflight

        return preflight
    raise AttributeError(f"module 'keras_dlopt.distribute' has no attribute {name!r}")
