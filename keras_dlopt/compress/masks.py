"""Masks that live in the compiled step: how many units they keep after each update, and who holds them."""

import keras
import numpy as np
from keras import ops

from keras_dlopt.arguments import invalid
from keras_dlopt.compress import patterns
from keras_dlopt.compress.prunable import matrix_axes, prunable_weights
from keras_dlopt.compress.sparsity import TOLERANCE, kept_counts, values_of
from keras_dlopt.step import Observer

RANKINGS = ("layer", "global")
CRITERIA = ("magnitude", "movement")


def cut_into_units(model, cut, skip=(), only=(), depthwise=False, where="Prune"):
    """The units of every weight that `prunable_weights` chooses, under a pattern that `patterns.parse` returned."""
    axes = matrix_axes(model)
    weights = prunable_weights(model, skip, only, depthwise, where)
    return [cut(weight, axes=axes.get(id(weight))) for weight in weights]


def kept_table(units, sparsities, ranking, where="Prune"):
    """How many units to keep after each update, an array of (updates, units), or of (updates, 1) for global ranking.

    Raises:
        ValueError: if the last sparsity is not met within 0.001, because there are too few units.
    """
    sizes = [unit.size for unit in units]
    sizes = [sum(sizes)] if ranking == "global" else sizes
    table = np.array([kept_counts(sizes, sparsity) for sparsity in sparsities], "int32").reshape(-1, len(sizes))
    goal = float(sparsities[-1]) if len(sparsities) else 0.0
    _check_m_of_n(units, goal, where)
    total = sum(sizes)
    reached = 1 - int(table[-1].sum()) / total if len(table) else 0.0
    # Of channels there are few: the nearest number is meant.
    if abs(reached - goal) > (0.5 / total + 1e-9 if units[0].noun == "channels" else TOLERANCE):
        what = f"{total} {units[0].noun} in {len(units)} weights"
        accepted = f"a share that they can have within {TOLERANCE:g}: of {what}, {reached:.4g} is the nearest"
        raise invalid(where, "sparsity", goal, accepted)
    return table


def _check_m_of_n(units, goal, where):
    for unit in units:
        if isinstance(unit, patterns.MOfN) and abs(goal - unit.m / unit.n) > TOLERANCE:
            accepted = f"{unit.m / unit.n:g}, which is what the pattern {unit.m}:{unit.n} leaves at zero"
            raise invalid(where, "sparsity", goal, accepted)


def refuse_pruned(weights, sparsity, where):
    """Raises `ValueError` if `weights` have more zeros than asked for: pruning does not bring weights back."""
    arrays = [values_of(weight) for weight in weights]
    # A kernel that is zero throughout was initialised so.
    zeros = sum(int(np.sum(array == 0)) for array in arrays if array.any()) / sum(array.size for array in arrays)
    if zeros > sparsity + TOLERANCE:
        raise invalid(
            where,
            "sparsity",
            sparsity,
            f"at least {zeros:.4g}, the share of zeros of this model, which is pruned already "
            "(`callbacks.Prune.keep()` trains it on with the zeros it has)",
        )


def masked(weight, mask):
    """`weight` where `mask` is true, else zero."""
    return ops.where(ops.convert_to_tensor(mask), ops.convert_to_tensor(weight), 0.0)


