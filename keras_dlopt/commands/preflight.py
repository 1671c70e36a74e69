"""`keras-dlopt preflight`: a model through the TPU's compiler."""

import importlib
import json
import os
import sys

from keras_dlopt.commands.command import Refused, command, count, import_keras_quietly


@command("compile a model for a TPU, without one: whether its training fits, what it uses, what a TPU does not like")
def preflight(parser):
    add = parser.add_argument
    add("model", metavar="MODULE:FUNCTION", help="a function without arguments that returns a compiled Keras model")
    add("--batch", type=count, required=True, metavar="N", help="the global batch")
    add("--topology", default="v5e-8", metavar="SLICE", help="`keras-dlopt tpu list` shows all (default: v5e-8)")
    add("--compare", nargs="+", metavar="SLICE", help="several slices, as a table, in place of --topology")
    add("--find-batch", action="store_true", help="look for the largest batch that fits, starting from --batch")
    add("--no-predict", action="store_true", help="compile the training step alone")
    add("--json", metavar="FILE", help="write all figures there, too")

    def run(arguments):
        import_keras_quietly()
        from keras_dlopt import distribute
        from keras_dlopt.atomic import replacing

        try:
            found = distribute.preflight(
                _made_by(arguments.model),
                arguments.batch,
                arguments.topology,
                compare=arguments.compare,
                find_batch=arguments.find_batch,
                predict=not arguments.no_predict,
            )
        except (ValueError, ImportError) as reason:
            raise Refused(str(reason)) from reason
        print(found)
        reports = found if arguments.compare else [found]
        if arguments.json:
            with replacing(arguments.json) as temporary, open(temporary, "w") as file:
                json.dump([report.as_dict() for report in reports], file, indent=1)
        return 0 if all(report.compiles for report in reports) else 1

    return run


def _made_by(name):
    """Calls the function that the user named, from the folder that the command runs in."""
    module, _, function = name.partition(":")
    if not function:
        raise Refused(f"MODULE:FUNCTION must be such as train:build_model. Received: {name!r}")
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), function)()
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise Refused(f"MODULE:FUNCTION: there is no module {module!r} in {os.getcwd()} or on Python's path") from None
    except AttributeError as error:
        if error.name != function:
            raise
        raise Refused(f"MODULE:FUNCTION: {module!r} has no function {function!r}") from None
