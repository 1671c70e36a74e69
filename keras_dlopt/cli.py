"""`keras-dlopt`: the command line.

A command is a function that adds its arguments to a parser and returns what runs: `run(arguments) -> exit code`.
`@command` registers it under the function's name. Imports of Keras stay inside `run`, so that `--help` is quick.
"""

import argparse
import importlib.metadata
import os
import re
import sys
import time

COMMANDS = {}
INTERRUPTED = 130


class Refused(Exception):
    """Ends a command with exit code 2 and this one line."""


def command(help):
    """Registers a command; `help` is its line in `keras-dlopt --help`."""

    def register(function):
        COMMANDS[function.__name__.replace("_", "-")] = (function, help)
        return function

    return register


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (`{self.prog} --help` lists the arguments)\n")


def make_parser():
    """The parser of the whole command line."""
    parser = _Parser("keras-dlopt", description="The optimisation suite for Keras 3.")
    parser.add_argument(
        "--version", action="version", version=f"keras-dlopt {importlib.metadata.version('keras-dlopt')}"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    for name, (configure, help) in COMMANDS.items():
        sub = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        sub.set_defaults(run=configure(sub), prog=sub.prog)
    return parser


def main(argv=None):
    """Runs `keras-dlopt`.

    Args:
        argv: the arguments; those of the process by default.

    Returns:
        The exit code: 0, 2 for arguments that cannot be used, 130 after Ctrl-C.
    """
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if "run" not in arguments:
        parser.print_help()
        return 0
    try:
        return arguments.run(arguments)
    except Refused as refused:
        print(f"{arguments.prog}: {refused}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{arguments.prog}: interrupted", file=sys.stderr)
        return INTERRUPTED


@command("train an optimization ladder on a real task, from gradient descent to a pruned int8 model, with a report")
def demo(parser):
    add = parser.add_argument
    add("--task", choices=("digits", "text"), default="digits", help="what to learn (default: digits)")
    add("--data", choices=IMAGES, help="images for --task digits, downloaded once (default: scikit-learn's digits)")
    add("--seeds", type=_count, default=1, metavar="N", help="how often to train every rung (default: 1)")
    add("--epochs", type=_count, metavar="N", help="budget of every rung (default: the task's)")
    add("--rungs", default="1-10", metavar="LIST", help="such as 5,6,8-10, and what those build on (default: 1-10)")
    add("--rows", type=_count, metavar="N", help="use only the first N rows of each part: a quick look")
    add("--tune", action="store_true", help="first search the learning rates anew: ten times as long")
    add("--out", default="runs/demo", metavar="FOLDER", help="where the report goes (default: runs/demo)")

    def run(arguments):
        started = time.perf_counter()
        if arguments.task == "text" and arguments.data:
            raise Refused(f"--data {arguments.data} does not go with --task text, which reads Python's own sources")
        _import_keras_quietly()
        _need_tensorflow()
        from keras_dlopt import demo

        try:
            report = demo.run(
                arguments.data or arguments.task,
                rungs=arguments.rungs,
                seeds=arguments.seeds,
                epochs=arguments.epochs,
                rows=arguments.rows,
                out=arguments.out,
                tune=arguments.tune,
                started=started,
            )
        except demo.Unavailable as reason:
            raise Refused(str(reason)) from reason
        return 0 if report["status"] == "complete" else INTERRUPTED

    return run


@command("list the optimizers: paper, bytes of state, default learning rate, what each is tested against")
def optimizers(parser):
    parser.add_argument("--family", metavar="NAME", help='only these, such as "drop-in" (default: all)')
    parser.add_argument("--markdown", action="store_true", help="as a Markdown table, as in docs/optimizers.md")

    def run(arguments):
        _import_keras_quietly()
        from rich import box, console, table

        from keras_dlopt.optimizers.table import TABLE, WRAPPERS

        rows = [*TABLE.values(), *WRAPPERS.values()]
        families = list(dict.fromkeys(row.family for row in rows))
        if arguments.family not in (None, *families):
            raise Refused(f"--family must be one of {', '.join(families)}. Received: {arguments.family!r}")
        listed = table.Table(box=box.MARKDOWN if arguments.markdown else None, pad_edge=False, header_style="bold")
        for title in ("name", "family", "paper", "bytes a parameter", "learning rate", "tested against"):
            listed.add_column(title, justify="right" if title in ("bytes a parameter", "learning rate") else "left")
        for row in rows:
            if arguments.family in (None, row.family):
                rate = "the inner one's" if row.name in WRAPPERS else f"{row.learning_rate:g}"
                listed.add_row(row.name, row.family, row.paper, f"{row.state_bytes:g}", rate, row.tested_against)
        out = console.Console()
        out.width = out.measure(listed, options=out.options.update(max_width=1000)).maximum  # cells are never cut
        out.print(listed)
        return 0

    return run


IMAGES = ("digits", "mnist", "fashion_mnist", "cifar10")


def _count(text):
    if not re.fullmatch("[0-9]+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number >= 1. Received: {text!r}")
    return int(text)


def _import_keras_quietly():
    """Imports Keras and its backend without the native libraries' start-up lines; errors are Python's and stay."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.config.list_physical_devices()  # looks for GPUs, and says what it does not find
            tf.get_logger().setLevel("ERROR")  # warns of retracing, once many models have been trained
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _need_tensorflow():
    import keras

    if keras.backend.backend() != "tensorflow":
        raise Refused(f"needs Keras on TensorFlow, not on {keras.backend.backend()}: set KERAS_BACKEND=tensorflow")


if __name__ == "__main__":
    sys.exit(main())
