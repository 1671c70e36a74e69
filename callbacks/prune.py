"""Pruning during `fit`."""

import functools
import warnings
import weakref

from keras_dlopt import step
from keras_dlopt.arguments import check_length, check_number, in_steps, invalid
from keras_dlopt.callbacks.callback import Callback
from keras_dlopt.callbacks.run_length import run_length
from keras_dlopt.compress.pruning import Masks, cubic_plan, prunable_weights, schedule_plan, sparsity_of


class Prune(Callback):
    r"""Sets the smallest weights to zero while the model trains, and keeps them there.

    Of every kernel on its own, the share `sparsity` of smallest magnitudes is zeroed: kernels of dense, convolution,
    attention and recurrent layers, pointwise kernels of separable convolutions, embedding tables; not biases,
    normalization, or depthwise kernels. From `begin` to `end` the share rises on the cubic

        `s_t = sparsity * (1 - (1 - (t - begin) / (end - begin))**3)`

    and masks are chosen anew every `frequency` steps, so that a zeroed weight may come back; after `end` they stay.
    Masks are applied inside the compiled step after every update: at no time is there an unpruned model to save. The
    share of zeros appears in the epoch's logs as `sparsity`.

    Zeros make a file smaller after compression. They do not make it faster: LiteRT computes with them.

    Args:
        sparsity: share of zeros to reach, in [0, 1); or a schedule of tfmot's kind (`PolynomialDecay`,
            `ConstantSparsity`: a callable that maps a step, element by element, to `(whether to prune, sparsity)`),
            which then says when, in steps of this run, and leaves `begin`, `end` and `frequency` unused.
        begin: when to start: a number of steps, or a share of the run in (0, 1). Defaults to 0.
        end: when `sparsity` is reached: a number of steps, or a share of the run in (0, 1). Defaults to 0.5; the other
            half heals.
        frequency: number of steps between two choices of masks. Defaults to a fiftieth of the way from begin to end.
        skip: patterns, searched for in the variables' paths, of weights that stay dense: `skip=["logits"]`.
        steps: length of the run. Defaults to epochs times batches an epoch; only needed where Keras cannot know it.

    Raises:
        ValueError: before the first step, if the run does not reach the sparsity, or nothing is there to prune.

    Reference:
        Zhu, Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
        arXiv 1710.01878.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(10)])
    >>> model.compile("adam", "mse")
    >>> history = model.fit(np.ones((32, 10)), np.ones((32, 10)), callbacks=[callbacks.Prune(0.8)], verbose=0)
    >>> round(history.history["sparsity"][-1], 3), int(np.count_nonzero(model.layers[0].kernel.numpy()))
    (0.8, 20)
    """

    def __init__(self, sparsity, begin=0, end=0.5, frequency=None, skip=(), *, steps=None):
        super().__init__()
        self._sparsity = sparsity
        self._schedule = sparsity if callable(sparsity) else None
        if self._schedule is None:
            check_number("Prune", "sparsity", sparsity, low=0, high=1, ends="[)")
        self._begin = check_length("Prune", "begin", begin, least=0)
        self._end = check_length("Prune", "end", end)
        if frequency is not None:
            check_number("Prune", "frequency", frequency, low=1, integer=True)
        if steps is not None:
            check_number("Prune", "steps", steps, low=1, integer=True)
        self._frequency = frequency
        self._steps = steps
        self._skip = [skip] if isinstance(skip, str) else list(skip)
        self._keeping = False
        self._end_run = None

    @classmethod
    def keep(cls, skip=()):
        """A `Prune` that zeroes nothing new: weights that are zero when `fit` starts stay zero.

        For training a pruned model further, for example after `compress.quantize_aware`.
        """
        made = cls(0.0, skip=skip)
        made._keeping = True
        return made

    def get_config(self):
        """The constructor's arguments, and whether it is one of `keep`."""
        return {**super().get_config(), "keep": self._keeping}

    @classmethod
    def from_config(cls, config):
        """The callback of that configuration."""
        config = dict(config)
        keeping = config.pop("keep", False)
        made = super().from_config(config)
        made._keeping = keeping
        return made

    def on_train_begin(self, logs=None):
        if self._end_run is not None:
            self._end_run()
        # Not a method of this callback, which would keep it alive.
        find = functools.partial(_weights, self.model, self._skip, self._keeping)
        if self.model.built:
            find()  # refuses what cannot be pruned before the first step
        self._masks = Masks(find, None if self._keeping else self._plan())
        step.attach(self.model.optimizer, self._masks, self.model)
        # Keras does not tell callbacks of a run that breaks off: the next one, or letting the callback go, ends it.
        self._end_run = weakref.finalize(self, _detach, self._masks)
        self._end_run.atexit = False

    def on_epoch_begin(self, epoch, logs=None):
        if self.params.get("steps"):
            self._masks.start_at(epoch * self.params["steps"])

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["sparsity"] = sparsity_of(self._masks.weights)

    def on_train_end(self, logs=None):
        self._masks.apply()  # an optimizer's weight averaging ends by overwriting the weights
        reached, plan = sparsity_of(self._masks.weights), self._masks.plan
        if plan is not None and self._masks.updates_made() < len(plan.steps) and reached < plan.final - 1e-3:
            warnings.warn(f"Prune: the run ended at sparsity {reached:.3f}, short of {plan.final:.3f}.", stacklevel=2)
        self._end_run()

    def _plan(self):
        run = run_length(self, self._steps)
        if self._schedule is not None:
            return schedule_plan(self._schedule, run)
        begin, end = (in_steps(length, run) for length in (self._begin, self._end))
        end = max(end, 1)
        if end > run:
            raise invalid("Prune", "end", self._end, f"within the run, which has {run} steps")
        if begin > end:
            raise invalid("Prune", "begin", self._begin, f"before `end`, which is step {end} of this run's {run}")
        frequency = self._frequency or max(1, (end - begin) // 50)
        return cubic_plan(self._sparsity, begin, end, frequency)


def _weights(model, skip, keeping):
    weights = prunable_weights(model, skip)
    if keeping and sparsity_of(weights) == 0:
        raise invalid("Prune.keep", "model", model, "a model with zeros in the weights that can be pruned")
    return weights


def _detach(masks):
    if masks.optimizer is not None:
        step.detach(masks.optimizer, masks)
