"""Magnitude pruning: which weights, how sparse at which step, and masks that live in the compiled step."""

import dataclasses
import re

import keras
import numpy as np
from keras import layers, ops

from keras_dlopt.arguments import invalid
from keras_dlopt.step import Observer

# The weights that pruning may zero. Never biases, normalization, or the few weights of a depthwise kernel.
PRUNABLE = {
    layers.Dense: ("kernel",),
    layers.EinsumDense: ("kernel",),  # attention's projections, too
    layers.Conv1D: ("kernel",),
    layers.Conv2D: ("kernel",),
    layers.Conv3D: ("kernel",),
    layers.Conv1DTranspose: ("kernel",),
    layers.Conv2DTranspose: ("kernel",),
    layers.Conv3DTranspose: ("kernel",),
    layers.SeparableConv1D: ("pointwise_kernel",),
    layers.SeparableConv2D: ("pointwise_kernel",),
    layers.Embedding: ("embeddings",),
    layers.LSTMCell: ("kernel", "recurrent_kernel"),
    layers.GRUCell: ("kernel", "recurrent_kernel"),
    layers.SimpleRNNCell: ("kernel", "recurrent_kernel"),
}


def prunable_weights(model, skip=()):
    """The trainable variables of `model` that pruning may zero.

    Args:
        model: a built `keras.Model`.
        skip: patterns searched for in the variables' paths; what matches stays dense.

    Raises:
        ValueError: if a pattern matches nothing, or nothing is left.
    """
    found = {}
    for layer in model._flatten_layers():
        for kind, names in PRUNABLE.items():
            if isinstance(layer, kind):
                for name in names:
                    weight = getattr(layer, name)
                    # The kernel of a layer with LoRA or a quantized kernel is computed, not a variable.
                    if isinstance(weight, keras.Variable) and weight.trainable:
                        found[id(weight)] = weight
    weights = list(found.values())
    for pattern in skip:
        if not any(re.search(pattern, weight.path) for weight in weights):
            known = ", ".join(weight.path for weight in weights)
            raise invalid("Prune", "skip", pattern, f"patterns that match a weight's path (there are: {known})")
    kept = [weight for weight in weights if not any(re.search(pattern, weight.path) for pattern in skip)]
    if not kept:
        kinds = ", ".join(kind.__name__ for kind in PRUNABLE)
        raise invalid("Prune", "model", model, f"a model with weights to prune: trainable kernels of {kinds}")
    return kept


@dataclasses.dataclass(frozen=True)
class Plan:
    """When masks are chosen anew, and how sparse: after `steps[i]` optimizer steps, `sparsities[i]` of each weight."""

    steps: np.ndarray
    sparsities: np.ndarray

    @property
    def final(self):
        """The sparsity after the last update."""
        return float(self.sparsities[-1]) if len(self.sparsities) else 0.0


def cubic_sparsity(step, final, begin, end, initial=0.0):
    r"""Sparsity that rises fast while there is much to spare, and slowly at the end.

    `final + (initial - final) * (1 - (step - begin) / (end - begin))**3`, held before `begin` and after `end`.

    Reference:
        Zhu, Gupta, "To prune, or not to prune", arXiv 1710.01878.

    Example:

    >>> cubic_sparsity(np.array([0, 5, 10, 20]), final=0.8, begin=0, end=10).round(3).tolist()
    [0.0, 0.7, 0.8, 0.8]
    """
    left = 1.0 - np.clip((np.asarray(step) - begin) / max(end - begin, 1), 0.0, 1.0)
    return final + (initial - final) * left**3


def cubic_plan(final, begin, end, frequency):
    """Updates every `frequency` steps after `begin`, on the cubic, the last one at `end` itself."""
    steps = np.append(np.arange(begin + frequency, end, frequency), end)
    return Plan(steps, cubic_sparsity(steps, final, begin, end))


def schedule_plan(schedule, steps):
    """What a schedule of tfmot's kind does in a run of `steps` steps.

    Args:
        schedule: a callable that maps a step to `(whether to update the masks, sparsity)`, like tfmot's
            `PolynomialDecay` and `ConstantSparsity`.
        steps: length of the run.

    Raises:
        ValueError: if the run would end short of the sparsity that the schedule goes to.
    """
    due, sparsities = _ask(schedule, np.arange(steps + 1))
    plan = Plan(np.flatnonzero(due), sparsities[due])
    goal = float(_ask(schedule, np.array([2**31 - 1]))[1][0])
    if not len(plan.steps) or abs(plan.final - goal) > 1e-3:
        when = f"the last update is at step {plan.steps[-1]}" if len(plan.steps) else "there is no update"
        raise invalid(
            "Prune",
            "sparsity",
            schedule,
            f"a schedule that reaches its {goal:g} within the run's {steps} steps; {when} and leaves {plan.final:g} "
            "(set its end_step within the run, and its frequency so that an update falls on end_step)",
        )
    return plan


