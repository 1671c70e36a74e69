"""`keras-dlopt`: the command line.

A command is a function that adds its arguments to a parser and returns what runs: `run(arguments) -> exit code`.
`@command` registers it under the function's name. Imports of Keras stay inside `run`, so that `--help` is quick.
"""

import argparse
import importlib
import importlib.metadata
import json
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
    _add_commands(parser, COMMANDS)
    return parser


def _add_commands(parser, commands):
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    for name, (configure, help) in commands.items():
        sub = subparsers.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        sub.set_defaults(run=configure(sub), prog=sub.prog)


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


@command("check a recipe of callbacks, or print the JSON schema of recipes")
def recipe(parser):
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("path", nargs="?", metavar="FILE", help="a YAML file: `callbacks: [...]`")
    which.add_argument("--schema", action="store_true", help="print the schema")

    def run(arguments):
        _import_keras_quietly()
        import json

        from keras_dlopt import callbacks

        if arguments.schema:
            print(json.dumps(callbacks.recipe_schema(), indent=1))
            return 0
        try:
            made = callbacks.from_recipe(arguments.path)
        except (OSError, ValueError) as error:
            raise Refused(str(error)) from error
        print("\n".join(type(callback).__name__ for callback in made))
        return 0

    return run


@command("list the optimizers: paper, bytes of state, default learning rate, what each is tested against")
def optimizers(parser):
    parser.add_argument("--family", metavar="NAME", help='only these, such as "drop-in" (default: all)')
    parser.add_argument("--markdown", action="store_true", help="as a Markdown table, as in docs/optimizers.md")

    def run(arguments):
        _import_keras_quietly()

        from keras_dlopt.optimizers.table import TABLE, WRAPPERS

        rows = [*TABLE.values(), *WRAPPERS.values()]
        families = list(dict.fromkeys(row.family for row in rows))
        if arguments.family not in (None, *families):
            raise Refused(f"--family must be one of {', '.join(families)}. Received: {arguments.family!r}")
        listed = _table(
            *("name", "family", "paper", "bytes a parameter>", "learning rate>", "tested against"),
            markdown=arguments.markdown,
        )
        for row in rows:
            if arguments.family in (None, row.family):
                rate = "the inner one's" if row.name in WRAPPERS else f"{row.learning_rate:g}"
                listed.add_row(row.name, row.family, row.paper, f"{row.state_bytes:g}", rate, row.tested_against)
        _print_uncut(listed)
        return 0

    return run


@command("prune and quantize a saved model, and report sizes, speed and accuracy before and after")
def compress(parser):
    add = parser.add_argument
    add("model", metavar="MODEL", help="a .keras file of a compiled model")
    add("--data", required=True, metavar="FILE", help=".npz with x and y, and x_test and y_test to score on")
    add("--prune", type=_share, metavar="SHARE", help="share of weights to zero, such as .8")
    add("--quantize", choices=("int8", "dynamic", "float16"), help="int8 is trained for, the others are not")
    add("--epochs", type=_count, default=5, metavar="N", help="of training, for each of the two (default: 5)")
    add("--learning-rate", type=float, default=1e-4, metavar="RATE", help="of Adam there (default: 1e-4)")
    add("--out", default="runs/compress", metavar="FOLDER", help="where the files go (default: runs/compress)")

    def run(arguments):
        for file in (arguments.model, arguments.data):
            if not os.path.isfile(file):
                raise Refused(f"there is no file {file!r}")
        if arguments.prune is None and arguments.quantize is None:
            raise Refused("nothing to do: give --prune, --quantize, or both")
        _import_keras_quietly()
        _need_tensorflow()
        from keras_dlopt import compress_command

        try:
            report = compress_command.run(
                arguments.model,
                arguments.data,
                arguments.out,
                prune=arguments.prune,
                quantize=arguments.quantize,
                epochs=arguments.epochs,
                learning_rate=arguments.learning_rate,
            )
        except (ValueError, OSError) as reason:
            raise Refused(str(reason)) from reason
        print(report)
        print(f"Written to {arguments.out}: before.tflite, after.tflite, after.keras, report.json, report.png")
        return 0

    return run


