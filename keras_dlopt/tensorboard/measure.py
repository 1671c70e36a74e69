"""What is taken of an update inside the compiled step, and the small ring it waits in."""

import math

import keras
import numpy as np
from keras import ops

from keras_dlopt.step import Observer
from keras_dlopt.tensorboard import reductions as take
from keras_dlopt.tensorboard.format import BINS, OCTAVES_A_BIN, Layout, Record
from keras_dlopt.tensorboard.slots import chain, owners, slot_names, slot_values, state_entries

GLOBALS = ("learning_rate", "gradient_norm", "update_norm", "weight_norm", "update_ratio", "clipped")
_STATS = (
    *("gradient_norm", "gradient_max", "gradient_zeros", "gradient_nonfinite"),
    *("update_norm", "weight_norm", "weight_zeros", "mask_changes"),
)
_UNSEEN = 2  # in place of 0 and 1, whether a weight was zero


class Measure(Observer):
    """Fills the ring: each recorded update takes the next row, and the oldest one is overwritten.

    Args:
        optimizer: the outermost optimizer; this observer is attached to it, or to the one inside.
        every: updates from one record to the next.
        rows: of the ring.
        batches: number of batches for which the host chooses at once whether to record. With one, each call of a
            chosen step is recorded; with more, those calls that make an update whose number `every` divides.
        ranges: names of the fake-quantization layers, for the layout.
    """

    def __init__(self, optimizer, every, rows, batches, ranges=()):
        self.outermost, self.every, self.rows, self.batches, self.ranges = optimizer, every, rows, batches, ranges
        self.layout = None

    def build(self, optimizer, variables):
        slots = slot_names(optimizer)
        self.slots = sorted(slots, key=lambda name: (name not in ("m", "v"), name))
        self.histograms = ["gradient", "update", *(name for name in ("m", "v") if name in slots)]
        self.trusts = bool({"Lamb", "LARS"} & {type(owner).__name__ for owner, _ in owners(optimizer)})
        of_slots = [f"{slot}_{of}" for slot in self.slots for of in ("norm", "mean")]
        count = len(variables)
        self.layout = Layout(
            optimizer=" of ".join(type(owner).__name__ for owner in chain(self.outermost)),
            every=self.every,
            variables=_unique([getattr(v, "path", v.name) for v in variables]),
            shapes=[list(v.shape) for v in variables],
            stats=[*_STATS, *of_slots, *(["trust_ratio"] if self.trusts else [])],
            histograms=self.histograms,
            globals=[*GLOBALS, "loss_scale", "dropped"],
            ranges=list(self.ranges),
            state=state_entries(self.outermost, [v for o in optimizer._seam.observers for v in o.variables]),
        )
        width = len(GLOBALS) + len(self.layout.stats) * count
        pattern = count, max(take.sample_length(v.shape) for v in variables)
        # TensorFlow's collectives, which set the workers' variables alike, have no 8-bit integers.
        small = "int32" if _several_workers(optimizer) else "uint8"
        self.ring = (
            self.add_variable((self.rows, width), "float32", name="ring"),
            self.add_variable((self.rows, len(self.histograms) * count * BINS), small, name="histograms"),
            # Whole numbers, which float32 would lose above 2**24: of the row, and of the update.
            self.add_variable((self.rows, 2), "int32", keras.initializers.Constant(-1), name="numbers"),
            self.add_variable(pattern, small, keras.initializers.Constant(_UNSEEN), name="pattern"),
        )

    def before_apply(self, gradients, variables):
        here = self.carry
        if getattr(here, "chosen", False):
            here.update = ops.cast(ops.convert_to_tensor(self.optimizer.iterations), "int32")
            here.gradients = self.all_reduce(self.accumulated(gradients, variables))
            here.before = [_value(v) for v in variables]
            # A schedule would give the next update's rate afterwards; a variable may still be written by others.
            rate = self.optimizer.learning_rate
            here.rate = None if isinstance(rate, keras.Variable) else rate
        return gradients

    def after_apply(self, gradients, variables):
        here = self.carry
        if not getattr(here, "chosen", False):
            return
        seen = _Seen(self, here, [_value(v) for v in variables])
        ring = tuple(_value(v) for v in self.ring)
        if self.batches > 1:
            moved = ops.cast(ops.convert_to_tensor(self.optimizer.iterations), "int32") > here.update
            due = ops.logical_and(moved, here.update % self.every == 0)
            new = ops.cond(due, lambda: self._record(seen, *ring), lambda: ring)
        else:
            new = self._record(seen, *ring)
        for variable, value in zip(self.ring, new, strict=True):
            self.assign(variable, value)
        del here.update, here.gradients, here.before, here.rate  # they would keep the graph of the trace alive

    def _record(self, seen, ring, codes, numbers, pattern):
        """The ring with one more row."""
        changes, pattern = _mask_changes(seen.after, pattern)
        stats = seen.stats(self.slots, changes, self.trusts)
        row = ops.concatenate([seen.globals(stats), ops.reshape(stats, (-1,))])
        counted = ops.cast(ops.reshape(seen.histograms(self.histograms), (1, -1)), codes.dtype)
        number = ops.max(numbers[:, 0]) + 1
        place = ops.stack([number % self.rows, 0])
        return (
            ops.slice_update(ring, place, row[None]),
            ops.slice_update(codes, place, counted),
            ops.slice_update(numbers, place, ops.stack([number, seen.update])[None]),
            pattern,
        )

    def snapshot(self):
        """Copies of the ring, which later steps do not write to; still on the device."""
        return [_value(v) for v in self.ring[:3]]


