"""Freezing and thawing in the middle of a run: what callbacks put on the step for it, and take off."""

import math

from keras_dlopt import step
from keras_dlopt.step.frozen import Frozen
from keras_dlopt.step.scaled_moves import ScaledMoves
from keras_dlopt.step.surround import release, surround


def share_of_weights(some, everything):
    """The number of weights to train in `some` layers, over that of `everything`."""
    counts = [sum(math.prod(v.shape) for v in unit.trainable_variables) for unit in everything]
    chosen = {id(unit) for unit in some}
    return sum(n for n, unit in zip(counts, everything, strict=True) if id(unit) in chosen) / sum(counts)


def attached_moves(model):
    """What a callback has put on the step, to be ended by `put_back`: at first moves of which none is scaled.

    They are attached when the run begins, in the order of the callbacks: masks and averages must come behind them.
    """
    moves = ScaledMoves(())
    step.attach(model.optimizer, moves, model)
    return [moves]


def freeze(model, used, layers, factors):
    """From now on these layers are frozen, and the moves of others scaled by these `factors` of `ScaledMoves`."""
    if len(used) > 1:
        release(model, used.pop())
    used[0].factors = list(factors)
    used.append(Frozen(model, layers))
    surround(model, used[1])  # the step is traced anew, with the new factors


def put_back(model, used):
    """Takes off what a callback has put on the step, and empties the list."""
    while used:
        attached = used.pop()
        if isinstance(attached, Frozen):
            release(model, attached)
        elif attached.optimizer is not None:
            step.detach(attached.optimizer, attached)
