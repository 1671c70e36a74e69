"""What was chosen, why, and what to change: the record of the last call of `strategy`."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Choice:
    """One thing that was chosen.

    Attributes:
        what: what it is about, a word or two.
        chosen: what was chosen.
        why: the reason.
        change: how to have it otherwise, or "".
    """

    what: str
    chosen: str
    why: str
    change: str = ""


@dataclasses.dataclass
class Plan:
    """Where a run trains.

    Attributes:
        strategy: a `tf.distribute.Strategy`, or on JAX a `keras.distribution.Distribution`.
        device: "cpu", "gpu" or "tpu".
        replicas: copies of the model that share a global batch.
        workers: processes that train together.
        index: which of them this is; the first is the chief.
        deterministic: whether a run was asked to be repeatable bit for bit.
        shard: how several workers on JAX share all their data, once `dataset` was told; see there.
        choices: what was chosen and why, a list of `Choice`.
    """

    strategy: object
    device: str
    replicas: int
    workers: int = 1
    index: int = 0
    deterministic: bool = False
    shard: str | None = None
    choices: list[Choice] = dataclasses.field(default_factory=list)

    def note(self, what, chosen, why, change=""):
        """Adds a choice, in place of an earlier one about the same."""
        self.choices = [choice for choice in self.choices if choice.what != what]
        self.choices.append(Choice(what, chosen, why, change))

    def __str__(self):
        width = max(len(choice.what) for choice in self.choices)
        lines = []
        for choice in self.choices:
            lines.append(f"{choice.what:<{width}}  {choice.chosen}: {choice.why}")
            if choice.change:
                lines.append(f"{'':<{width}}  to change: {choice.change}")
        return "\n".join(lines)


_last = None


def last():
    """The plan of the last call of `strategy`, or `None` before the first."""
    return _last


def remember(plan):
    """Makes `plan` the one that all functions of `keras_dlopt.distribute` follow."""
    global _last
    _last = plan


def needed(where):
    """The plan of the last call of `strategy`; an error before the first."""
    if _last is None:
        raise ValueError(f"`{where}` follows what `keras_dlopt.distribute.strategy()` chose: call that first.")
    return _last


def describe():
    """Prints what `strategy` chose, why, and what to change to have it otherwise; on the chief worker only.

    Example:

    >>> from keras_dlopt import distribute
    >>> _ = distribute.strategy("cpu")
    >>> distribute.describe()  # doctest: +ELLIPSIS
    strategy ...
    """
    plan = needed("describe()")
    if plan.index == 0:
        print(plan)


def is_chief():
    """Whether this process is the one that writes checkpoints and logs: always, but for workers after the first.

    Example:

    >>> is_chief()
    True
    """
    return _last is None or _last.index == 0
