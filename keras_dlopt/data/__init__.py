"""What happens to rows on their way into `model.fit`."""

from keras_dlopt.data.augmentation import RandomTokens, augment

__all__ = ["RandomTokens", "augment"]