@command("compile a model for a TPU, without one: whether its training fits, what it uses, what a TPU does not like")
def preflight(parser):
    add = parser.add_argument
    add("model", metavar="MODULE:FUNCTION", help="a function without arguments that returns a compiled Keras model")
    add("--batch", type=_count, required=True, metavar="N", help="the global batch")
    add("--topology", default="v5e-8", metavar="SLICE", help="`keras-dlopt tpu list` shows all (default: v5e-8)")
    add("--compare", nargs="+", metavar="SLICE", help="several slices, as a table, in place of --topology")
    add("--find-batch", action="store_true", help="look for the largest batch that fits, starting from --batch")
    add("--no-predict", action="store_true", help="compile the training step alone")
    add("--json", metavar="FILE", help="write all figures there, too")

    def run(arguments):
        _import_keras_quietly()
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


@command("TPU slices: list them, show one with its sources, print the gcloud command that creates or reaches it")
def tpu(parser):
    _add_commands(
        parser,
        {
            "list": (_tpu_list, "list the slices: chips, machines, memory, peak, the compiler's name"),
            "show": (_tpu_show, "show all that is known of a slice, and where each figure comes from"),
            "command": (_tpu_command, "print a gcloud command for a slice, ready to be pasted into a shell"),
        },
    )
    return lambda arguments: parser.print_help() or 0


@command("run a training script in several worker processes on this machine")
def launch(parser):
    add = parser.add_argument
    add("--workers", type=_count, default=2, metavar="N", help="number of processes (default: 2)")
    add("-m", dest="module", action="store_true", help="SCRIPT is the name of a module")
    add("script", metavar="SCRIPT", help="the script, which calls keras_dlopt.distribute.strategy()")
    add("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments")

    def run(arguments):
        from keras_dlopt.distribute import launch

        if not arguments.module and not os.path.isfile(arguments.script):
            raise Refused(f"SCRIPT must be a file. Received: {arguments.script!r}")
        script = ["-m", arguments.script] if arguments.module else [arguments.script]
        return launch.launch([sys.executable, *script, *arguments.arguments], arguments.workers)

    return run


def _tpu_list(parser):
    parser.add_argument("--family", metavar="NAME", help='only these, such as "v5e" (default: all)')
    parser.add_argument("--markdown", action="store_true", help="as a Markdown table")

    def run(arguments):
        from keras_dlopt import tpu_configs

        slices = [tpu_configs.load(name) for name in tpu_configs.names()]
        families = dict.fromkeys(found.family for found in slices)
        if arguments.family not in (None, *families):
            raise Refused(f"--family must be one of {', '.join(families)}. Received: {arguments.family!r}")
        listed = _table(
            *("name", "chips>", "hosts>", "VMs>", "HBM, GiB>", "bf16 TFLOP/s>", "topology"),
            markdown=arguments.markdown,
        )
        for found in slices:
            if arguments.family in (None, found.family):
                counts = (found.chips, found.hosts, found.vms, found.hbm_total_gib, found.peak_total_tflops)
                listed.add_row(found.name, *(f"{n:.10g}" for n in counts), found.topology)
        _print_uncut(listed)
        return 0

    return run


def _tpu_show(parser):
    parser.add_argument("slice", metavar="SLICE", help="such as v5e-8 (`keras-dlopt tpu list` shows all)")

    def run(arguments):
        found = _load_slice(arguments.slice)
        numbers = {}  # of the sources, in the order in which they are first named

        def cited(field):
            return " ".join(f"[{numbers.setdefault(s, len(numbers) + 1)}]" for s in found.sources.get(field, ()))

        rows = [(title, cited(field), text) for title, text, field in _tpu_figures(found)]
        titles, citations = (max(map(len, column)) for column in list(zip(*rows, strict=True))[:2])
        print(f"{found.name}: the number counts {found.counts}")
        for title, citation, text in rows:
            print(f"{title:<{titles}}  {citation:<{citations}}  {text}")
        for note in found.notes:
            print(f"note: {note}")
        for source, number in numbers.items():
            print(f"[{number}] {source.title}: {source.url}")
        return 0

    return run


