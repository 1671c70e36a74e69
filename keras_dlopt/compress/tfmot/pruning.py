"""Pruning by tfmot: which layers its wrappers go around, and a schedule that fits the run."""

import keras
import tf_keras

from keras_dlopt.arguments import check_length, check_number, in_steps, invalid
from keras_dlopt.compress.sparsity import schedule_plan
from keras_dlopt.compress.tfmot.choice import chosen_layers
from keras_dlopt.compress.tfmot.package import internal, load
from keras_dlopt.compress.tfmot.wrapped import Wrapped, enter


def prune(model, sparsity, *, pattern="unstructured", only=(), skip=(), begin=0, end=0.5, frequency=None):
    """`compress.prune` with `engine="tfmot"`: the model with tfmot's wrappers, for training.

    Every layer that tfmot's registry has a weight for is wrapped: dense, convolution (not depthwise, of separable
    ones the pointwise kernel), embedding, attention and recurrent layers; not `Bidirectional` or `TimeDistributed`.

    Args:
        model: a Keras 3 model that the bridge takes, or a tf_keras model; it is not changed.
        sparsity: share of zeros to reach, in [0, 1), or one of tfmot's schedules.
        pattern: "unstructured", "m:n" or (rows, columns), as in `callbacks.Prune`; tfmot prunes blocks of dense and
            embedding layers only.
        only, skip: which layers, as in `callbacks.Prune`.
        begin, end, frequency: when, in shares of the run or in steps, as in `callbacks.Prune`.

    Returns:
        A `Wrapped`: compile and `fit` it, then `strip()` gives the pruned Keras 3 model.
    """
    sparsity_of_tfmot = load().sparsity.keras
    schedule = sparsity
    if not isinstance(sparsity, sparsity_of_tfmot.PruningSchedule):
        check_number("prune", "sparsity", sparsity, low=0, high=1, ends="[)")
        # Steps are set when the run begins.
        schedule = sparsity_of_tfmot.PolynomialDecay(0.0, sparsity, begin_step=0, end_step=1, frequency=1)
    length = check_length("prune", "begin", begin, least=0), check_length("prune", "end", end)
    if frequency is not None:
        check_number("prune", "frequency", frequency, low=1, integer=True)
    how = _pattern(pattern)
    flat = enter(model, "prune")
    wrapped = chosen_layers("prune", flat, _prunable, only, skip)

    def wrap(layer):
        return sparsity_of_tfmot.prune_low_magnitude(layer, schedule, **how) if layer.name in wrapped else layer

    twin = tf_keras.models.clone_model(flat.model, clone_function=wrap)
    return Pruned(model, flat, twin, schedule, None if schedule is sparsity else (*length, frequency))


class Pruned(Wrapped):
    """A model that tfmot prunes while it trains."""

    def __init__(self, origin, flat, twin, schedule, length):
        super().__init__(origin, flat, twin)
        steps = _Steps(twin, schedule, length)
        self._callbacks = lambda: [steps]

    def _stripped(self):
        return load().sparsity.keras.strip_pruning(self.tf_keras_model)


class _Steps(keras.callbacks.Callback):
    """Fits the schedule to the run, and calls tfmot's callback where Keras 3 calls this one."""

    def __init__(self, twin, schedule, length):
        super().__init__()
        self._schedule, self._length, self._fits = schedule, length, False
        self._update = load().sparsity.keras.UpdatePruningStep()
        self._update.set_model(twin)

    def on_train_begin(self, logs=None):
        if not self._fits:  # a second run goes on with what the first has reached
            self._fit_to_run()
            self._fits = True
        self._update.on_train_begin()

    def on_epoch_end(self, epoch, logs=None):
        self._update.on_epoch_end(epoch)

    def _fit_to_run(self):
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        if not steps or not epochs:
            raise ValueError("`prune` must know the length of the run: give `fit` the argument `steps_per_epoch`.")
        run, schedule = steps * epochs, self._schedule
        if self._length is not None:
            begin, end = (in_steps(length, run) for length in self._length[:2])
            end = max(end, begin + 1)
            if end > run:
                raise invalid("prune", "end", self._length[1], f"after `begin` and within the run of {run} steps")
            every = self._length[2] or max(1, (end - begin) // 50)
            # tfmot updates every so many steps after the beginning: the last time must be the end.
            schedule.begin_step, schedule.frequency = begin, min(every, end - begin)
            schedule.end_step = begin + (end - begin) // schedule.frequency * schedule.frequency
        schedule_plan(schedule, run)


def _pattern(pattern):
    if pattern == "unstructured":
        return {}
    if isinstance(pattern, str) and pattern.count(":") == 1 and pattern.replace(":", "").isdigit():
        return {"sparsity_m_by_n": tuple(map(int, pattern.split(":")))}
    if isinstance(pattern, tuple | list) and len(pattern) == 2:
        for extent in pattern:
            check_number("prune", "pattern", extent, low=1, integer=True)
        return {"block_size": tuple(pattern)}
    raise invalid("prune", "pattern", pattern, '"unstructured", "m:n" as "2:4", or a block (rows, columns)')


def _prunable(layer):
    """Whether tfmot has weights of this layer to prune; its registry also lists layers that have none."""
    registry = internal("sparsity.keras.prune_registry").PruneRegistry
    return registry.supports(layer) and (
        isinstance(layer, tf_keras.layers.RNN) or bool(registry._LAYERS_WEIGHTS_MAP[type(layer)])
    )
