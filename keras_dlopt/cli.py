"""`keras-dlopt`: the command line. Each command is a file of `keras_dlopt.commands`."""

import importlib.metadata
import sys

import keras_dlopt.commands  # noqa: F401  (registers them)
from keras_dlopt.commands.command import COMMANDS, INTERRUPTED, Parser, Refused, add_commands


def make_parser():
    """The parser of the whole command line."""
    parser = Parser("keras-dlopt", description="The optimisation suite for Keras 3.")
    parser.add_argument(
        "--version", action="version", version=f"keras-dlopt {importlib.metadata.version('keras-dlopt')}"
    )
    add_commands(parser, COMMANDS)
    return parser


def main(argv=None):
    """Runs `keras-dlopt`.

    Args:
        argv: the arguments; those of the process by default.

    Returns:
        The exit code: 0, 1 for a model that a preflight refuses, 2 for arguments that cannot be used, 130 after Ctrl-C.
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


if __name__ == "__main__":
    sys.exit(main())
