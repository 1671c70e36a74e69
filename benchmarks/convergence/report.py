"""The measurements written up: `convergence.json`, `convergence.md` and a plot for each task."""

import json
import math
import os
import pathlib
import platform
import statistics
import sys
from importlib.metadata import version

from convergence.contenders import BASELINE, CONTENDERS
from convergence.expected import expectations, finals, median, ratio
from convergence.plots import plot

HEAD = """# How fast optimizers converge

Seven small tasks, one protocol for every optimizer.

- **Search.** Only the learning rate is searched, with the same number of trials for all (below each task): half of them
  log-uniform from 0.1 to 1000 times the default, the other half around the best of these. Where the outcome depends
  much on the seed (all tasks but the transformer) the three best rates get two more seeds each. Everything else is at
  the library's defaults. The best rate by the validation value at the end is repeated from {seeds} fresh seeds.
- **Schedule.** 5 % warm-up and a cosine to zero. Prodigy: the cosine alone, as its authors advise. Schedule-Free and
  DoG: constant; DoG is judged by the average of its weights (`use_ema=True`).
- **Target.** The median final test value of AdamW, tuned like this. Steps to the target: the length of the shortest
  run, in steps of a 20th, whose own schedule ends at the target or below (median of 3 seeds, at the peak rate of the
  full run); without a schedule, the place where the median curve first is there. ∞: not within AdamW's steps. Among
  equals half miss the target by a hair: read "AdamW of Keras", the same rule, as the noise of the method.
- **Defaults.** The default learning rate with the same schedule and no search, median of 3 seeds.

{platform}

To repeat: `python benchmarks/convergence.py`, then with `--report benchmarks`. To add the seconds, on a quiet machine:
`python benchmarks/convergence.py --restore benchmarks/convergence.json --time --report benchmarks`.

{reading}"""

READING = pathlib.Path(__file__).with_name("reading.md")  # what a person saw in the tables


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


def summary(results, share):
    """A table optimizer x task of `share`, best median first; those that were not measured on every task last."""
    shares = {
        name: [share(found[name], found[BASELINE]) if name in found else None for found in results.values()]
        for name in CONTENDERS
    }

    def rank(name):
        known = [value for value in shares[name] if value is not None]
        return len(known) < len(results), statistics.median(known), sum(min(value, 2.0) for value in known)

    rows = []
    for name in sorted((name for name in shares if any(shares[name])), key=rank):
        cells = ["" if value is None else number(value) for value in shares[name]]
        rows.append([name, *cells, "" if "" in cells else number(statistics.median(shares[name]))])
    return table(["", *results, "median"], rows)


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
    packages = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "numpy"))
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    return f"Python {platform.python_version()}, {packages}; {model}, {os.cpu_count()} cores, one thread a run."


def write_report(results, folder):
    """Writes `results`, task -> optimizer -> measurement, into `folder`."""
    folder = pathlib.Path(folder)
    figures = folder / "convergence" / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    seeds = len(next(iter(results.values()))[BASELINE]["curves"])
    lines = [HEAD.format(seeds=seeds, platform=machine(), reading=READING.read_text())]
    lines += ["## Steps to the target, in AdamW's\n", *summary(results, steps_share)]
    seconds = summary(results, seconds_share)
    if len(seconds) > 3:
        lines += ["## Seconds to the target, in AdamW's\n", *seconds]
    lines += ["## Final value, in tuned AdamW's\n", *summary(results, final_share)]
    lines += ["## Final value at the defaults, in tuned AdamW's\n", *summary(results, defaults_share)]
    rows = [[claim, found, "yes" if held else "**no**"] for claim, found, held in expectations(results)]
    lines += ["## Expected before the first run\n", *table(["expected", "found", "held"], rows)]
    for name, found in results.items():
        plot(name, found, figures / f"{name}.png")
        lines += [
            f"## {name}\n",
            f"{found[BASELINE]['measure'].capitalize()} after {found[BASELINE]['steps']} steps; "
            f"{len(found[BASELINE]['trials'])} trials.\n",
            *task_table(found),
            f"![{name}](convergence/figures/{name}.png)\n",
        ]
    (folder / "convergence.md").write_text("\n".join(lines))
    text = json.dumps({"python": sys.version.split()[0], "results": results}, separators=(",", ":"))
    (folder / "convergence.json").write_text(text.replace('"trials"', '\n"trials"') + "\n")
