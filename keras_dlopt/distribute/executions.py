"""How many steps run without the host in between."""

from keras_dlopt.arguments import check_number
from keras_dlopt.distribute import plan

LONGEST = {"cpu": 1, "gpu": 8, "tpu": 64}


def steps_per_execution(steps):
    """The `steps_per_execution` for `model.compile`: many on a TPU, a few on a GPU, one elsewhere.

    The largest divisor of `steps` up to 64 on a TPU and 8 on a GPU, so that callbacks at the end of an epoch see whole
    executions. Where several replicas reduce by collective operations (several GPUs, several machines) it is 1, because
    TensorFlow 2.21 cannot run these inside the loop over steps.

    Args:
        steps: steps an epoch, >= 1.

    Example:

    >>> from keras_dlopt import distribute
    >>> _ = distribute.strategy("cpu")
    >>> distribute.steps_per_execution(100)
    1
    """
    check_number("steps_per_execution", "steps", steps, 1, integer=True)
    made = plan.needed("steps_per_execution(...)")
    longest, why = LONGEST[made.device], f"up to {LONGEST[made.device]} on a {made.device.upper()}"
    if uses_collectives(made.strategy):
        longest, why = 1, "TensorFlow cannot loop over collective operations"
    chosen = max(n for n in range(1, min(longest, steps) + 1) if steps % n == 0)
    made.note("steps an execution", str(chosen), f"{why}, a divisor of {steps}", "compile(steps_per_execution=...)")
    return chosen


def uses_collectives(strategy):
    """Whether the replicas of a TensorFlow strategy reduce by collective operations."""
    by = getattr(getattr(strategy, "extended", None), "_cross_device_ops", None)
    return type(by).__name__ == "CollectiveAllReduce" and strategy.num_replicas_in_sync > 1
