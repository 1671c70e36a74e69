"""The largest batch that fits."""

MULTIPLE = 8  # examples a device: what fills the rows of a tile
_MOST = 2**20  # examples a device; a model that fits as many is not limited by its memory


def search(flight, batch, found, steps):
    """Bisects the batch of the train step. Memory grows nearly in a straight line with it, which saves compilations.

    Args:
        flight: what compiles a step, and makes reports.
        batch: where to start.
        found: the slice.
        steps: what the report shall hold.

    Returns:
        The `Report` of the largest batch that fits, with those tried; of the last one tried, if none does or the
        compiler refuses it for another reason than memory.
    """
    tried = []
    for unit in (found.compiler_devices * MULTIPLE, found.compiler_devices):
        low, high = _bisect(flight, unit, batch, found, tried)
        if low:
            return flight.report(low * unit, found, steps, search=tuple(tried), next_batch=high and high * unit)
        if not high:
            break
    return flight.report(tried[-1][0], found, steps, search=tuple(tried))


def _bisect(flight, unit, batch, found, tried):
    """The largest multiple of `unit` that fits, or 0; the smallest that does not, or None."""
    refused = [size for size, fits in tried if not fits]
    low, high, most = 0, min(refused) // unit if refused else None, _MOST * found.compiler_devices // unit
    trial = min(max(batch // unit, 1), high - 1 if high else most)
    halve = False  # every other time, so that guesses on one side alone cannot make it long
    while high is None or high - low > 1:
        step = flight.step("train", trial * unit, found)
        tried.append((trial * unit, step.compiles))
        if step.compiles:
            low = trial
            if low >= most:
                break
            state = sum(step.hbm[part] for part in ("parameters", "optimizer state", "other state", "program"))
            guess = int((step.hbm_available - state) / max(step.hbm_used - state, 1) * trial)
        elif step.error == "RESOURCE_EXHAUSTED":
            high = trial
            guess = int(step.hbm_available / step.hbm_used * trial) if step.hbm_used else 0
        else:
            return 0, None
        if high is None:
            trial = min(max(guess, low + 1), most)
        elif halve:
            trial = (low + high) // 2
        else:
            trial = min(max(guess, low + 1), high - 1)
        halve = high is not None and not halve
    return low, high
