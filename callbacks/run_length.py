"""How long a run is, as far as Keras knows before it begins."""

from keras_dlopt.arguments import invalid


def run_length(callback, steps=None):
    """The number of batches of the run that `callback` is told of; `steps`, if given, is taken for it.

    Raises:
        ValueError: naming `steps`, if neither is known.
    """
    if steps is not None:
        return steps
    per_epoch, epochs = (callback.params or {}).get("steps"), (callback.params or {}).get("epochs")
    if not per_epoch or not epochs:
        accepted = "given, because the length of this run is not known before its end"
        raise invalid(type(callback).__name__, "steps", None, accepted)
    return per_epoch * epochs
