"""Small images first."""

import functools

from keras_dlopt.arguments import check_length, check_lengths, check_number
from keras_dlopt.callbacks.batch_stages import BatchStages, equal_stages
from keras_dlopt.callbacks.run_length import end_in_steps
from keras_dlopt.step.smaller import smaller_images


class ProgressiveResizing(BatchStages):
    """Trains on small images first, in a few sizes, and from `end` on and in validation on those that the data have.

    The cost of a convolution goes with the number of pixels: at half the size a step costs about a quarter. The images
    of every batch, the inputs of rank 4, are resized inside the compiled step, bilinearly, without antialiasing; each
    size is one compilation. The steps before `end` are shared equally among `sizes`.

    It is for models whose weights do not depend on the size: convolutions, then global pooling. The shape in their
    `Input` may be fixed. Any other is refused before the first step, by the layer that cannot do with the sizes.

    Args:
        sizes: the sizes before the full one, in their order: shares of the full size in (0, 1), or pixels of the
            shorter side. Defaults to `(0.5, 0.75)`.
        end: from which step on images have their full size: a share of the run, or a number of steps. Defaults to 0.7.
        multiple: height and width are rounded to multiples of this, for a network that halves them several times.
            Defaults to 8.
        targets: whether targets and sample weights of the images' height and width are resized, too, by nearest
            neighbours: segmentation. Defaults to `False`.
        steps: length of the run, for data of unknown length.

    Raises:
        ValueError: if an argument is out of its range; before the first step, if the run ends before `end`, the model
            cannot take a size, or the data are no images of one size.

    Source: Karras et al., "Progressive growing of GANs", arXiv 1710.10196; the resizing of a classifier's images is
    fastai's.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
    >>> model = keras.Sequential([keras.Input((32, 32, 1)), *layers])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.ones((8, 32, 32, 1)), np.ones((8, 2))
    >>> _ = model.fit(x, y, batch_size=2, callbacks=[callbacks.ProgressiveResizing((0.5,), end=0.75)], verbose=0)
    >>> model.predict(x, verbose=0).shape
    (8, 2)
    """

    lengths = ("end",)

    def __init__(self, sizes=(0.5, 0.75), end=0.7, *, multiple=8, targets=False, steps=None):
        super().__init__(steps)
        where = "ProgressiveResizing"
        sizes = check_lengths(where, "sizes", sizes)
        self._end_of_small = check_length(where, "end", end)
        check_number(where, "multiple", multiple, 1, integer=True)
        self._resize = [functools.partial(smaller_images, where, size, multiple, targets) for size in sizes]

    def stages(self, run):
        return equal_stages(self._resize, end_in_steps(self, self._end_of_small, run))
