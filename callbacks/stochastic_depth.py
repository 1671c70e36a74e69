"""Residual blocks that are skipped at random while training."""

import re

from keras.src.models.functional import Functional

from keras_dlopt.arguments import check_choice, check_number, invalid
from keras_dlopt.callbacks.callback import Callback
from keras_dlopt.step.depth import RandomDepth
from keras_dlopt.step.residual import branches
from keras_dlopt.step.surround import release, surround


class StochasticDepth(Callback):
    r"""Leaves out the branches of residual blocks at random while the model trains, later ones more often.

    Block l of L, from the input on, is left out with probability

    $$p_l = \frac{l}{L} p_L, \qquad y = x + \frac{b_l}{1 - p_l} f_l(x), \quad b_l \sim \mathrm{Bernoulli}(1 - p_l),$$

    with $p_L$ = `rate`. Dividing while training, where the paper multiplies afterwards, leaves inference as it is. The
    model is not rewritten: blocks are found in its graph, those of functional models inside of it too (additions of two
    tensors, one of which is a shortcut), and run otherwise inside the compiled training step only. Layers, weights,
    names, files, evaluation stay as they are.

    What is saved: with `per="batch"` a branch that is left out is not computed, forward or backward, a conditional in
    the graph; on average, blocks cost $1 - p_L (L + 1) / 2 L$. Its statistics of BatchNormalization and its weights'
    gradients, which are zero, are not computed either; the optimizer goes on with zeros. Compilers fuse less around a
    conditional: small blocks may gain nothing. With `per="sample"` every row draws for itself, which regularizes
    more smoothly and saves nothing.

    Draws depend on `seed` and the optimizer's counter alone: a run that goes on draws what it would have drawn.

    Args:
        rate: $p_L$, in (0, 1). Defaults to 0.5.
        blocks: a pattern, searched for in layers' paths: the layers are blocks that compute $x + f(x)$, shortcut
            included, of one tensor, in models of your own, where there is no graph to read. Defaults to those of
            the graph.
        per: "batch" or "sample". Defaults to "batch".
        seed: a whole number >= 0. Defaults to 0.

    Raises:
        ValueError: if an argument is none of these; when the run begins, if the model is not built or has no such
            blocks.

    Source: Huang et al., "Deep networks with stochastic depth", arXiv 1603.09382.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> x = inputs = keras.Input((4,))
    >>> for _ in range(3):
    ...     x = keras.layers.Add()([x, keras.layers.Dense(4)(x)])
    >>> model = keras.Model(inputs, x)
    >>> model.compile("sgd", "mse")
    >>> depth = callbacks.StochasticDepth(0.3)
    >>> _ = model.fit(np.ones((8, 4)), np.ones((8, 4)), callbacks=[depth], verbose=0)
    >>> [round(p, 2) for p in depth.rates]
    [0.1, 0.2, 0.3]
    """

    def __init__(self, rate=0.5, blocks=None, *, per="batch", seed=0):
        super().__init__()
        self._rate = check_number("StochasticDepth", "rate", rate, 0, 1, "()")
        self._per = check_choice("StochasticDepth", "per", per, ("batch", "sample"))
        self._seed = check_number("StochasticDepth", "seed", seed, 0, 2**31 - 1, integer=True)
        try:
            self._blocks = blocks and re.compile(blocks)
        except (re.error, TypeError):
            raise invalid("StochasticDepth", "blocks", blocks, "a pattern that compiles, or None") from None

    def on_train_begin(self, logs=None):
        self.end_run()
        if not all(layer.built for layer in self.model._flatten_layers()):
            raise invalid("StochasticDepth", "model", self.model, "built: give it an Input, or call `build`")
        found = _functional_blocks(self.model) if self._blocks is None else self._named()
        if not found:
            accepted = "one with residual additions in its graph; name the `blocks` of a model of your own"
            raise invalid("StochasticDepth", "model", self.model, accepted)
        count = sum(1 if branches is None else len(branches) for _, branches in found)
        self.rates = [self._rate * (i + 1) / count for i in range(count)]
        depth = RandomDepth(self.model, found, self.rates, self._per == "sample", self._seed)
        surround(self.model, depth)
        self.at_end(release, self.model, depth)

    def on_train_end(self, logs=None):
        self.end_run()

    def _named(self):
        found = [(layer, None) for layer in _in_order(self.model) if self._blocks.search(layer.path)]
        inner = {id(part) for layer, _ in found for part in layer._flatten_layers(include_self=False)}
        return [(layer, None) for layer, _ in found if id(layer) not in inner]


def _functional_blocks(model):
    """Pairs of a functional model and its branches, for those in `model` that have any."""
    models = [layer for layer in (model, *_in_order(model)) if isinstance(layer, Functional)]
    return [(one, found) for one in models if (found := branches(one))]


def _in_order(layer):
    for part in layer._layers:
        yield part
        yield from _in_order(part)
