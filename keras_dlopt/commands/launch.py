"""`keras-dlopt launch`: several workers on this machine."""

import argparse
import os
import sys

from keras_dlopt.commands.command import Refused, command, count


@command("run a training script in several worker processes on this machine")
def launch(parser):
    add = parser.add_argument
    add("--workers", type=count, default=2, metavar="N", help="number of processes (default: 2)")
    add("-m", dest="module", action="store_true", help="SCRIPT is the name of a module")
    add("script", metavar="SCRIPT", help="the script, which calls keras_dlopt.distribute.strategy()")
    add("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments")

    def run(arguments):
        from keras_dlopt.distribute import launch

        if not arguments.module and not os.path.isfile(arguments.script):
            raise Refused(f"SCRIPT must be a file. Received: {arguments.script!r}")
        script = ["-m", arguments.script] if arguments.module else [arguments.script]
        try:
            code = launch.launch([sys.executable, *script, *arguments.arguments], arguments.workers)
        except ValueError as reason:
            raise Refused(str(reason)) from reason
        if code == launch.BROKEN_PIPE:  # Python would say at its end that it cannot write
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code

    return run
