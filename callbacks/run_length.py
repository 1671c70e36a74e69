"""How long a run is, as far as Keras knows before it begins."""

from keras_dlopt.arguments import in_steps, invalid


def run_length(callback, steps=None):
    """The number of batches of the run that `callback` is told of; `steps`, if given, is taken for it.

    Raises:
        ValueError: naming `steps`, if neither is known.
    """
    if steps is not None:
        return steps
    epochs = (callback.params or {}).get("epochs")
    length = steps_until(callback.params or {}, epochs or 0)
    if not length:
        accepted = "given, because the length of this run is not known before its end"
        raise invalid(type(callback).__name__, "steps", None, accepted)
    return length


def steps_until(params, epoch):
    """The number of batches in the epochs before `epoch`, 0 where Keras does not know; epochs may differ in length."""
    lengths = params.get("epoch_steps")  # of `BatchSizeSchedule`
    return (params.get("steps") or 0) * epoch if lengths is None else sum(lengths[:epoch])


def end_in_steps(callback, end, run):
    """The argument `end` of `callback`, which `check_length` accepted, in steps of a run of `run` steps.

    Raises:
        ValueError: naming `end`, if the run is over before.
    """
    steps = in_steps(end, run)
    if steps > run:
        raise invalid(type(callback).__name__, "end", end, f"within the run, which has {run} steps")
    return steps
