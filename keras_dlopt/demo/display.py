"""What the demo shows while it runs, and its table."""

from keras_dlopt.demo.summary import mean

WIDTH_WITHOUT_TERMINAL = 160


class Display:
    """A progress bar, and a line for each finished rung; without a terminal, the lines alone.

    Args:
        epochs: budget of a rung.
        total: epochs of all rungs and seeds.
        console: a `rich.console.Console`; by default one on standard output.
    """

    def __init__(self, epochs, total, console=None):
        from rich import console as consoles
        from rich import progress

        self.console = console or consoles.Console(highlight=False)
        if not self.console.is_terminal:
            self.console = consoles.Console(file=self.console.file, width=WIDTH_WITHOUT_TERMINAL, highlight=False)
        self.bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=20),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[metrics]}", markup=False),
            progress.TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.epochs = epochs
        self.all = self.bar.add_task("", total=total, metrics="")

    def __enter__(self):
        self.bar.start()
        return self

    def __exit__(self, *error):
        self.bar.stop()

    def say(self, text):
        self.console.print(text, markup=False, soft_wrap=True)

    def trial(self, rung, rate, accuracy):
        """A trial of the search for learning rates."""
        self.say(
            f"{rung.number:>2} {rung.title:<28} learning rate {rate:<8g} validation accuracy {100 * accuracy:.2f} %"
        )

    def begin(self, rung, seed):
        self.bar.update(self.all, description=f"{rung.number:>2} {rung.title}, seed {seed}", metrics="")

    def epoch(self, epoch, metrics):
        shown = f"epoch {epoch + 1}/{self.epochs}, validation accuracy {100 * metrics['val_accuracy']:.1f} %"
        self.bar.update(self.all, advance=1, metrics=shown)

    def finished(self, rung):
        """A rung as it stands in the report, with all its seeds or skipped."""
        if rung["skipped"]:
            self.bar.advance(self.all, self.epochs)
            return self.say(f"{rung['number']:>2} {rung['title']:<28} not done: {rung['skipped']}")
        seeds = "" if len(rung["seeds"]) == 1 else f", mean of {len(rung['seeds'])} seeds"
        self.say(
            f"{rung['number']:>2} {rung['title']:<28} test accuracy {percent(rung, 'accuracy'):<14} "
            f"{rung['epochs']} epochs in {mean(rung, 'seconds'):.1f} s{seeds}"
        )

    def table(self, report):
        self.console.print(table(report))
        for rung in report["rungs"]:
            if rung["skipped"]:
                self.say(f"Rung {rung['number']} was not done: {rung['skipped']}")


def table(report):
    """The ladder as a `rich.table.Table`."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    first, *rest = headings(report)
    made.add_column(first, min_width=24)
    for heading in rest:
        made.add_column(heading, justify="right", no_wrap=True)
    for rung in report["rungs"]:
        made.add_row(f"{rung['number']:>2} {rung['title']}", *cells(rung))
    return made


def headings(report):
    """The table's headings, here and on the page."""
    target = f"{100 * report['task']['target']:g} %"
    return [
        "rung", "test\naccuracy", "loss", "epochs", f"epochs\nto {target}", f"seconds\nto {target}", "parameters",
        "non-zeros", "bytes", "gzip\nbytes", "LiteRT\nms", "speed vs\nfloat32",
    ]  # fmt: skip


def cells(rung):
    """What stands under the headings after the first, as text."""
    if not rung["seeds"]:
        return ["not done" if rung["skipped"] else "..."] + [""] * 10
    before = f"{rung['epochs_before']} + " if rung["epochs_before"] else ""
    return [
        percent(rung, "accuracy"),
        f"{mean(rung, 'loss'):.3f}",
        f"{before}{rung['epochs']}",
        _to_target(rung, "epochs_to_target", "{:.3g}"),
        _to_target(rung, "seconds_to_target", "{:.1f}"),
        *(f"{mean(rung, column):,.0f}" for column in ("parameters", "nonzeros", "bytes", "gzip_bytes")),
        f"{mean(rung, 'milliseconds'):.3f}",
        f"{mean(rung, 'faster_than_float32'):.2f}x",
    ]


def percent(rung, column):
    value = rung["summary"][column]
    spread = "" if value["deviation"] is None else f" ± {100 * value['deviation']:.2f}"
    return f"{100 * value['mean']:.2f}{spread} %"


def _to_target(rung, column, form):
    """The mean over the seeds that got there, and how many those are unless all."""
    value, seeds = rung["summary"][column], len(rung["seeds"])
    if not value["of"]:
        return "never"
    return form.format(value["mean"]) + ("" if value["of"] == seeds else f" ({value['of']} of {seeds})")
