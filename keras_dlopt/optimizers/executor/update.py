"""One step of an optimizer on one replica: its rules called, slots and weights assigned."""

import contextlib
import inspect
import math
import types

import keras
from keras import ops

from keras_dlopt.optimizers.executor.buckets import Alone
from keras_dlopt.optimizers.executor.tiles import in_tiles, tile_count
from keras_dlopt.xla import compiled_by_xla

ASKS = ("lr", "decay", "each", "before", "shared", "loss", "curvature")


def asked(method, given, known=ASKS):
    """The names that a method of a rule asks for: its parameters after the `given` ones."""
    names = tuple(inspect.signature(method).parameters)[given:]
    odd = sorted(set(names) - set(known))
    if odd:
        raise TypeError(f"`{method.__qualname__}` asks for {', '.join(odd)}; it can ask for {', '.join(known)}.")
    return names


class Update:
    """One step.

    Args:
        optimizer: the optimizer, built.
        grads: index of the variable -> gradient, for those that have one.
        variables: the weights, all of them, in the order the optimizer was built with.
        slots: a dictionary name -> variable for each bucket.
        shared: a dictionary name -> variable for each owner, empty where it has no scalars over all variables.
        loss: the loss of this step, or `None`.
        curvature: index of the variable -> second gradient.
        learning_rate: the main learning rate.
    """

    def __init__(self, optimizer, grads, variables, slots, shared, loss, curvature, learning_rate):
        self.optimizer, self.plan, self.grads, self.variables = optimizer, optimizer._plan, grads, variables
        self.slots, self.shared = slots, shared
        self.loss, self.curvature, self.learning_rate = loss, curvature, learning_rate
        self.finite = None
        if optimizer.skip_nonfinite:
            self.finite = ops.all(ops.stack([ops.all(ops.isfinite(dense(g))) for g in grads.values()]))

    def run(self):
        """Updates all weights and slots."""
        done = []
        for owner, shared in zip(self.plan.owners, self.shared, strict=True):
            calls = (
                RuleCall(self, bucket, slots)
                for bucket, slots in zip(self.plan.buckets, self.slots, strict=True)
                if bucket.owner is owner and (owner.from_weights or any(i in self.grads for i in bucket.indices))
            )
            if shared:
                calls = list(calls)
                self._update_shared(owner, shared, calls)
            for call in calls:
                # What is decoded is gone before the next decodes.
                with waiting_for(done if call.bucket.codecs else []):
                    done = call.run()

    def _update_shared(self, owner, shared, calls):
        before = {name: dense(variable) for name, variable in shared.items()}
        sums = {}
        for call in calls:
            call.given["before"] = before
            for name, value in call.measure().items():
                sums[name] = sums.get(name, 0.0) + ops.cast(value, "float32")
        t, lr = (ops.cast(x, "float32") for x in (self.optimizer.iterations + 1, self.learning_rate))
        loss = [ops.cast(self.loss, "float32")] if "loss" in owner.combine_asks else []
        after = before | owner.combine(types.SimpleNamespace(**before), types.SimpleNamespace(**sums), t, lr, *loss)
        for call in calls:
            call.given["shared"] = after
        for name, variable in shared.items():
            self.optimizer.assign(variable, self.if_finite(after[name], before[name]))

    def if_finite(self, new, old):
        """`new`, but `old` in a step whose gradients are not finite, if such steps are to be skipped."""
        return new if self.finite is None else ops.where(self.finite, new, old)


