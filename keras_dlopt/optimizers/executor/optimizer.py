"""The executor: everything about an optimizer but its rule, written once."""

import types
import typing

import keras
from keras import ops

from keras_dlopt.optimizers.executor import hyperparameters
from keras_dlopt.optimizers.executor.buckets import make_buckets
from keras_dlopt.optimizers.executor.groups import assign_groups, group_config
from keras_dlopt.optimizers.executor.hyperparameters import (
    Count,
    Groups,
    Name,
    NonNegative,
    Positive,
    Share,
    Switch,
    TwoOrMore,
    option,
)


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

    `rule(g, w, s, t)` is elementwise and pure. It receives the gradient `g`, the weights `w` (`None` unless
    `needs_weights`), the slots as `s.name` and the step `t` (a float, 1 at the first step), and returns the direction
    `u` and the new slots; `(u, factor)` in place of `u` leaves it to the executor to multiply a scalar in, which saves
    a pass over the memory. The executor then applies

    $$w \leftarrow w - \eta \lambda w - \eta u$$

    with the learning rate eta (times the group's multiplier) and the decoupled weight decay lambda.

    Args:
        weight_decay: decoupled weight decay lambda, >= 0 or `None`.
        clipnorm, clipvalue, global_clipnorm: at most one of them, > 0; as in Keras.
        use_ema, ema_momentum, ema_overwrite_frequency: exponential moving average of the weights; as in Keras.
        loss_scale_factor: the loss is multiplied and the gradients are divided by it, > 0.
        gradient_accumulation_steps: batches whose mean gradient makes one step, >= 2 or `None`.
        name: name of the optimizer.
        groups: parameter groups, a list of dictionaries: `match` (a pattern searched for in `variable.path`, or a
            function `variable -> bool`) and any of `learning_rate` (a multiplier), `weight_decay` (replaces the
            optimizer's), `frozen`. The first match wins; a pattern that matches nothing is an error in `build`.

    Attributes:
        slots: names of the state arrays, one element a parameter each, float32 (float64 for float64 variables).
        flat_below: variables with fewer elements share one flat buffer a slot.
        needs_weights: whether the rule reads `w`; it sees them after weight decay.
        learning_rate_in_rule: whether the rule takes the learning rate as a fifth argument and returns the whole step
            instead of the direction.
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

    slots = ()
    flat_below = 2**15
    needs_weights = False
    learning_rate_in_rule = False
    proximal_weight_decay = False
    keeps_sparse = False

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        own = {h.name: h for h in hyperparameters.declared(cls)}
        own |= {h.name: h for h in getattr(cls, "_own", ()) if h.name not in own}
        cls._own = tuple(own.values())
        cls._common = tuple(h for h in hyperparameters.declared(Optimizer) if h.name not in own)
        cls.__signature__ = hyperparameters.signature(cls._own, cls._common)
        if "learning_rate" in cls.__dict__:  # it would hide Keras's property
            del cls.learning_rate

    def __init__(self, *args, **kwargs):
        where, signature = type(self).__name__, type(self).__signature__
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"`{where}(...)`: {error}. Its arguments are {signature}.") from None
        given.apply_defaults()
        values = {h.name: h.check(where, given.arguments[h.name]) for h in (*self._own, *self._common)}
        groups = values.pop("groups")
        names_here = {h.name for h in hyperparameters.declared(Optimizer)} | {"learning_rate"}
        super().__init__(**{name: value for name, value in values.items() if name in names_here})
        for name, value in values.items():
            if name not in names_here:
                setattr(self, name, value)
        self.groups = groups

    def rule(self, g, w, s, t):
        """The update rule; see the class."""
        raise NotImplementedError(f"{type(self).__name__} declares no `rule`.")

    def initial(self, slot):
        """The value that every element of a slot starts with."""
        return 0.0

    def get_config(self):
        """The constructor's arguments; `from_config` gives the same optimizer without its state."""
        config = super().get_config()
        config.update({h.name: getattr(self, h.name) for h in self._own if h.name not in config})
        config["groups"] = self.groups and [group_config(group) for group in self.groups]
        return config

    # State

    def build(self, variables):
        """Makes the slots for `variables`, the model's trainable variables."""
        if self.built:
            return
        if not variables:
            raise ValueError(f"`{type(self).__name__}` got no trainable variables: there is nothing to optimize.")
        groups = assign_groups(type(self).__name__, self.groups or (), variables)
        super().build(variables)
        decays = [self._use_weight_decay(variable) for variable in variables]
        buckets = make_buckets(variables, groups, decays, self.flat_below)
        for bucket in buckets:
            self._add_slots(bucket, variables)
        # Not through Keras's attribute tracking, which would wrap the list; `add_variable` has tracked the slots.
        object.__setattr__(self, "_buckets", buckets)

    def _add_slots(self, bucket, variables):
        first = variables[bucket.indices[0]]
        owner = "flat" if bucket.flat else first.path.replace("/", "_")
        layout = None if bucket.flat else getattr(first, "_layout", None)
        for slot in self.slots:
            bucket.slots[slot] = self.add_variable(
                bucket.slot_shape,
                initializer=keras.initializers.Constant(self.initial(slot)),
                dtype=bucket.dtype,
                layout=layout,
                name=f"{owner}_{slot}",
            )

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """As in Keras, where a call after `build` is ignored; here it is an error."""
        if self.built:
            raise ValueError("`exclude_from_weight_decay()` must be called before the optimizer is built.")
        super().exclude_from_weight_decay(var_list, var_names)

    def save_own_variables(self, store):
        """Saves the slots variable by variable, so that a file does not depend on how they were packed."""
        in_slots = set()
        for bucket in self._buckets if self.built else ():
            for slot, variable in bucket.slots.items():
                in_slots.add(id(variable))
                for index, value in zip(bucket.indices, bucket.unpack(variable), strict=True):
                    store[f"{slot}.{index}"] = ops.convert_to_numpy(value)
        for i, variable in enumerate(v for v in self.variables if id(v) not in in_slots):
            store[str(i)] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store):
        """Loads what `save_own_variables` saved; state of another optimizer or model is an error."""
        buckets = self._buckets if self.built else ()
        slots = {id(v): (bucket, slot) for bucket in buckets for slot, v in bucket.slots.items()}
        others = [v for v in self.variables if id(v) not in slots]
        expected = {f"{slot}.{i}" for bucket, slot in slots.values() for i in bucket.indices}
        expected |= {str(i) for i in range(len(others))}
        if set(store.keys()) != expected:
            odd = sorted(set(store.keys()) ^ expected)
            raise ValueError(
                f"The saved state is not that of this `{type(self).__name__}`: it has {len(store.keys())} arrays, "
                f"{len(expected)} are expected; not in both: {', '.join(odd[:6])}{', ...' if len(odd) > 6 else ''}."
            )
        for bucket, slot in slots.values():
            bucket.slots[slot].assign(bucket.pack([store[f"{slot}.{i}"][()] for i in bucket.indices]))
        for i, variable in enumerate(others):
            variable.assign(store[str(i)])

    # The step

    def _apply_weight_decay(self, variables):
        """Left to the update, which then reads and writes each weight once."""

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        indices = [self._get_variable_index(v) for v in trainable_variables]
        slots = [bucket.slots for bucket in self._buckets]
        update = self._update
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # Rules hold no control flow for AutoGraph to convert; looking for it would triple the tracing time.
            update = tf.autograph.experimental.do_not_convert(self._update_on_each_replica)
        update(indices, grads, trainable_variables, slots, learning_rate)

    def _update_on_each_replica(self, indices, grads, variables, slots, learning_rate):
        """Sums the gradients over the replicas, then updates each replica's copy in one call for all variables."""
        import tensorflow as tf

        variables = [v.value if isinstance(v, keras.Variable) else v for v in variables]
        slots = [{name: v.value for name, v in of_bucket.items()} for of_bucket in slots]
        grads = [g for g, _ in self._all_reduce_sum_gradients(list(zip(grads, variables, strict=True)))]

        def update(strategy, *args):
            strategy.extended.update(variables[0], lambda _, *own: self._update(indices, *own), args=args, group=False)

        tf.__internal__.distribute.interim.maybe_merge_call(
            update, self._distribution_strategy, grads, variables, slots, learning_rate
        )

    def _update(self, indices, grads, variables, slots, learning_rate):
        """Updates `variables`, whose positions in the built list are `indices`, and the slots of their buckets."""
        grads, variables = dict(zip(indices, grads, strict=True)), dict(zip(indices, variables, strict=True))
        for bucket, of_bucket in zip(self._buckets, slots, strict=True):
            if any(i in grads for i in bucket.indices):
                self._update_bucket(bucket, grads, variables, of_bucket, learning_rate)

    def _update_bucket(self, bucket, grads, variables, slots, learning_rate):
        group, dtype = bucket.group, bucket.dtype
        lr = ops.cast(learning_rate, dtype) * group.learning_rate
        decay = (self.weight_decay if group.weight_decay is None else group.weight_decay) if bucket.decays else None
        decay = decay or None
        here = {i: s for i, s in zip(bucket.indices, bucket.shapes, strict=True)}
        if self.keeps_sparse and not bucket.flat and decay is None:
            g = ops.cast(grads[bucket.indices[0]], dtype)
        else:
            g = bucket.pack([_dense(grads[i]) if i in grads else ops.zeros(s) for i, s in here.items()])
        w = None
        if decay is not None or self.needs_weights:
            w = bucket.pack([_dense(variables[i]) if i in grads else ops.zeros(s) for i, s in here.items()])
        old = {name: _dense(slot) for name, slot in slots.items()}
        t = ops.cast(self.iterations + 1, dtype)
        step, new = self._step(g, w, types.SimpleNamespace(**old), t, lr, decay)
        for name, value in new.items():
            self.assign(slots[name], _keep_absent(bucket, grads, old[name], value))
        for i, part in zip(bucket.indices, bucket.unpack(step), strict=True):
            if i in grads:
                self.assign_sub(variables[i], part)

    def _step(self, g, w, s, t, lr, decay):
        """What to subtract from the weights, decay included, and the new slots."""
        seen = w if decay is None or self.proximal_weight_decay else w - lr * decay * w
        if self.learning_rate_in_rule:
            step, new = self.rule(g, seen, s, t, lr)
            if decay is not None:
                step = step + lr * decay * w
        else:
            u, new = self.rule(g, seen, s, t)
            u, factor = u if isinstance(u, tuple) else (u, 1.0)
            if decay is not None:
                u, factor = u * factor + decay * w, 1.0
            # lr * factor * u, as a division: XLA copies a last multiplication into the kernel of every single
            # variable, which makes compiling 500 of them 1.6 times as long; a division it computes once.
            step = ops.divide(u, 1 / (lr * factor))
        if decay is not None and self.proximal_weight_decay:
            step = step / (1 + lr * decay)
        return step, new


def _dense(value):
    """A tensor. Of a sparse gradient (TensorFlow's IndexedSlices) it holds the sum of each row's parts.

    Keras lets such gradients into the rule as they are and so squares the parts of a repeated row one by one.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if isinstance(value, tf.IndexedSlices):
            return tf.convert_to_tensor(value)
    return ops.convert_to_tensor(value)


def _keep_absent(bucket, grads, old, new):
    """`new`, but `old` for the variables of the bucket that got no gradient."""
    if all(i in grads for i in bucket.indices):
        return new
    pairs = zip(bucket.indices, bucket.unpack(old), bucket.unpack(new), strict=True)
    return bucket.pack([n if i in grads else o for i, o, n in pairs])
