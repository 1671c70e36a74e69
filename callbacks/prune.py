"""Pruning during `fit`."""

import functools
import warnings

from keras_dlopt import step
from keras_dlopt.arguments import check_choice, check_length, check_number, in_steps, invalid
from keras_dlopt.callbacks.callback import Callback, callbacks_in_use
from keras_dlopt.callbacks.run_length import end_in_steps, run_length, steps_until
from keras_dlopt.compress import patterns
from keras_dlopt.compress.channels import channel_units
from keras_dlopt.compress.masks import CRITERIA, RANKINGS, Masks, cut_into_units, kept_table, refuse_pruned
from keras_dlopt.compress.prunable import as_choices
from keras_dlopt.compress.sparsity import TOLERANCE, cubic_plan, schedule_plan, sparsity_of


class Prune(Callback):
    r"""Sets the least important weights to zero while the model trains, and keeps them there.

    What is pruned are kernels of dense, convolution, attention and recurrent layers, pointwise kernels of separable
    convolutions, embedding tables; not biases or normalization. From `begin` to `end` the share of zeros rises from
    $s_i$ = `initial` to $s_f$ = `sparsity` on the cubic

    $$s_t = s_f + (s_i - s_f) \left(1 - \frac{t - t_{begin}}{t_{end} - t_{begin}}\right)^3$$

    and masks are chosen anew every `frequency` steps, so that a zeroed weight may come back; after `end` they stay.
    Masks are applied inside the compiled step after every update: at no time is there an unpruned model to save. A run
    that goes on from a saved model, with `initial_epoch` or `BackupAndRestore`, goes on with its zeros. The share of
    zeros among the weights that are pruned appears in the epoch's logs as `sparsity`.

    Zeros make a file smaller after compression. They do not make it faster: LiteRT computes with them.

    Args:
        sparsity: share of zeros to reach, in [0, 1); or a schedule of tfmot's kind (`PolynomialDecay`,
            `ConstantSparsity`: a callable that maps a step, element by element, to `(whether to prune, sparsity)`),
            which then says when, in steps of this run, and leaves `begin`, `end`, `frequency` and `initial` unused.
        begin: when to start: a number of steps, or a share of the run in (0, 1). Defaults to 0.
        end: when `sparsity` is reached: a number of steps, or a share of the run in (0, 1). Defaults to 0.5; the other
            half heals.
        frequency: number of steps between two choices of masks. Defaults to a fiftieth of the way from begin to end.
        skip: what stays dense: a pattern, searched for in the variables' paths (`"logits"`), a layer type, a callable
            that is given a layer and says whether, or a list of such.
        steps: length of the run. Defaults to epochs times batches an epoch; only needed where Keras cannot know it.
        only: what to prune, chosen like `skip`. Defaults to all that can be.
        depthwise: whether depthwise kernels are pruned, too. They have few weights, and miss each of them.
        pattern: what becomes zero together: "unstructured", single weights; (rows, columns), blocks of a kernel seen as
            a matrix of inputs x outputs; "m:n", as "2:4", m of every n neighbours along the inputs; "channels", all
            that makes a channel, in every layer that is coupled to it, for `compress.remove_channels` to take out
            afterwards: the share is then of the channels that may go, to the nearest number, with `skip` for layers
            whose outputs keep theirs.
        ranking: "layer" zeroes the same share of every kernel, "global" the least important of all kernels together.
        criterion: "magnitude" keeps the largest weights; "movement" those that moved away from zero: whose
            $S = -\sum_t \frac{\partial L}{\partial w_t} w_t$ is largest, for fine-tuning a pretrained model. A pruned
            weight goes on collecting $S$, and returns with the value it had. It needs two more arrays of the size of
            the weights, which files do not hold: after a resume, $S$ is counted anew and what is pruned stays so.
        initial: share of zeros at `begin`, to go on from in a model that is pruned already. Defaults to 0.

    Raises:
        ValueError: before the first step, if the run does not reach the sparsity within 0.001, nothing is there to
            prune, a kernel does not fit the pattern, the model has more zeros already, or another `Prune` has the same
            weights.

    Reference:
        Zhu, Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
        arXiv 1710.01878. Sanh, Wolf, Rush, "Movement pruning", arXiv 2005.07683. Mishra et al., "Accelerating sparse
        deep neural networks" (2:4), arXiv 2104.08378.

    Example:

    >>> import keras, numpy as np
    >>> from keras_dlopt import callbacks
    >>> model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(10)])
    >>> model.compile("adam", "mse")
    >>> history = model.fit(np.ones((32, 10)), np.ones((32, 10)), callbacks=[callbacks.Prune(0.8)], verbose=0)
    >>> round(history.history["sparsity"][-1], 3), int(np.count_nonzero(model.layers[0].kernel.numpy()))
    (0.8, 20)
    """

    # AverageWeights: its averages are masked, too, when training ends. The others change what an update does.
    # EarlyStopping: what it restores has this form, too.
    after = ("AverageWeights", "EarlyStopping", "FreezeLayers", "GradualUnfreeze", "NonFiniteGuard")
    lengths = ("begin", "end")

    def __init__(
        self,
        sparsity,
        begin=0,
        end=0.5,
        frequency=None,
        skip=(),
        *,
        steps=None,
        only=(),
        depthwise=False,
        pattern="unstructured",
        ranking="layer",
        criterion="magnitude",
        initial=0.0,
    ):
        super().__init__()
        self._schedule = sparsity if callable(sparsity) else None
        if self._schedule is None:
            check_number("Prune", "sparsity", sparsity, low=0, high=1, ends="[)")
            check_number("Prune", "initial", initial, low=0, high=sparsity)
        self._sparsity, self._initial = sparsity, initial
        self._begin = check_length("Prune", "begin", begin, least=0)
        self._end = check_length("Prune", "end", end)
        if frequency is not None:
            check_number("Prune", "frequency", frequency, low=1, integer=True)
        if steps is not None:
            check_number("Prune", "steps", steps, low=1, integer=True)
        self._frequency = frequency
        self._steps = steps
        self._choice = (as_choices("Prune", "skip", skip), as_choices("Prune", "only", only), depthwise)
        self._cut = patterns.parse(pattern)
        self._ranking = check_choice("Prune", "ranking", ranking, RANKINGS)
        self._criterion = check_choice("Prune", "criterion", criterion, CRITERIA)
        for name, value, default in (
            ("only", only, ()),
            ("depthwise", depthwise, False),
            ("criterion", criterion, "magnitude"),
        ):
            if self._cut is None and value != default:
                raise invalid("Prune", name, value, f'left at {default!r} with pattern="channels"')
        self._keeping = False

    @classmethod
    def keep(cls, skip=(), *, only=(), depthwise=False):
        """A `Prune` that zeroes nothing new: weights that are zero when `fit` starts stay zero.

        For training a pruned model further, for example after `compress.quantize_aware`.
        """
        made = cls(0.0, skip=skip, only=only, depthwise=depthwise)
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

    def has_shares(self):
        """Whether it uses `begin` or `end`, and one is a share."""
        return not self._keeping and self._schedule is None and super().has_shares()

    def on_train_begin(self, logs=None):
        self.end_run()
        plan = None if self._keeping else self._plan()
        # Not a method of this callback, which would keep it alive.
        find = functools.partial(_units, self.model, self._choice, self._cut, plan, self._ranking)
        if self._is_built():
            find()  # refuses what cannot be pruned
        self._masks = Masks(find, plan, self._ranking, self._criterion)
        self._masks.run = self.params  # all callbacks of a run are given the same object
        self._leave_one_to_a_weight()
        step.attach(self.model.optimizer, self._masks, self.model)
        # Keras does not tell callbacks of a run that breaks off: the next one, or letting the callback go, ends it.
        self.at_end(_detach, self._masks)
        self._fresh = True

    def on_epoch_begin(self, epoch, logs=None):
        per_epoch = self.params.get("steps")
        if per_epoch or self._fresh:
            share = epoch / self.params.get("epochs", 1)
            done = steps_until(self.params, epoch) if per_epoch else int(share * (self._steps or 0))
            self._masks.start_at(done, fresh=self._fresh)
        self._fresh = False

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["sparsity"] = sparsity_of(self._masks.weights)

    def on_train_end(self, logs=None):
        left = sparsity_of(self._masks.weights)
        self._masks.apply()  # weight averaging and EarlyStopping end by overwriting the weights
        if self._cut is None:
            for unit in self._masks.units:
                unit.zero_averages()
        reached, plan = sparsity_of(self._masks.weights), self._masks.plan
        restored = any(getattr(other, "restore_best_weights", False) for other in callbacks_in_use())
        if restored and left < reached - TOLERANCE:
            warnings.warn(
                f"Prune: the restored weights had sparsity {left:.3f}, and what raised it to {reached:.3f} had no step "
                "to heal; EarlyStopping(start_from_epoch=...) can wait for the end of pruning.",
                stacklevel=2,
            )
        if plan is not None and self._masks.updates_made() < len(plan.steps) and reached < plan.final - TOLERANCE:
            warnings.warn(f"Prune: the run ended at sparsity {reached:.3f}, short of {plan.final:.3f}.", stacklevel=2)
        self.end_run()

    def _plan(self):
        run = run_length(self, self._steps)
        if self._schedule is not None:
            return schedule_plan(self._schedule, run)
        begin, end = in_steps(self._begin, run), max(end_in_steps(self, self._end, run), 1)
        if begin > end:
            raise invalid("Prune", "begin", self._begin, f"before `end`, which is step {end} of this run's {run}")
        frequency = self._frequency or max(1, (end - begin) // 50)
        return cubic_plan(self._sparsity, begin, end, frequency, self._initial)

    def _is_built(self):
        return all(layer.built for layer in self.model._flatten_layers())

    def _leave_one_to_a_weight(self):
        """Ends a run of another `Prune` that broke off, and refuses one that is in this run with the same weights."""
        for other in step.observers(self.model.optimizer):
            if not isinstance(other, Masks):
                continue
            if other.run is not self.params:
                step.detach(self.model.optimizer, other)
            elif other.weights is not None and self._is_built():
                taken = {id(weight) for weight in other.weights}
                for weight in patterns.weights_of(self._masks.find()):
                    if id(weight) in taken:
                        accepted = f"one that no other `Prune` of this run prunes; two of them have `{weight.path}`"
                        raise invalid("Prune", "model", self.model, accepted)


def _units(model, choice, cut, plan, ranking):
    if cut is None:
        units = channel_units(model, choice[0])
    else:
        units = cut_into_units(model, cut, *choice)
    if plan is None:
        if sparsity_of(patterns.weights_of(units)) == 0:
            raise invalid("Prune.keep", "model", model, "a model with zeros in the weights that can be pruned")
    else:
        kept_table(units, plan.sparsities[-1:], ranking)
        refuse_pruned(patterns.weights_of(units), plan.final, "Prune")
    return units


def _detach(masks):
    if masks.optimizer is not None:
        step.detach(masks.optimizer, masks)