class RuleCall:
    """A rule applied to one bucket: what it is given, and what becomes of what it returns."""

    def __init__(self, update, bucket, slots):
        self.update, self.bucket, self.slots = update, bucket, slots
        owner, group, optimizer = bucket.owner, bucket.group, update.optimizer
        self.lr = ops.cast(update.learning_rate, bucket.dtype) * (group.learning_rate * update.plan.rate_of(owner))
        self.decay = bucket.decay
        if owner.keeps_sparse and isinstance(bucket, Alone) and self.decay is None:
            self.g = ops.cast(update.grads[bucket.indices[0]], bucket.dtype)
        else:
            self.g = self._pack(update.grads)
        self.w = None
        if self.decay is not None or owner.needs_weights or owner.from_weights:
            self.w = bucket.pack([dense(update.variables[i]) for i in bucket.indices])
        self.t = ops.cast(optimizer.iterations + 1, bucket.dtype)
        self.given = {"lr": self.lr, "decay": self.decay, "each": bucket.each}
        self.filter_direction = vars(optimizer).get("filter_direction")  # of a wrapper, (bucket, u) -> u

    def measure(self):
        """What this bucket adds to the sums over all variables."""
        owner, state = self.bucket.owner, self._state(self._stored(), self.w)
        return owner.measure(self.g, self._seen(self.w), state, self.t, *self._asked(owner.measure_asks))

    def run(self):
        """Calls the rule and assigns the slots and the weights; returns the step that these have made."""
        bucket, update, stored = self.bucket, self.update, self._stored()
        step, new = self._step_in_tiles(stored) if self._tile_count > 1 else self._step(self.g, self.w, stored)
        for name, values in new.items():
            keras.tree.map_structure(self._assign, self.slots[name], values, stored[name])
        step = step if update.finite is None else ops.where(update.finite, step, ops.zeros_like(step))
        for i, part in zip(bucket.indices, bucket.unpack(step), strict=True):
            if i in update.grads:
                update.optimizer.assign_sub(update.variables[i], part)
        return [step]

    def _assign(self, slot, new, old):
        self.update.optimizer.assign(slot, self.update.if_finite(new, old))

    def _step(self, g, w, stored):
        """What to subtract from the weights, decay included, and what to store."""
        owner, lr, decay, state = self.bucket.owner, self.lr, self.decay, self._state(stored, w)
        result, new = owner.rule(g, self._seen(w), state, self.t, *self._asked(owner.rule_asks))
        u, factor = result if isinstance(result, tuple) else (result, 1.0)
        if self.filter_direction is not None:
            u = self.filter_direction(self.bucket, u)
        if "decay" in owner.rule_asks:
            decay = None
        if owner.whole_step:
            step = u if decay is None else u + lr * decay * w
        else:
            if decay is not None:
                u, factor = u * factor + decay * w, 1.0
            # lr * factor * u, as a division: XLA copies a last multiplication into the kernel of every single
            # variable, which makes compiling 500 of them 1.6 times as long; a division it computes once.
            step = ops.divide(u, 1 / (lr * factor))
        if decay is not None and owner.proximal_weight_decay:
            step = step / (1 + lr * decay)
        old = vars(state)
        new = {name: new.get(name, old[name]) for name in (*owner.from_weights, *new)}
        return step, {name: self._encoded(name, self._keep_absent(name, new[name], old[name])) for name in new}

    # Low precision

    def _stored(self):
        return keras.tree.map_structure(dense, self.slots)

    def _state(self, stored, w):
        """The slots as the rule sees them."""
        codecs, state = self.bucket.codecs, {}
        for name, value in stored.items():
            value = codecs[name].decode(value) if name in codecs else value
            state[name] = ops.where(ops.equal(self.t, 1), w, value) if name in self.bucket.owner.from_weights else value
        return types.SimpleNamespace(**state)

    def _encoded(self, name, value):
        codec = self.bucket.codecs.get(name)
        return value if codec is None else codec.encode(value, self.update.optimizer.iterations)

    @property
    def _tile_count(self):
        """How many tiles the rule is called on one after the other, so that only one of them is decoded."""
        bucket, owner = self.bucket, self.bucket.owner
        elementwise = owner.form == "flat" and not {"each", "curvature"} & set(owner.rule_asks)
        elementwise = elementwise and set(owner.slots) == {*bucket.codecs, *owner.from_weights}
        if not bucket.codecs or not elementwise or self.filter_direction is not None or compiled_by_xla():
            return 1
        return tile_count(math.prod(bucket.shapes[0]))

    def _step_in_tiles(self, stored):
        """`_step` of a variable alone, tile by tile."""
        shape, dtype = self.bucket.shapes[0], self.bucket.dtype
        tile = (math.prod(shape) // self._tile_count,)

        def step(arrays):
            step, new = self._step(arrays["g"], arrays.get("w"), arrays["stored"])
            return {"step": step, "stored": arrays["stored"] | new}

        arrays = {"g": self.g, "stored": stored} | ({} if self.w is None else {"w": self.w})
        floats = keras.KerasTensor(tile, dtype)
        slots = {name: floats for name in stored}
        for name, codec in self.bucket.codecs.items():
            slots[name] = {part: keras.KerasTensor(*spec) for part, spec in codec.variables(tile).items()}
        done = in_tiles(step, self._tile_count, arrays, {"step": floats, "stored": slots})
        new = keras.tree.map_structure(lambda x, old: ops.reshape(x, old.shape), done["stored"], stored)
        return ops.reshape(done["step"], shape), new

    def _seen(self, w):
        """The weights as the rule sees them: after weight decay, unless that is its own business or comes later."""
        owner = self.bucket.owner
        if self.decay is None or owner.proximal_weight_decay or "decay" in owner.rule_asks:
            return w
        return w - self.lr * self.decay * w

    def _asked(self, names):
        return [self._get(name) for name in names]

    def _get(self, name):
        if name in ("before", "shared"):
            values = self.given[name].items()
            return types.SimpleNamespace(**{key: ops.cast(value, self.bucket.dtype) for key, value in values})
        if name == "loss":
            return ops.cast(self.update.loss, self.bucket.dtype)
        if name == "curvature":
            return self._pack(self.update.curvature)
        return self.given[name]

    def _pack(self, values):
        """One tensor of those variables that are in `values`, with zeros for the others."""
        pairs = zip(self.bucket.indices, self.bucket.shapes, strict=True)
        return self.bucket.pack([dense(values[i]) if i in values else ops.zeros(s) for i, s in pairs])

    def _keep_absent(self, name, new, old):
        """`new`, but the old values for the variables of the bucket that got no gradient."""
        bucket, grads = self.bucket, self.update.grads
        if all(i in grads for i in bucket.indices):
            return new
        unpacked = (bucket.unpack_slot(name, value) for value in (old, new))
        pairs = zip(bucket.indices, *unpacked, strict=True)
        return bucket.pack_slot(name, [n if i in grads else o for i, o, n in pairs])


def waiting_for(tensors):
    """A context whose work starts when `tensors` are there. XLA, and so JAX, orders work by itself."""
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    return tf.control_dependencies(tensors)


def dense(value):
    """A tensor. Of a sparse gradient (TensorFlow's IndexedSlices) it holds the sum of each row's parts.

    Keras lets such gradients into the rule as they are and so squares the parts of a repeated row one by one.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Keras would let a variable through as it is, which is then read when it is used: after it was assigned to,
        # where a rule hands the old value of one slot to another.
        return tf.convert_to_tensor(value.value if isinstance(value, keras.Variable) else value)
    return ops.convert_to_tensor(value)
