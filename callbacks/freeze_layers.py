"""A model that freezes from the input on."""

import math

import numpy as np
from keras import ops

from keras_dlopt.arguments import check_choice, check_number, invalid
from keras_dlopt.callbacks.callback import Callback
from keras_dlopt.callbacks.freezing import attached_moves, freeze, put_back, share_of_weights
from keras_dlopt.callbacks.run_length import run_length, steps_until
from keras_dlopt.step.units import units


class FreezeLayers(Callback):
    r"""Stops training layers from the input on, as they converge: the backward pass gets shorter and shorter.

    The layers with weights are divided into `groups` of neighbours, of which the last always trains. "schedule" is
    FreezeOut: group i of n stops at the share

    $$t_i = \left(b^{1/3} + (1 - b^{1/3}) \frac{i}{n - 1}\right)^3$$

    of the run, where b is `begin`; until then its learning rate is what the optimizer or a schedule says, times

    $$\frac{1 + \cos(\pi t / t_i)}{1 + \cos(\pi t)},$$

    so that with `CosineDecay` each group follows FreezeOut's cosine down to zero at $t_i$. "change" measures instead:
    after an epoch, how far a group's weights have moved in it, over their norm; those next to the frozen ones freeze
    when this has fallen below `threshold` of the largest it was, from `begin` on.

    A frozen layer is one with `trainable=False`, BatchNormalization in inference mode included, inside the compiled
    step only: a model saved in between is an ordinary one. Layers freeze between two epochs, and each time the step is
    compiled once more. What is saved is the work of their gradients, and of the gradients that only went through
    them; the forward pass stays. "schedule" costs a copy of the weights that still train and will not always.

    Args:
        rule: "schedule" or "change". Defaults to "schedule".
        begin: the share of the run, in (0, 1), at which the first group freezes, or may. Defaults to 0.5.
        groups: number of groups, >= 2: with "schedule" about that many compilations. Defaults to 4.
        threshold: of "change", in (0, 1). Defaults to 0.3.

    Raises:
        ValueError: if an argument is out of its range; when the run begins, if the model is not built or has fewer
            layers with weights than groups, or the length of the run is unknown.

    Source:
        Brock et al., "FreezeOut", arXiv 1706.04983 (cubic times, unscaled rates). "change" follows AutoFreeze (Liu et
        al., arXiv 2102.01386), which compares norms of gradients, and Egeria (Wang et al., arXiv 2201.06227), which
        compares activations, with what is there without another pass: the weights.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((2,)), *(keras.layers.Dense(2) for _ in range(3))])
    >>> model.compile("sgd", "mse")
    >>> freeze = callbacks.FreezeLayers(begin=0.25, groups=3)
    >>> history = model.fit(np.ones((2, 2)), np.ones((2, 2)), epochs=4, callbacks=[freeze], verbose=0).history
    >>> [round(share, 3) for share in history["frozen"]]                # of the weights
    [0.0, 0.333, 0.333, 0.667]
    """

    lengths = ("begin",)

    def __init__(self, rule="schedule", begin=0.5, *, groups=4, threshold=0.3):
        super().__init__()
        self._rule = check_choice("FreezeLayers", "rule", rule, ("schedule", "change"))
        self._begin = check_number("FreezeLayers", "begin", begin, 0, 1, "()")
        self._count = check_number("FreezeLayers", "groups", groups, 2, integer=True)
        self._threshold = check_number("FreezeLayers", "threshold", threshold, 0, 1, "()")

    def on_train_begin(self, logs=None):
        self.end_run()
        if not all(layer.built for layer in self.model._flatten_layers()):
            raise invalid("FreezeLayers", "model", self.model, "built: give it an Input, or call `build`")
        self._units = units(self.model)
        if len(self._units) < self._count:
            raise invalid("FreezeLayers", "groups", self._count, f"at most the {len(self._units)} layers with weights")
        self._groups = [list(part) for part in _split(self._units, self._count)]
        self._times = freezing_times(self._begin, self._count - 1)
        self._frozen, self._start = 0, None
        self._largest, self._before = [0.0] * (self._count - 1), None
        self._used = attached_moves(self.model)
        self.at_end(put_back, self.model, self._used)

    def on_epoch_begin(self, epoch, logs=None):
        first, self._epoch = self._start is None, epoch
        if first:
            self._start = self._calls() - steps_until(self.params, epoch)
        frozen = self._frozen
        if self._rule == "schedule":
            share = epoch / self.params["epochs"]
            frozen = sum(time <= share + 1e-9 for time in self._times)
        elif self._before is None:
            self._before = self._weights()
        if first or frozen != self._frozen:
            self._freeze(frozen)

    def _freeze(self, count):
        self._frozen, factors = count, []
        if self._rule == "schedule":
            run = run_length(self)
            still = list(zip(self._groups, self._times, strict=False))[count:]
            factors = [
                ([v for unit in group for v in unit.trainable_variables], _falling(self._start, time, run))
                for group, time in still
            ]
        layers = [unit for group in self._groups[:count] for unit in group]
        freeze(self.model, self._used, layers, factors)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            some = [unit for group in self._groups[: self._frozen] for unit in group]
            logs["frozen"] = share_of_weights(some, self._units)
        if self._rule == "change":
            now, frozen = self._weights(), self._frozen
            for i in range(frozen, self._count - 1):
                change = _norm(a - b for a, b in zip(now[i], self._before[i], strict=True)) / max(_norm(now[i]), 1e-12)
                self._largest[i] = max(self._largest[i], change)
                converged = (
                    change < self._threshold * self._largest[i] and (epoch + 1) / self.params["epochs"] >= self._begin
                )
                if converged and i == frozen:
                    frozen += 1
            self._before = now
            if frozen != self._frozen:
                self._freeze(frozen)

    def on_train_end(self, logs=None):
        self.end_run()

    def get_state(self):
        """What is frozen, and what it has measured."""
        before = {f"{i} {j}": value for i, group in enumerate(self._before or ()) for j, value in enumerate(group)}
        return {"frozen": self._frozen, "start": self._start, "largest": list(self._largest), "before": before}

    def set_state(self, state):
        """Goes on from `get_state`."""
        self._start, self._largest = state["start"], list(state["largest"])
        if state["before"]:
            self._before = [
                [state["before"][f"{i} {j}"] for j in range(len(group))] for i, group in enumerate(self._weights())
            ]
        self._freeze(state["frozen"] if self._rule == "change" else self._frozen)

    def _calls(self):
        return int(
            ops.convert_to_numpy(getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)._iterations)
        )

    def _weights(self):
        """Copies of the weights, group by group without the last."""
        return [
            [np.array(ops.convert_to_numpy(v)) for unit in group for v in unit.trainable_variables]
            for group in self._groups[:-1]
        ]


def freezing_times(begin, count):
    """FreezeOut's cubic shares of the run at which `count` groups freeze; one that never does comes behind them."""
    root = begin ** (1 / 3)
    return [(root + (1 - root) * i / count) ** 3 for i in range(count)]


def _falling(start, end, run):
    """For `ScaledMoves`: from 1 at call `start` to 0 at the share `end` of `run` calls."""

    def factor(calls):
        share = ops.minimum(ops.cast(calls - start, "float32") / run, end)
        return (1 + ops.cos(math.pi * share / end)) / (1 + ops.cos(math.pi * share))

    return factor


def _split(found, count):
    edges = [len(found) * i // count for i in range(count + 1)]
    return (found[a:b] for a, b in zip(edges, edges[1:], strict=False))


def _norm(arrays):
    return math.sqrt(sum(float(np.sum(np.square(a, dtype="float64"))) for a in arrays))
