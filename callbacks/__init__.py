"""Everything a user puts in `model.fit(callbacks=[...])`."""

from keras_dlopt.callbacks.prune import Prune

__all__ = ["Prune"]
