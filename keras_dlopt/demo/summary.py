"""From the measured seeds to the numbers people read: mean and spread, and what the ladder shows."""

import statistics

COLUMNS = (
    "accuracy", "loss", "epochs_to_target", "seconds_to_target", "seconds", "litert_accuracy", "agreement",
    "parameters", "nonzeros", "bytes", "gzip_bytes", "milliseconds", "faster_than_first", "faster_than_float32",
)  # fmt: skip


def summarize(seeds):
    """Mean, sample standard deviation and number of the seeds that have a value, for each of `COLUMNS`.

    Example:

    >>> summarize([{"accuracy": 0.9, "epochs_to_target": 3}, {"accuracy": 1.0, "epochs_to_target": None}])["accuracy"]
    {'mean': 0.95, 'deviation': 0.07071067811865474, 'of': 2}
    """
    summary = {}
    for column in COLUMNS:
        values = [seed[column] for seed in seeds if seed.get(column) is not None]
        summary[column] = {
            "mean": statistics.fmean(values) if values else None,
            "deviation": statistics.stdev(values) if len(values) > 1 else None,
            "of": len(values),
        }
    return summary


def mean(rung, column):
    return rung["summary"][column]["mean"]


def findings(rungs):
    """One sentence for each comparison that the finished rungs allow, whichever way it came out."""
    done = {rung["number"]: rung for rung in rungs if rung["seeds"]}
    found = []

    def compare(low, high, sentence):
        if low in done and high in done:
            points = 100 * (mean(done[high], "accuracy") - mean(done[low], "accuracy"))
            found.append(sentence(f"{points:+.2f} points", done[low], done[high]))

    compare(5, 6, lambda p, a, b: f"{b['title']}: {p} of test accuracy against Adam in the same epochs.")
    compare(6, 7, lambda p, a, b: f"Augmentation: {p}.")
    compare(
        7,
        8,
        lambda p, a, b: (
            f"The student has {mean(a, 'parameters') / mean(b, 'parameters'):.1f} times fewer "
            f"parameters than its teacher: {p}."
        ),
    )
    compare(
        8,
        9,
        lambda p, a, b: (
            f"Pruned, {100 - 100 * mean(b, 'nonzeros') / mean(b, 'parameters'):.0f} % of all weights are zero: {p}; "
            f"gzip makes the file {mean(a, 'gzip_bytes') / mean(b, 'gzip_bytes'):.1f} times smaller than the "
            "student's, but zeros alone make it no faster."
        ),
    )
    compare(
        9,
        10,
        lambda p, a, b: (
            f"In 8-bit integers: {p}; {mean(b, 'faster_than_float32'):.1f} times faster than the same "
            f"network in float32; Keras and LiteRT agree on {100 * mean(b, 'agreement'):.2f} % of the answers."
        ),
    )
    if 10 in done:
        first = done[min(done)]
        if first["number"] < 8:
            found.append(
                f"From first to last: {mean(first, 'gzip_bytes') / mean(done[10], 'gzip_bytes'):.0f} times smaller "
                f"(gzip), {mean(done[10], 'faster_than_first'):.1f} times faster."
            )
    return found
