"""Short sequences first."""

import functools

from keras_dlopt.arguments import check_choice, check_length, check_lengths, check_number
from keras_dlopt.callbacks.batch_stages import BatchStages, equal_stages
from keras_dlopt.callbacks.run_length import end_in_steps
from keras_dlopt.step.smaller import shorter_sequences


class SequenceLengthWarmup(BatchStages):
    """Trains on short sequences first, in a few lengths, and from `end` on and in validation on whole ones.

    Short sequences make the first steps of a language model cheap, and calm: they bear larger rates. Whatever in the
    batch has the length of the first input along axis 1 is shortened inside the compiled step: inputs, targets of
    every token, weights of every token. Targets of a whole sequence stay. Each length is one compilation. The steps
    before `end` are shared equally among `lengths`.

    It is for models whose weights do not depend on the length. The shape in their `Input` may be fixed. Any other (a
    table of positions that is added whole, `Flatten` before `Dense`) is refused before the first step, by the layer.

    Args:
        lengths: the lengths before the full one, in their order: shares of the full length in (0, 1), or tokens.
            Defaults to `(0.25, 0.5)`.
        end: from which step on sequences are whole: a share of the run, or a number of steps. Defaults to 0.3.
        mode: "truncate" keeps the beginning of every row, so the rest of it is not seen in these steps; "reshape"
            makes several rows of each, so that a step sees as many tokens as ever, and costs less only where the cost
            of a token grows with the length (attention). Defaults to "truncate".
        multiple: lengths are rounded to multiples of this. Defaults to 8.
        steps: length of the run, for data of unknown length.

    Raises:
        ValueError: if an argument is out of its range; before the first step, if the run ends before `end`, the model
            cannot take a length, the data are no sequences of one length, or "reshape" meets targets of whole
            sequences.

    Source: Li, Zhang, He, "The stability-efficiency dilemma: investigating sequence length warmup for training GPT
    models", arXiv 2108.06084.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((32,)), keras.layers.Embedding(5, 4), keras.layers.Dense(5)])
    >>> model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> x = np.arange(8 * 32).reshape(8, 32) % 5
    >>> warmup = callbacks.SequenceLengthWarmup((8, 0.5), end=2)
    >>> _ = model.fit(x, (x + 1) % 5, batch_size=2, callbacks=[warmup], verbose=0)
    >>> model.predict(x, verbose=0).shape
    (8, 32, 5)
    """

    lengths = ("end",)

    def __init__(self, lengths=(0.25, 0.5), end=0.3, *, mode="truncate", multiple=8, steps=None):
        super().__init__(steps)
        where = "SequenceLengthWarmup"
        lengths = check_lengths(where, "lengths", lengths)
        self._end_of_short = check_length(where, "end", end)
        check_choice(where, "mode", mode, ("truncate", "reshape"))
        check_number(where, "multiple", multiple, 1, integer=True)
        self._shorten = [functools.partial(shorter_sequences, where, length, multiple, mode) for length in lengths]

    def stages(self, run):
        return equal_stages(self._shorten, end_in_steps(self, self._end_of_short, run))