def _tpu_figures(found):
    """Title, text and field of all that `tpu show` shows."""
    yield "accelerator type", found.accelerator_type, "accelerator_type"
    yield "topology, for the compiler", found.topology, "topology"
    yield "chips", f"{found.chips}", "chips"
    yield "TensorCores", f"{found.cores}", "cores"
    yield "hosts", f"{found.hosts}", "hosts"
    yield "virtual machines", f"{found.vms}", "vms"
    yield "memory", f"{found.hbm_total_gib:g} GiB, {found.hbm_gib:g} a chip", "hbm_gib"
    devices = f"{found.compiler_devices} device" + "s" * (found.compiler_devices > 1)
    yield "the compiler sees", devices, "compiler_devices"
    yield "and lets a program use", f"{found.compiler_hbm_gib:g} GiB a device", "compiler_hbm_gib"
    yield "memory bandwidth", f"{found.bandwidth_gb_per_s:g} GB/s a chip", "bandwidth_gb_per_s"
    peak = f"{found.peak_total_tflops:.10g} TFLOP/s, {found.peak_bf16_tflops:g} a chip"
    yield "peak bfloat16", peak, "peak_bf16_tflops"
    yield "interconnect", found.interconnect, "interconnect"
    ici = f"{found.ici_gb_per_s:g} GB/s a chip" if found.ici_gb_per_s else "no source states it"
    yield "its bandwidth, both ways", ici, "ici_gb_per_s"
    yield "largest system", f"{found.pod_chips} chips" if found.pod_chips else "no source states it", "pod_chips"
    yield "zones", ", ".join(found.zones), "zones"
    yield "frameworks", ", ".join(found.frameworks), "frameworks"
    for framework, runtime in found.runtimes.items():
        yield f"runtime, {framework}", runtime, "runtimes"
    if found.no_commands:
        yield "commands", f"none: {found.no_commands}", "no_commands"
    for what, template in found.commands.items():
        yield what, template, "commands"


def _tpu_command(parser):
    from keras_dlopt import tpu_configs  # light: no YAML is read yet

    add = parser.add_argument
    add("slice", metavar="SLICE", help="such as v5e-8 (`keras-dlopt tpu list` shows all)")
    add("--name", required=True, help="what the slice is, or will be, called")
    add("--zone", required=True, help="such as us-west4-a (`keras-dlopt tpu show SLICE` lists them)")
    add("--project", metavar="ID", help="the cloud project (default: gcloud's own)")
    add("--what", choices=tpu_configs.COMMANDS, default="create", help="which command (default: create)")
    add("--runtime", choices=("tf", "jax"), help="software of the machines (default: the first that `show` lists)")
    add("--spot", action="store_true", help="cheaper, and may be taken away (with create and queued)")
    add("--run", dest="remote", metavar="COMMAND", help="a shell command for all machines (with --what ssh)")

    def run(arguments):
        found = _load_slice(arguments.slice)
        optional = {key: getattr(arguments, key) for key in ("project", "runtime", "spot")}
        try:
            line = found.command(arguments.what, arguments.name, arguments.zone, run=arguments.remote, **optional)
        except ValueError as error:
            raise Refused(re.sub(r"^`[^`]*\((\w+)=\.\.\.\)`", r"--\1", str(error))) from error
        if arguments.zone not in found.zones:
            known = f"{found.name} is not known to be in {arguments.zone}, but in {', '.join(found.zones)}"
            print(f"{arguments.prog}: warning: {known}", file=sys.stderr)
        print(line)
        return 0

    return run


def _load_slice(name):
    from keras_dlopt import tpu_configs

    try:
        return tpu_configs.load(name)
    except ValueError as error:
        raise Refused(str(error).replace("`load(name=...)`", "SLICE").replace("name=", "")) from error


def _table(*titles, markdown=False):
    """A table of rich; a title with ">" at its end has its column to the right."""
    from rich import box, table

    listed = table.Table(box=box.MARKDOWN if markdown else None, pad_edge=False, header_style="bold")
    for title in titles:
        listed.add_column(title.removesuffix(">"), justify="right" if title.endswith(">") else "left")
    return listed


def _print_uncut(listed):
    """Prints a table whose cells are never cut, however narrow the terminal."""
    from rich import console

    out = console.Console(highlight=False, markup=False)
    out.width = out.measure(listed, options=out.options.update(max_width=1000)).maximum
    out.print(listed)


IMAGES = ("digits", "mnist", "fashion_mnist", "cifar10")


def _count(text):
    if not re.fullmatch("[0-9]+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number >= 1. Received: {text!r}")
    return int(text)


def _share(text):
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"must be a share in (0, 1). Received: {text!r}")
    return share


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