class _Seen:
    """One update as the step has it in its hands."""

    def __init__(self, measure, here, after):
        self.optimizer, self.outermost = measure.optimizer, measure.outermost
        self.update, self.gradients, self.before, self.after = here.update, here.gradients, here.before, after
        rate = self.optimizer.learning_rate if here.rate is None else here.rate
        self.rate = ops.cast(ops.convert_to_tensor(rate), "float32")
        self.moved = [ops.subtract(a, b) for a, b in zip(after, self.before, strict=True)]
        self.slots = slot_values(self.optimizer)
        self.has_gradient = np.array([g is not None for g in self.gradients])

    def stats(self, slots, changes, trusts):
        """The statistics in the order of the layout: a tensor (stats, variables)."""
        count, of_slots = len(self.after), [value for name in slots for value in self.slots[name]]
        # All at once: what small variables cost is the number of operations.
        norms = take.by_variable([*self.gradients, *self.moved, *self.before, *of_slots], take.norm)
        gradient, update, weight, *slot_norms = ops.unstack(ops.reshape(norms, (-1, count)))
        gradient_zeros, weight_zeros = ops.unstack(
            ops.reshape(take.by_variable([*self.gradients, *self.after], take.zeros), (2, count))
        )
        # Hardly ever anything but zero: counted if a norm says that it is.
        broken = ops.any(ops.logical_not(ops.isfinite(ops.where(self.has_gradient, gradient, 0.0))))
        none = np.where(self.has_gradient, 0.0, math.nan).astype("float32")
        nonfinite = ops.cond(
            broken,
            lambda: take.by_variable(self.gradients, take.nonfinite),
            lambda: ops.convert_to_tensor(none),
        )
        # XLA's maximum leaves NaN out on a processor, a norm does not.
        largest = take.by_variable(self.gradients, take.largest)
        largest = ops.where(ops.isnan(gradient), gradient, largest)
        stats = [gradient, largest, gradient_zeros, nonfinite]
        stats += [update, weight, weight_zeros, changes]
        if of_slots:
            means = ops.unstack(ops.reshape(take.by_variable(of_slots, take.mean), (-1, count)))
            stats += [value for pair in zip(slot_norms, means, strict=True) for value in pair]
        if trusts:
            stats.append(self._trust_ratios(gradient, weight))
        return ops.stack(stats)

    def _trust_ratios(self, gradient_norms, weight_norms):
        """What LAMB and LARS multiply the rate of each variable with; NaN where another rule is at work."""
        ratios, t = [], ops.cast(self.update + 1, "float32")
        for i, (owner, decay) in enumerate(owners(self.optimizer)):
            ratio, weight = ops.full((), math.nan, "float32"), weight_norms[i]
            if type(owner).__name__ == "Lamb":
                m, v = (ops.cast(self.slots[name][i], "float32") for name in ("m", "v"))
                m, v = m / (1 - ops.power(owner.beta_1, t)), v / (1 - ops.power(owner.beta_2, t))
                direction = ops.reshape(m / (ops.sqrt(v) + owner.epsilon), (1, -1))
                ratio = _ratio(weight, take.norm(direction)[0])
            elif type(owner).__name__ == "LARS":
                ratio = _ratio(owner.trust_coefficient * weight, gradient_norms[i] + (decay or 0.0) * weight)
            ratios.append(ratio)
        return ops.stack(ratios)

    def globals(self, stats):
        """The numbers of `GLOBALS`, from the statistics."""
        norms = {name: stats[_STATS.index(name)] for name in ("gradient_norm", "update_norm", "weight_norm")}
        norms["gradient_norm"] = ops.where(self.has_gradient, norms["gradient_norm"], 0.0)
        gradient, update, weight = (ops.sqrt(ops.sum(ops.square(norm))) for norm in norms.values())
        clipped = self._clipped(norms["gradient_norm"], gradient)
        return ops.stack([self.rate, gradient, update, weight, update / weight, clipped])

    def _clipped(self, norms, norm):
        """The share of variables (`clipnorm`), of elements (`clipvalue`), or all or nothing (`global_clipnorm`)."""
        optimizer = self.optimizer
        if optimizer.global_clipnorm:
            return ops.cast(norm > optimizer.global_clipnorm, "float32")
        if optimizer.clipnorm:
            return ops.sum(ops.cast(norms > optimizer.clipnorm, "float32")) / max(1, self.has_gradient.sum())
        if optimizer.clipvalue:
            gradients = [g for g in self.gradients if g is not None]
            sizes = np.array([math.prod(g.shape) for g in gradients], "float32")
            shares = take.by_variable(gradients, take.above(optimizer.clipvalue))
            return ops.sum(shares * (sizes / sizes.sum()))
        return ops.full((), math.nan, "float32")

    def histograms(self, names):
        """Codes of (histograms, variables, bins), as rows."""
        of = {"gradient": self.gradients, "update": self.moved, **self.slots}
        octaves = [OCTAVES_A_BIN[name] for name in names for _ in self.after]
        return take.histograms([tensor for name in names for tensor in of[name]], octaves)


