"""What every command needs: its place on the command line, how it refuses, tables, types of arguments.

A command is a function that adds its arguments to a parser and returns what runs: `run(arguments) -> exit code`.
`@command` registers it under the function's name. Imports of Keras stay inside `run`, so that `--help` is quick.
"""

import argparse
import os
import re
import sys

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


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (`{self.prog} --help` lists the arguments)\n")


def add_commands(parser, commands):
    """Gives a parser its commands: a dictionary of (function, line of help) by name."""
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for name, (configure, help) in commands.items():
        sub = subparsers.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        sub.set_defaults(run=configure(sub), prog=sub.prog)


def table(*titles, markdown=False):
    """A table of rich; a title with ">" at its end has its column to the right."""
    from rich import box
    from rich.table import Table

    listed = Table(box=box.MARKDOWN if markdown else None, pad_edge=False, header_style="bold")
    for title in titles:
        listed.add_column(title.removesuffix(">"), justify="right" if title.endswith(">") else "left")
    return listed


def print_uncut(listed):
    """Prints a table whose cells are never cut, however narrow the terminal."""
    from rich import console

    out = console.Console(highlight=False, markup=False)
    out.width = out.measure(listed, options=out.options.update(max_width=1000)).maximum
    out.print(listed)


def count(text):
    """Type of an argument: a whole number from 1."""
    if not re.fullmatch("[0-9]+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number >= 1. Received: {text!r}")
    return int(text)


def share(text):
    """Type of an argument: a share between 0 and 1."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"must be a share in (0, 1). Received: {text!r}")
    return share


def import_keras_quietly():
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


def need_tensorflow():
    """Refuses another backend than TensorFlow."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise Refused(f"needs Keras on TensorFlow, not on {keras.backend.backend()}: set KERAS_BACKEND=tensorflow")