def _ask(schedule, steps):
    # tfmot's schedules compute with TensorFlow, element by element: the whole run is one call.
    due, sparsities = schedule(steps)
    return tuple(np.broadcast_to(np.asarray(answer), steps.shape) for answer in (due, sparsities))


def magnitude_mask(weights, sparsity):
    """1 for the weights of largest magnitude, 0 for the `sparsity` share of smallest ones.

    Exactly `max(1, round((1 - sparsity) * size))` weights are kept, as in tfmot; of equal ones those that come later.

    Args:
        weights: a tensor.
        sparsity: in [0, 1); a number or a scalar tensor.

    Example:

    >>> magnitude_mask(ops.array([0.1, -3.0, 0.2, 2.0]), 0.5).numpy()
    array([0., 1., 0., 1.], dtype=float32)
    """
    magnitudes = ops.reshape(ops.abs(weights), (-1,))
    size = magnitudes.shape[0]
    kept = ops.maximum(ops.round(size * (1.0 - ops.cast(sparsity, "float32"))), 1.0)
    ascending = ops.argsort(magnitudes)
    keep = ops.arange(size) >= size - ops.cast(kept, "int32")
    mask = ops.scatter(ascending[:, None], ops.cast(keep, weights.dtype), (size,))
    return ops.reshape(mask, weights.shape)


def sparsity_of(weights):
    """Share of zeros in a list of weights."""
    arrays = [ops.convert_to_numpy(weight) for weight in weights]
    return sum(int(np.sum(array == 0)) for array in arrays) / sum(array.size for array in arrays)


class Masks(Observer):
    """Keeps pruned weights at zero: after every optimizer step, inside it, weights are multiplied by their masks.

    Args:
        find: a function without arguments that returns the variables to prune. It is called when the model has its
            weights, which may be as late as in the first step.
        plan: when to choose the masks anew. `None` keeps the zeros that the weights have at the start, and only those.
    """

    def __init__(self, find, plan):
        self.find = find
        self.plan = plan
        self.weights = None
        self._start = 0

    def start_at(self, step):
        """Counts on from `step`: a resumed run starts at a later epoch, a loss scale may have skipped steps."""
        self._start = step
        if self.weights is not None:
            self.step.assign(step)

    def build(self, optimizer, variables):
        self.weights = self.find()
        start = keras.initializers.Constant(self._start)
        self.step = self.add_variable((), dtype="int32", initializer=start, name="pruning_step")
        self.updates = self.add_variable((), dtype="int32", name="pruning_updates")
        self.masks = [
            self.add_variable(weight.shape, weight.dtype, initializer=self._first_mask(weight), name="mask")
            for weight in self.weights
        ]

    def _first_mask(self, weight):
        if self.plan is not None:
            return "ones"
        zeros = ops.convert_to_numpy(weight) == 0
        return lambda shape, dtype: ops.cast(~zeros, dtype)

    def after_apply(self, gradients, variables):
        masks = self.masks if self.plan is None else self._updated_masks()
        for weight, mask in zip(self.weights, masks, strict=True):
            self.assign(weight, ops.multiply(weight, mask))

    def _updated_masks(self):
        step = self.step + 1
        # The number of updates due by now, not "is one due at this step": a run that resumes, or whose loss scaling
        # skips a step, catches up.
        due = ops.sum(ops.cast(ops.convert_to_tensor(self.plan.steps.astype("int32")) <= step, "int32"))
        sparsity = ops.take(self.plan.sparsities.astype("float32"), ops.maximum(due - 1, 0))
        news = due > self.updates
        masks = []
        for weight, mask in zip(self.weights, self.masks, strict=True):
            weight, old = ops.convert_to_tensor(weight), ops.convert_to_tensor(mask)
            new = ops.cond(news, lambda w=weight: magnitude_mask(w, sparsity), lambda m=old: m)
            self.assign(mask, new)
            masks.append(new)
        self.assign(self.step, step)
        self.assign(self.updates, due)
        return masks

    def updates_made(self):
        """How many of the plan's updates are behind."""
        return int(ops.convert_to_numpy(self.updates))

    def apply(self):
        """Zeroes the pruned weights between steps, after something else has written them."""
        for weight, mask in zip(self.weights, self.masks, strict=True):
            weight.assign(ops.multiply(weight, mask))