class Rows:
    """Turns snapshots of the ring into records, each row once. Not for the thread that trains."""

    def __init__(self, layout):
        self.layout, self.last, self.dropped = layout, -1, 0

    def records(self, snapshot, noted):
        """The records that are new, oldest first.

        Args:
            snapshot: of `Measure.snapshot`.
            noted: step -> what the host knows of it: loss scale, and an array (ranges, 3) or `None`.
        """
        ring, codes, numbers = (ops.convert_to_numpy(part) for part in snapshot)
        variables, stats = len(self.layout.variables), len(self.layout.stats)
        for place in np.argsort(numbers[:, 0]):
            number, step = map(int, numbers[place])
            if number <= self.last:
                continue
            self.dropped += number - self.last - 1
            self.last = number
            row, (scale, ranges) = ring[place], noted.get(step, (math.nan, None))
            yield Record(
                step=step,
                globals=np.append(row[: len(GLOBALS)], np.float32([scale, self.dropped])),
                stats=row[len(GLOBALS) :].reshape(stats, variables),
                histograms=codes[place].reshape(-1, variables, BINS).transpose(0, 2, 1).astype("uint8"),
                ranges=ranges,
            )


def _mask_changes(weights, pattern):
    """The share of a sample of each variable that became, or ceased to be, zero since the last record.

    Returns:
        A tensor (variables,), and the new pattern of zeros, (variables, length).
    """
    rows, lengths = take.samples(weights)
    now = ops.cast(ops.equal(rows, 0), pattern.dtype)
    changed = ops.logical_and(ops.not_equal(now, pattern), ops.not_equal(pattern, _UNSEEN))
    return ops.sum(ops.cast(changed, "float32"), axis=1) / lengths.astype("float32"), now


def _value(variable):
    # `convert_to_tensor` gives the variable itself on TensorFlow, which is its later value when it is read later.
    return ops.copy(ops.convert_to_tensor(variable))


def _ratio(a, b):
    both = ops.logical_and(a > 0, b > 0)
    return ops.where(both, a / ops.where(both, b, 1.0), 1.0)


def _unique(names):
    seen = {}
    for i, name in enumerate(names):
        seen.setdefault(name, []).append(i)
    return [name if len(seen[name]) == 1 else f"{name}_{seen[name].index(i)}" for i, name in enumerate(names)]


def _several_workers(optimizer):
    strategy = getattr(optimizer, "_distribution_strategy", None)
    return strategy is not None and getattr(strategy.extended, "_in_multi_worker_mode", lambda: False)()
