"""The executor: everything about an optimizer but its rule, written once."""

import threading
import types
import typing

import keras
from keras import ops

from keras_dlopt.arguments import invalid
from keras_dlopt.optimizers.executor import hyperparameters
from keras_dlopt.optimizers.executor.buckets import Flat, Plan
from keras_dlopt.optimizers.executor.describe import describe
from keras_dlopt.optimizers.executor.groups import assign_groups, group_config, relative_rates
from keras_dlopt.optimizers.executor.hyperparameters import (
    Count,
    Groups,
    Name,
    NonNegative,
    Positive,
    Share,
    StateDtype,
    Switch,
    TwoOrMore,
    option,
)
from keras_dlopt.optimizers.executor.saved_state import load_state, save_state
from keras_dlopt.optimizers.executor.sharding import check_can_shard, slot_layout
from keras_dlopt.optimizers.executor.update import Update, asked

# The common arguments that Keras's optimizers do not have, besides the groups.
OURS = ("skip_nonfinite", "shard_state", "state_dtype")


@typing.dataclass_transform(field_specifiers=(option,))
class Optimizer(keras.optimizers.Optimizer):
    r"""Base of all optimizers here: a subclass declares hyperparameters, slots and one pure rule.

    ```python
    class Lion(Optimizer):
        learning_rate: LearningRate = 1e-3
        beta_1: UnitInterval = 0.9
        beta_2: UnitInterval = 0.99
        slots = ("m",)

        def rule(self, g, w, s, t):
            return ops.sign(mix(s.m, g, self.beta_1)), {"m": mix(s.m, g, self.beta_2)}
    ```

    `rule(g, w, s, t)` is pure, and elementwise unless `form` says otherwise. It receives the gradient `g`, the weights
    `w` (`None` unless `needs_weights`), the slots as `s.name` and the step `t` (a float, 1 at the first step), and
    returns the direction `u` and the new slots; `(u, factor)` in place of `u` leaves it to the executor to multiply a
    scalar in, which saves a pass over the memory. The executor then applies

    $$w \leftarrow w - \eta \lambda w - \eta u$$

    with the learning rate eta (times the group's multiplier) and the decoupled weight decay lambda.

    A rule that needs more asks for it by name, in further parameters:

    - `lr`, the learning rate of these variables;
    - `decay`, their weight decay or `None`: the rule then applies it, and the executor does not;
    - `each`, reductions over each variable (`Each`), however many share the call;
    - `shared` and `before`, scalars over all variables, after and before this step's `combine`;
    - `loss`, this step's loss, and `curvature`, a second gradient: from `fit`, or from `provide` before `apply`.

    Args:
        weight_decay: decoupled weight decay lambda, >= 0 or `None`.
        clipnorm, clipvalue, global_clipnorm: at most one of them, > 0; as in Keras.
        use_ema, ema_momentum, ema_overwrite_frequency: exponential moving average of the weights; as in Keras.
        loss_scale_factor: the loss is multiplied and the gradients are divided by it, > 0.
        gradient_accumulation_steps: batches whose mean gradient makes one step, >= 2 or `None`.
        name: name of the optimizer.
        groups: parameter groups, a list of dictionaries: `match` (a pattern searched for in `variable.path`, or a
            function `variable -> bool`) and any of `learning_rate` (a multiplier), `weight_decay` (replaces the
            optimizer's), `frozen`, `optimizer` (another one of ours, whose rule serves these variables), `state_dtype`
            (replaces the optimizer's). The first match wins; a pattern that matches nothing is an error in `build`.
        skip_nonfinite: whether a step whose gradients hold an infinity or NaN leaves weights and state as they are.
        shard_state: whether the data-parallel devices of `keras.distribution` (JAX) keep a part of the state each
            (ZeRO stage 1) and not a copy each.
        state_dtype: what large variables keep their state in, as far as it has an element for each of theirs:
            "float32", "bfloat16" (2 bytes an element) or "int8" (1.016 bytes, in blocks of 256 with a scale each; see
            `keras_dlopt.optimizers.executor.codecs`). Variables of less than `flat_below` elements and embeddings keep
            float32 unless the `state_dtype` of their group says otherwise. `None` is "float32".

    Attributes:
        slots: names of the state arrays, float32 (float64 for float64 variables); of the variable's shape each, or of
            `slot_shape(slot, shape)`, where `()` is one value a variable.
        from_weights: those of the slots that start as the weights of the first step; never in low precision.
        nonnegative: those of the slots that are never below 0, and so need no sign in 8 bits.
        shared: name -> start of the scalars over all variables; `measure` and `combine` update them.
        form: "flat" for elementwise rules, "alone" for rules that must see a variable in its own shape, "stacked" for
            rules of matrices, which see those of equal shape as one tensor (count, rows, columns).
        flat_below: variables with fewer elements share one flat buffer a slot in the form "flat".
        needs_weights: whether the rule reads `w`; it sees them after weight decay.
        whole_step: whether the rule returns the whole step, learning rate included, instead of the direction.
        proximal_weight_decay: whether decay is `w / (1 + eta lambda)` after the step, as proximal methods have it.
        keeps_sparse: whether the direction is the gradient itself, so that an embedding's sparse gradient touches
            its own rows only.
    """

    weight_decay: NonNegative | None = option(None)
    clipnorm: Positive | None = option(None)
    clipvalue: Positive | None = option(None)
    global_clipnorm: Positive | None = option(None)
    use_ema: Switch = option(False)
    ema_momentum: Share = option(0.99)
    ema_overwrite_frequency: Count | None = option(None)
    loss_scale_factor: Positive | None = option(None)
    gradient_accumulation_steps: TwoOrMore | None = option(None)
    name: Name | None = option(None)
    groups: Groups | None = option(None)
    skip_nonfinite: Switch = option(False)
    shard_state: Switch = option(False)
    state_dtype: StateDtype | None = option(None)

    slots = ()
    from_weights = ()
    nonnegative = ()
    shared = types.MappingProxyType({})
    form = "flat"
    flat_below = 2**15
    needs_weights = False
    whole_step = False
    proximal_weight_decay = False
    keeps_sparse = False
    companion_learning_rate = 1.0

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        own = {h.name: h for h in hyperparameters.declared(cls)}
        own |= {h.name: h for h in getattr(cls, "_own", ()) if h.name not in own}
        cls._own = tuple(own.values())
        cls._common = tuple(h for h in hyperparameters.declared(Optimizer) if h.name not in own)
        cls.__signature__ = hyperparameters.signature(cls._own, cls._common)
        if "learning_rate" in cls.__dict__:  # it would hide Keras's property
            del cls.learning_rate
        cls.rule_asks, cls.measure_asks = asked(cls.rule, 5), asked(cls.measure, 5)
        cls.combine_asks = asked(cls.combine, 5, known=("loss",))
        cls.needs_loss = "loss" in cls.rule_asks + cls.measure_asks + cls.combine_asks

    def __init__(self, *args, **kwargs):
        where, signature = type(self).__name__, type(self).__signature__
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"`{where}(...)`: {error}. Its arguments are {signature}.") from None
        given.apply_defaults()
        values = {h.name: h.check(where, given.arguments[h.name]) for h in (*self._own, *self._common)}
        groups = relative_rates(where, values.pop("groups") or (), values["learning_rate"]) or None
        of_keras = {"learning_rate", *(h.name for h in hyperparameters.declared(Optimizer))} - set(OURS)
        super().__init__(**{name: value for name, value in values.items() if name in of_keras})
        for name, value in values.items():
            if name not in of_keras:
                setattr(self, name, value)
        self.groups = groups
        if self.needs_loss and self.gradient_accumulation_steps:
            raise invalid(where, "gradient_accumulation_steps", self.gradient_accumulation_steps, "None for this rule")
        self._provided = threading.local()

    # What a subclass declares

    def rule(self, g, w, s, t):
        """The update rule; see the class."""
        raise NotImplementedError(f"{type(self).__name__} declares no `rule`.")

    def measure(self, g, w, s, t):
        """What this bucket of variables adds to the sums that `combine` gets: name -> scalar."""
        return {}

    def combine(self, before, sums, t, lr):
        """The new values of the `shared` scalars that change in this step: name -> scalar. May ask for `loss`."""
        return {}

    def initial(self, slot):
        """The value that every element of a slot starts with."""
        return 0.0

    def slot_shape(self, slot, shape):
        """The shape of a slot for a variable (in stacked form: a matrix) of `shape`."""
        return shape

    def takes(self, variable):
        """Whether the rule serves `variable`; what it refuses goes to the `companion`."""
        return True

    def companion(self):
        """The optimizer whose rule serves the variables that this one does not take.

        Their rate is the main one times `companion_learning_rate`, their weight decay the companion's.
        """
        raise NotImplementedError(f"{type(self).__name__} has no companion.")

    def matrices(self, variable):
        """In stacked form, how a variable is seen: a tuple that starts with (count, rows, columns)."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it sees matrices.")

    def to_matrices(self, tensor, view):
        """A tensor of the variable's shape as (count, rows, columns)."""
        return ops.reshape(tensor, view[:3])

    def from_matrices(self, matrices, shape, view):
        """Undoes `to_matrices`."""
        return ops.reshape(matrices, shape)

    def get_config(self):
        """The constructor's arguments; `from_config` gives the same optimizer without its state."""
        config = super().get_config()
        config.update({h.name: getattr(self, h.name) for h in self._own if h.name not in config})
        config["groups"] = self.groups and [group_config(group) for group in self.groups]
        config.update({name: getattr(self, name) for name in OURS})
        return config

    # State

    def build(self, variables):
        """Makes the slots for `variables`, the model's trainable variables."""
        if self.built:
            return
        if not variables:
            raise ValueError(f"`{type(self).__name__}` got no trainable variables: there is nothing to optimize.")
        if self.shard_state:
            check_can_shard(type(self).__name__)
        groups = assign_groups(type(self).__name__, self.groups or (), variables)
        decays = [self._use_weight_decay(variable) for variable in variables]
        plan = Plan(self, variables, groups, decays)
        super().build(variables)
        for bucket in plan.buckets:
            self._add_slots(bucket, variables)
        plan.shared = [self._add_shared(owner) for owner in plan.owners]
        self._plan = plan

    def _add_slots(self, bucket, variables):
        first = variables[bucket.indices[0]]
        name = "flat" if isinstance(bucket, Flat) else first.path.replace("/", "_")

        def add(shape, start, dtype, name):
            layout = slot_layout(first, shape, self.shard_state)
            return self.add_variable(shape, keras.initializers.Constant(start), dtype, layout=layout, name=name)

        for slot in bucket.owner.slots:
            shape, start = bucket.slot_shape(slot), bucket.owner.initial(slot)
            codec = bucket.codecs.get(slot)
            if codec is None:
                bucket.slots[slot] = add(shape, start, bucket.dtype, f"{name}_{slot}")
                continue
            starts = codec.constants(start)
            bucket.slots[slot] = {
                part: add(shape, starts[part], dtype, f"{name}_{slot}_{part}")
                for part, (shape, dtype) in codec.variables(shape).items()
            }

    def _add_shared(self, owner):
        return {
            name: self.add_variable((), keras.initializers.Constant(start), "float32", name=f"{owner.name}_{name}")
            for name, start in owner.shared.items()
        }

    def describe(self, model):
        """Which variable of `model` is updated by which rule, at which rate and decay, with how many bytes of state.

        Args:
            model: the model to train, built. An optimizer that is not built yet is built on it.

        Returns:
            A `Description`: it prints as a table, and `rows` holds one `VariableRow` for each variable.
        """
        if not self.built:
            self.build(model.trainable_variables)
        return describe(self)

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """As in Keras, where a call after `build` is ignored; here it is an error."""
        if self.built:
            raise ValueError("`exclude_from_weight_decay()` must be called before the optimizer is built.")
        super().exclude_from_weight_decay(var_list, var_names)

    def save_own_variables(self, store):
        """Saves the slots variable by variable, so that a file does not depend on how they were packed."""
        save_state(self, store)

    def load_own_variables(self, store):
        """Loads what `save_own_variables` saved; state of another optimizer or model is an error."""
        load_state(self, store)

    # The step

    def provide(self, loss=None, curvature=None):
        """Gives the next `apply` on this thread what its rule asks for besides the gradients.

        Args:
            loss: the loss at the weights that the gradients were taken at, a scalar. With several replicas each gives
                its share: they are summed, as gradients are.
            curvature: a second gradient, one tensor for each variable that the optimizer was built with, or `None` for
                a variable without; each replica's share, too.
        """
        self._provided.loss, self._provided.curvature = loss, curvature

    def _take_provided(self):
        loss, curvature = (vars(self._provided).pop(name, None) for name in ("loss", "curvature"))
        for owner in self._plan.owners:
            needs_curvature = "curvature" in owner.rule_asks + owner.measure_asks
            if (owner.needs_loss and loss is None) or (needs_curvature and curvature is None):
                name = "loss" if owner.needs_loss and loss is None else "curvature"
                raise ValueError(
                    f"`{type(owner).__name__}` needs the {name} of each step: train with `model.fit`, or call "
                    f"`optimizer.provide({name}=...)` before `optimizer.apply(...)`."
                )
        if curvature is not None and len(curvature) != len(self._trainable_variables):
            accepted = f"a list with one tensor for each of the {len(self._trainable_variables)} variables"
            raise invalid("provide", "curvature", f"a list of {len(curvature)}", accepted)
        return loss, curvature

    def _filter_empty_gradients(self, grads, trainable_variables):
        """Leaves out frozen variables as well: no global norm counts them, no constraint moves them."""
        served = {i for bucket in self._plan.buckets for i in bucket.indices}
        pairs = zip(*super()._filter_empty_gradients(grads, trainable_variables), strict=True)
        kept = [(g, v) for g, v in pairs if self._get_variable_index(v) in served]
        return [g for g, _ in kept], [v for _, v in kept]

    def _apply_weight_decay(self, variables):
        """Left to the update, which then reads and writes each weight once."""

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        indices = [self._get_variable_index(v) for v in trainable_variables]
        loss, curvature = self._take_provided()
        given = {"grads": dict(zip(indices, grads, strict=True)), "loss": loss}
        given["curvature"] = {i: part for i, part in enumerate(curvature or ()) if part is not None}
        state = {
            "variables": list(self._trainable_variables),
            "slots": [bucket.slots for bucket in self._plan.buckets],
            "shared": self._plan.shared,
            "learning_rate": learning_rate,
        }
        update = self._update
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # Rules hold no control flow for AutoGraph to convert; looking for it would triple the tracing time.
            update = tf.autograph.experimental.do_not_convert(self._update_on_each_replica)
        update(given, state)

    def _update_on_each_replica(self, given, state):
        """Sums what each replica gives, then updates each replica's copy in one call for all variables."""
        import tensorflow as tf

        state = tf.nest.map_structure(lambda v: v.value if isinstance(v, keras.Variable) else v, state)
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            given = _all_reduce_sum(replica, given)

        def update(strategy, given, state):
            any_variable = state["variables"][0]
            strategy.extended.update(any_variable, lambda _, *own: self._update(*own), (given, state), group=False)

        tf.__internal__.distribute.interim.maybe_merge_call(update, self._distribution_strategy, given, state)

    def _update(self, given, state):
        Update(self, **given, **state).run()


def _all_reduce_sum(replica, given):
    """`given` with every tensor summed over the replicas."""
    import tensorflow as tf

    flat = tf.nest.flatten(given)
    summed = iter(replica.all_reduce(tf.distribute.ReduceOp.SUM, [x for x in flat if x is not None]))
    return tf.nest.pack_sequence_as(given, [None if x is None else next(summed) for x in flat])
