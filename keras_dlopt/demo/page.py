"""`report.html`: one file with everything in it, for light and dark."""

import html

from keras_dlopt.demo import charts
from keras_dlopt.demo.display import cells, headings

STYLE = """
:root { color-scheme: light dark; --paper: #fcfcfb; --panel: #f3f3f1; --ink: #1b1c1e; --faint: #62666c; --grid: #dfe0de;
  --accent: #1f6fb2; --warn: #9a5b00; --warn-panel: #fdf1dc;
  --rung1: #9aa0a6; --rung2: #6b7280; --rung3: #3f4753; --rung4: #c98a1b; --rung5: #b4540a; --rung6: #1f6fb2;
  --rung7: #15998e; --rung8: #7a4fc0; --rung9: #b23a8f; --rung10: #d02f45; }
@media (prefers-color-scheme: dark) { :root { --paper: #17181a; --panel: #212327; --ink: #eceef0; --faint: #a0a5ac;
  --grid: #373a3f; --accent: #6cb2ee; --warn: #f3c16b; --warn-panel: #38301f;
  --rung1: #737981; --rung2: #9ba2ac; --rung3: #cfd4da; --rung4: #e5ae4b; --rung5: #f08a4b; --rung6: #5aa9ec;
  --rung7: #3cc4b6; --rung8: #a98bea; --rung9: #e274c2; --rung10: #f36a7b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 80rem; padding: 2.5rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.75rem 0 .75rem; }
p { max-width: 46rem; margin: .5rem 0; }
.faint { color: var(--faint); }
.partial { background: var(--warn-panel); color: var(--warn); border-radius: .5rem; padding: .7rem 1rem; }
ul.findings { padding: 0; margin: 1.5rem 0 0; list-style: none; max-width: 52rem; }
ul.findings li { padding: .55rem 0 .55rem 1rem; border-left: 3px solid var(--accent); margin: .4rem 0;
  background: var(--panel); border-radius: 0 .4rem .4rem 0; padding-right: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; width: 100%; }
th { text-align: right; font-weight: 600; color: var(--faint); vertical-align: bottom; line-height: 1.25; }
th, td { padding: .4rem .5rem; border-bottom: 1px solid var(--grid); white-space: nowrap; text-align: right; }
th { white-space: pre; }
td.title, th.title { text-align: left; }
td .key { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%; margin-right: .5rem; }
td.reason { text-align: left; white-space: normal; color: var(--faint); }
svg { width: 100%; max-width: 58rem; height: auto; display: block; }
svg text { font-family: inherit !important; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; font-size: .9rem; max-width: 60rem; }
dt { color: var(--faint); } dd { margin: 0; }
details { margin-top: .75rem; } summary { cursor: pointer; color: var(--accent); }
"""


def page(report):
    """The report as one HTML page."""
    e = html.escape
    task, rungs = report["task"], report["rungs"]
    done = [rung for rung in rungs if rung["seeds"]]
    seeds = len(report["seeds"])
    rows = task["rows"]
    parts = [
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Optimization ladder: {e(task['name'])}"
        "</title><meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<style>{STYLE}</style></head><body>",
        f"<h1>Optimization ladder: {e(task['name'])}</h1><p>{e(task['about'])}</p>",
        f"<p class='faint'>Every rung trains for {_count(report['epochs'], 'epoch')} with {_count(seeds, 'seed')}"
        f"{'; numbers are means, ± the standard deviation over the seeds' if seeds > 1 else ''}. "
        f"{_resolution(task)} {e(report['learning_rates_from'] or '')}</p>",
    ]
    if report["status"] != "complete":
        why = "the run was interrupted from the keyboard" if report["status"] == "interrupted" else "the run goes on"
        last = f"; {len(done)} of {report['planned']} rungs are here" if done else "; no rung was finished"
        parts.append(f"<p class='partial'><strong>Partial report:</strong> {why}{last}.</p>")
    if report["findings"]:
        parts.append("<ul class='findings'>" + "".join(f"<li>{e(line)}</li>" for line in report["findings"]) + "</ul>")
    if rungs:
        parts.append(f"<h2>The ladder</h2>{_table(report)}")
    if done:
        parts += [
            f"<h2>Test accuracy</h2>{charts.ladder(report)}",
            f"<h2>Validation accuracy over the epochs</h2>{charts.accuracy_over_epochs(report)}",
            f"<h2>Size and accuracy</h2>{charts.size_and_accuracy(report)}",
        ]
    parts.append("<h2>What each rung does</h2>" + _rungs(rungs) if rungs else "")
    machine, versions = report["machine"], report["versions"]
    parts.append(
        "<h2>How it was measured</h2><dl>"
        f"<dt>rows</dt><dd>{rows['train']:,} to train, {rows['validation']:,} to validate, {rows['test']:,} to test. "
        "The test rows are read once, after training.</dd>"
        "<dt>accuracy, loss</dt><dd>of the Keras model on the test rows</dd>"
        f"<dt>to {100 * task['target']:g} %</dt><dd>first epoch whose validation accuracy is at least the target; "
        "seconds from the start of <code>fit</code> to its end, graph building included</dd>"
        "<dt>parameters ... LiteRT ms</dt><dd>of the exported LiteRT file; one row a call, one thread</dd>"
        "<dt>speed vs float32</dt><dd>against the same network exported in float32, the two timed in turns</dd>"
        f"<dt>machine</dt><dd>{e(machine['processor'])}, {_count(machine['cores'], 'core')}, "
        f"{e(machine['system'])}</dd>"
        f"<dt>versions</dt><dd>{e(', '.join(f'{name} {version}' for name, version in versions.items()))}</dd>"
        f"<dt>run</dt><dd>{e(report['started'])}, {report['seconds']:.0f} s, {report['cpu_seconds']:.0f} s of CPU</dd>"
        "</dl></body></html>"
    )
    return "\n".join(parts)


def _table(report):
    first, *rest = headings(report)
    head = f"<th class='title'>{first}</th>" + "".join(f"<th>{html.escape(text)}</th>" for text in rest)
    body = []
    for rung in report["rungs"]:
        key = f"<span class='key' style='background: var(--rung{rung['number']})'></span>"
        title = f"<td class='title'>{key}{rung['number']} {html.escape(rung['title'])}</td>"
        if rung["skipped"]:
            columns = f"<td class='reason' colspan='{len(rest)}'>not done: {html.escape(rung['skipped'])}</td>"
        else:
            columns = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells(rung))
        body.append(f"<tr>{title}{columns}</tr>")
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"


def _rungs(rungs):
    rows = []
    for rung in rungs:
        options = "".join(f", {name}={value}" for name, value in rung["options"].items())
        rate = "" if rung["learning_rate"] is None else f"learning rate {rung['learning_rate']:g}"
        rows.append(
            f"<dt>{rung['number']} {html.escape(rung['title'])}</dt><dd>{html.escape(rung['adds'])} "
            f"<span class='faint'>{rung['optimizer']}, {rate}{options}</span></dd>"
        )
    return f"<dl>{''.join(rows)}</dl>"


def _resolution(task):
    return f"One test {task['unit']} of {task['test_units']:,} is {100 / task['test_units']:.2g} points of accuracy."


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