class Masks(Observer):
    """Keeps pruned weights at zero: after every optimizer step, inside it, weights are masked.

    Zeros that a kernel has when training starts stay until masks are chosen anew. So a run that goes on from a saved
    model goes on with its masks, which are nowhere else.

    Args:
        find: a function without arguments that returns the units to prune. It is called when the model has its
            weights, which may be as late as in the first step.
        plan: when to choose the masks anew. `None` keeps the zeros that the weights have at the start, and only those.
        ranking: "layer", or "global": among all units.
        criterion: "magnitude", or "movement": `S -= gradient * weight` over all steps, with the weight that the mask
            hides where there is one.
    """

    def __init__(self, find, plan, ranking="layer", criterion="magnitude"):
        self.find = find
        self.plan = plan
        self.ranking = ranking
        self.moving = criterion == "movement" and plan is not None
        self.weights = None
        self._start, self._fresh = 0, False

    def build(self, optimizer, variables):
        self.units = self.find()
        self.weights = patterns.weights_of(self.units)
        if self.plan is not None:
            self._kept = kept_table(self.units, self.plan.sparsities, self.ranking)
            start = keras.initializers.Constant(self._start)
            self.step = self.add_variable((), dtype="int32", initializer=start, name="pruning_step")
            self.updates = self.add_variable((), dtype="int32", name="pruning_updates")
        self.masks = [self.add_variable(w.shape, "bool", initializer=_ones, name="mask") for w in self.weights]
        if self.moving:
            self.hidden = [self.add_variable(w.shape, w.dtype, name="hidden") for w in self.weights]
            self.scores = [self.add_variable(w.shape, name="movement") for w in self.weights]
        if self._fresh:
            self._take_zeros(self._start)

    def start_at(self, step, fresh=False):
        """Counts on from `step`: a resumed run starts at a later epoch, a loss scale may have skipped steps.

        Args:
            step: number of steps made.
            fresh: whether this is the start of a run: the masks are those of the weights as they are now.
        """
        self._start, self._fresh = step, fresh
        if self.weights is None:  # the first step builds it
            return
        if self.plan is not None:
            self.step.assign(step)
        if fresh:
            self._take_zeros(step)

    def _take_zeros(self, step):
        alive = [unit.alive([values_of(w) for w in unit.weights]) for unit in self.units]
        due = 0 if self.plan is None else int(np.sum(self.plan.steps <= step))
        exact = self.plan is None or (due and sum(map(np.sum, alive)) == self._kept[due - 1].sum())
        if exact and self.plan is not None:
            self.updates.assign(due)
        # A kernel that is zero throughout was initialised so, unless just as many zeros are due by now.
        alive = [kept if exact or kept.any() else ~kept for kept in alive]
        masks = patterns.masks_of(self.units, alive)
        for variable, mask in zip(self.masks, masks, strict=True):
            variable.assign(mask)
        for score, mask in zip(self.scores, masks, strict=True) if self.moving else ():
            # How they moved is not saved. What is pruned cannot tell any more, and stays so.
            score.assign(ops.where(mask, 0.0, -1e30))

    def before_apply(self, gradients, variables):
        if self.moving:
            places = {id(variable): i for i, variable in enumerate(variables)}
            found = self.all_reduce([gradients[places[id(weight)]] for weight in self.weights])
            for weight, mask, hidden, score, g in zip(
                self.weights, self.masks, self.hidden, self.scores, found, strict=True
            ):
                if g is not None:
                    self.assign(score, score - ops.cast(g * _where(mask, weight, hidden), score.dtype))
        return gradients

    def after_apply(self, gradients, variables):
        masks = [ops.convert_to_tensor(mask) for mask in self.masks]
        weights = [ops.convert_to_tensor(weight) for weight in self.weights]
        if self.moving:
            weights = [_where(m, w, hidden) for m, w, hidden in zip(masks, weights, self.hidden, strict=True)]
            for hidden, weight in zip(self.hidden, weights, strict=True):
                self.assign(hidden, weight)
        if self.plan is not None:
            masks = self._updated(masks, weights)
        for variable, weight, mask in zip(self.weights, weights, masks, strict=True):
            self.assign(variable, masked(weight, mask))

    def _updated(self, masks, weights):
        step = self.step + 1
        # The number of updates due by now, not "is one due at this step": a run that resumes, or whose loss scaling
        # skips a step, catches up.
        due = ops.sum(ops.cast(ops.convert_to_tensor(self.plan.steps.astype("int32")) <= step, "int32"))
        kept = ops.take(self._kept, ops.maximum(due - 1, 0), axis=0)
        numbers = [kept[i] for i in range(self._kept.shape[1])]
        scores = [ops.convert_to_tensor(score) for score in self.scores] if self.moving else weights

        def chosen():
            # Here, for a step that chooses nothing shall not compute it.
            importances = scores if self.moving else [ops.abs(weight) for weight in weights]
            return patterns.choose(self.units, self._by_unit(importances), numbers)

        masks = ops.cond(due > self.updates, chosen, lambda: masks)
        for variable, mask in zip(self.masks, masks, strict=True):
            self.assign(variable, mask)
        self.assign(self.step, step)
        self.assign(self.updates, due)
        return masks

    def _by_unit(self, tensors):
        known = {id(weight): tensor for weight, tensor in zip(self.weights, tensors, strict=True)}
        return [[known[id(weight)] for weight in unit.weights] for unit in self.units]

    def updates_made(self):
        """How many of the plan's updates are behind."""
        return int(ops.convert_to_numpy(self.updates))

    def apply(self):
        """Zeroes the pruned weights between steps, after something else has written them."""
        for weight, mask in zip(self.weights, self.masks, strict=True):
            weight.assign(masked(weight, mask))


def _where(mask, *values):
    return ops.where(*map(ops.convert_to_tensor, (mask, *values)))  # JAX does not take variables


def _ones(shape, dtype):
    return ops.ones(shape, dtype)
