"""The measurements written up: `convergence.json`, `convergence.md` and a plot for each task."""

import json
import math
import os
import pathlib
import platform
import sys
from importlib.metadata import version

from convergence.contenders import BASELINE
from convergence.expected import expectations, finals, median, ratio
from convergence.plots import plot

HEAD = """# How fast optimizers converge

Seven small tasks, one protocol for every optimizer: its learning rate searched with as many trials,
log-uniform over four decades around its default, everything else at the library's defaults; 5 % warm-up and a cosine to zero for all
but the schedule-free and learning-rate-free rules, whose rate is constant; the best trial by the validation value at
the end repeated from {seeds} fresh seeds. The target of a task is tuned AdamW's median final test value. Steps to the
target: the shortest run, in steps of a 20th, whose own schedule ends there (median of 3 seeds, at the peak rate of the
full run); without a schedule, where the median curve first is there. ∞: not within AdamW's steps. The table of
defaults is the library's default learning rate, constant, with no search.

Among equals half the seeds miss the target: read "AdamW of Keras", the same rule, as the noise of the method.
A rate marked * is the first or last that was tried: a wider search might do better.

{platform}

To repeat: `python benchmarks/convergence.py`, then `--time` on a quiet machine, then `--report benchmarks`.
"""


def number(value, digits=3):
    """A number for a table; infinity as a sign."""
    if value is None or not math.isfinite(value):
        return "∞" if value is None or value > 0 else "-"
    return f"{value:.{digits}g}"


def row(cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(head, rows):
    return [row(head), row(["---"] * len(head)), *map(row, rows), ""]


def steps_share(result, base):
    return ratio(result["steps_to_target"], base["steps"])


def seconds_share(result, base):
    """Seconds to the target in the baseline's; `None` where seconds were not measured."""
    if "step_seconds" not in result or "step_seconds" not in base:
        return None
    return steps_share(result, base) * result["step_seconds"] / base["step_seconds"]


def final_share(result, base):
    return ratio(result["final"], base["final"])


def defaults_share(result, base):
    return ratio(median(result["defaults"]), base["final"])


def mean(shares):
    """Geometric mean; infinite if one is."""
    if any(math.isinf(share) for share in shares):
        return math.inf
    return math.exp(sum(map(math.log, shares)) / len(shares))


def summary(results, share, name_of_mean):
    """A table optimizer x task of `share`, best first: by number of tasks within reach, then by their mean."""
    names = [name for name in results[next(iter(results))] if all(name in found for found in results.values())]
    shares = {n: [share(found[n], found[BASELINE]) for found in results.values()] for n in names}
    shares = {n: values for n, values in shares.items() if None not in values}
    names = sorted(
        shares, key=lambda n: (sum(map(math.isinf, shares[n])), mean([s for s in shares[n] if s < 1e9] or [1]))
    )
    rows = [[n, *(number(s) for s in shares[n]), number(mean(shares[n]))] for n in names]
    return table(["", *results, name_of_mean], rows)


def at_an_end(result):
    """Whether the best learning rate is the first or the last that was tried."""
    tried = [trial["learning_rate"] for trial in result["trials"]]
    return result["learning_rate"] in (min(tried), max(tried))


def task_table(found):
    """What was measured on one task, best final value first."""
    base = found[BASELINE]
    head = ["", "rate", "final (lowest - highest)", "/ AdamW's", "steps", "ms a step", "seconds", "at defaults"]
    rows = []
    for name in sorted(found, key=lambda n: final_share(found[n], base)):
        result = found[name]
        ends = [math.inf if value is None else value for value in finals(result)]
        seconds = result.get("step_seconds")
        to_target = result["steps_to_target"]
        rows.append(
            [
                name,
                number(result["learning_rate"], 2) + "*" * at_an_end(result),
                f"{number(result['final'], 4)} ({number(min(ends))} - {number(max(ends))})",
                number(final_share(result, base)),
                number(to_target, 4),
                "" if seconds is None else number(1000 * seconds),
                "" if seconds is None else number(to_target and to_target * seconds),
                number(median(result["defaults"])),
            ]
        )
    return table(head, rows)


def machine():
    """What it ran on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras"))
    return f"Python {platform.python_version()}, {packages}, {os.cpu_count()} cores, one thread a run."


def write_report(results, folder):
    """Writes `results`, task -> optimizer -> measurement, into `folder`."""
    folder = pathlib.Path(folder)
    plots = folder / "convergence"
    plots.mkdir(parents=True, exist_ok=True)
    seeds = len(next(iter(results.values()))[BASELINE]["curves"])
    lines = [HEAD.format(seeds=seeds, platform=machine())]
    lines += ["## Steps to the target, in AdamW's\n", *summary(results, steps_share, "mean")]
    seconds = summary(results, seconds_share, "mean")
    if len(seconds) > 3:
        lines += ["## Seconds to the target, in AdamW's\n", *seconds]
    lines += ["## Final value, in tuned AdamW's\n", *summary(results, final_share, "mean")]
    lines += ["## Final value at the defaults, in tuned AdamW's\n", *summary(results, defaults_share, "mean")]
    rows = [[claim, found, "yes" if held else "**no**"] for claim, found, held in expectations(results)]
    lines += ["## Expected before the first run\n", *table(["expected", "found", "held"], rows)]
    for name, found in results.items():
        plot(name, found, plots / f"{name}.png")
        lines += [
            f"## {name}\n",
            f"{found[BASELINE]['measure'].capitalize()} after {found[BASELINE]['steps']} steps; "
            f"{len(found[BASELINE]['trials'])} trials.\n",
            *task_table(found),
            f"![{name}](convergence/{name}.png)\n",
        ]
    (folder / "convergence.md").write_text("\n".join(lines))
    text = json.dumps({"python": sys.version.split()[0], "results": results}, separators=(",", ":"))
    (folder / "convergence.json").write_text(text.replace('"trials"', '\n"trials"') + "\n")
