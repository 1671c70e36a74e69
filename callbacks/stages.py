"""Settings that change between two epochs: `{when: what}`."""

import numbers

from keras_dlopt.arguments import in_steps, invalid


def parse_stages(where, name, given):
    """The pairs (when, what) of `{when: what}`, in their order.

    `when` is 0, a share of the run in (0, 1), or a whole number of epochs. As keys of JSON they may be text.

    Raises:
        ValueError: naming the argument, if it is no such dictionary, or has nothing for 0.
    """
    accepted = "a dictionary {when: what} with 0 and other keys that are shares of the run in (0, 1), or epochs"
    if not isinstance(given, dict) or not given:
        raise invalid(where, name, given, accepted)
    stages = []
    for key, what in given.items():
        try:
            when = float(key) if isinstance(key, str) else key
        except ValueError:
            raise invalid(where, name, given, accepted) from None
        if isinstance(when, bool) or not isinstance(when, numbers.Real) or not (0 <= when < 1 or when == when // 1 > 0):
            raise invalid(where, name, given, accepted)
        stages.append((float(when) if when < 1 else int(when), what))
    if not any(when == 0 for when, _ in stages):
        raise invalid(where, name, given, accepted)
    return stages


def in_epochs(where, name, stages, epochs):
    """The pairs (first epoch, what) of what `parse_stages` gave, over a run of so many epochs.

    Raises:
        ValueError: if one comes no later than the one before it, or after the run.
    """
    begun = [(in_steps(when, epochs) if when else 0, what) for when, what in stages]
    firsts = [first for first, _ in begun]
    if firsts != sorted(set(firsts)) or firsts[-1] >= epochs:
        accepted = f"stages one after the other, an epoch at least each, in a run of {epochs}"
        raise invalid(where, name, dict(stages), accepted)
    return begun


def stage_at(begun, epoch):
    """Which of the stages of `in_epochs` an epoch is in, counted from 0."""
    return sum(first <= epoch for first, _ in begun) - 1
