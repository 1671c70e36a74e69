"""A model that thaws from the output on."""

import numbers
import re

import keras
from keras import ops

from keras_dlopt.arguments import invalid
from keras_dlopt.callbacks.callback import Callback
from keras_dlopt.callbacks.freezing import attached_moves, freeze, put_back, share_of_weights
from keras_dlopt.callbacks.stages import in_epochs, parse_stages, stage_at
from keras_dlopt.step.units import units


class GradualUnfreeze(Callback):
    r"""Fine-tunes the last layers first, and lets the others train stage after stage.

    A frozen layer is one with `trainable=False`: BatchNormalization in it runs in inference mode, and no gradient
    is computed for it or, where nothing below it trains, for what is below. This is so inside the compiled step only:
    nothing has to be compiled by you, and a model that is saved in between has all its layers as you made them, with
    all of the optimizer's state. Layers with `trainable=False` of your own stay frozen. Each stage compiles the step
    once more.

    Adam's estimates of a layer that thaws start at zero, while the optimizer's clock has long run: its first updates
    would be up to 6.5 times the learning rate. Under Adam and AdamW, Keras's and ours, they are scaled by

    $$\frac{\sqrt{1 - \beta_2^k}}{1 - \beta_1^k} \cdot \frac{1 - \beta_1^t}{\sqrt{1 - \beta_2^t}}$$

    at the k-th update of the layer and the t-th of the optimizer: it trains as with an optimizer of its own that
    starts now, but for epsilon. This costs a copy of those weights in a step. Other optimizers go on as they do.

    For learning rates that fall towards the input give the optimizer `groups=optimizers.layerwise_decay(model)`.

    Args:
        stages: `{when: what}`. `when` is 0, a share of the run in (0, 1), rounded to an epoch, or a whole number of
            epochs. `what` trains from then on, besides what does already: a number n, the last n layers with weights
            (in models inside the model, too); a pattern, searched for in the paths of such layers and their weights;
            `None`, everything. Defaults to one layer more in every epoch.

    Raises:
        ValueError: if a stage is none of these; when the run begins, if the model is not built, a pattern matches
            nothing, or the stages do not fit the number of epochs.

    Source:
        Howard, Ruder, "Universal language model fine-tuning for text classification", arXiv 1801.06146.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="body"), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> unfreeze = callbacks.GradualUnfreeze({0: 1, 0.5: "body"})
    >>> history = model.fit(np.ones((2, 2)), np.ones((2, 1)), epochs=4, callbacks=[unfreeze], verbose=0).history
    >>> [round(share, 3) for share in history["frozen"]]                # of the weights
    [0.667, 0.667, 0.0, 0.0]
    """

    lengths = ("stages",)

    def __init__(self, stages=None):
        super().__init__()
        self._stages = None if stages is None else parse_stages("GradualUnfreeze", "stages", stages)
        for _, what in self._stages or ():
            _check(stages, what)

    def on_train_begin(self, logs=None):
        self.end_run()
        if not all(layer.built for layer in self.model._flatten_layers()):
            raise invalid("GradualUnfreeze", "model", self.model, "built: give it an Input, or call `build`")
        self._units = units(self.model)
        epochs = self.params["epochs"]
        stages = self._stages or [(n, n + 1) for n in range(min(len(self._units), epochs))]
        self._begun = in_epochs("GradualUnfreeze", "stages", stages, epochs)
        self._frozen = self._left_after_each()
        self._thawed_at, self._stage = [], None
        self._used = attached_moves(self.model)
        self.at_end(put_back, self.model, self._used)

    def _left_after_each(self):
        """The units that are frozen in each stage."""
        left, frozen = self._units, []
        for _, what in self._begun:
            chosen = {id(unit) for unit in _choose(self._units, what)}
            left = [unit for unit in left if id(unit) not in chosen]
            frozen.append(left)
        return frozen

    def on_epoch_begin(self, epoch, logs=None):
        stage = stage_at(self._begun, epoch)
        if stage != self._stage:
            # Stages before that of the first epoch of a run that goes on are given by `set_state`, or have no clock.
            made = self._count() if self._stage is not None else 0
            self._thawed_at += [made] * (stage + 1 - len(self._thawed_at))
            self._enter(stage)

    def _enter(self, stage):
        self._stage = stage
        freeze(self.model, self._used, self._frozen[stage], own_clocks(self.model.optimizer, self._thawed()))

    def _thawed(self):
        """Pairs of the weights that thawed together, and the optimizer's count at that time."""
        for before, after, made in zip(self._frozen, self._frozen[1:], self._thawed_at[1:], strict=False):
            remaining = {id(unit) for unit in after}
            weights = [v for unit in before if id(unit) not in remaining for v in unit.trainable_variables]
            if made and weights:
                yield weights, made

    def _count(self):
        return int(ops.convert_to_numpy(self.model.optimizer.iterations))

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["frozen"] = share_of_weights(self._frozen[self._stage], self._units)

    def on_train_end(self, logs=None):
        self.end_run()

    def get_state(self):
        """When each stage began, by the optimizer's count."""
        return {"thawed_at": list(self._thawed_at)}

    def set_state(self, state):
        """Goes on with the clocks of `get_state`."""
        self._thawed_at = list(state["thawed_at"])
        self._enter(self._stage)


def _check(stages, what):
    count = isinstance(what, numbers.Integral) and not isinstance(what, bool) and what >= 1
    if not (what is None or count or isinstance(what, str)):
        accepted = "{when: what} with numbers of layers >= 1, patterns and None for what"
        raise invalid("GradualUnfreeze", "stages", stages, accepted)
    if isinstance(what, str):
        try:
            re.compile(what)
        except re.error as error:
            raise invalid("GradualUnfreeze", "stages", stages, f"patterns that compile ({error})") from None


def _choose(found, what):
    if what is None:
        return found
    if not isinstance(what, str):
        return found[-what:]
    chosen = [u for u in found if any(re.search(what, path) for path in (u.path, *(v.path for v in u.variables)))]
    if not chosen:
        raise invalid("GradualUnfreeze", "stages", what, f"patterns found in one of {', '.join(u.path for u in found)}")
    return chosen


def own_clocks(optimizer, thawed):
    """For `ScaledMoves`: Adam's bias corrections of weights that began to train when it had made so many updates."""
    adam = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(adam, keras.optimizers.Adam) and type(adam).__name__ not in ("Adam", "AdamW"):
        return []

    def correction(updates):
        return ops.sqrt(1 - ops.power(adam.beta_2, updates)) / (1 - ops.power(adam.beta_1, updates))

    def factor_after(made):
        def factor(calls):
            t = ops.cast(calls // (adam.gradient_accumulation_steps or 1) + 1, "float32")
            return correction(t - made) / correction(t)

        return factor

    return [(weights, factor_after(made)) for weights, made in thawed]
