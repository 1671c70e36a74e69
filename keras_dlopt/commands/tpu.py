"""`keras-dlopt tpu`: what is known of the slices."""

import re
import sys

from keras_dlopt.commands.command import Refused, add_commands, command, print_uncut, table


@command("TPU slices: list them, show one with its sources, print the gcloud command that creates or reaches it")
def tpu(parser):
    add_commands(
        parser,
        {
            "list": (_tpu_list, "list the slices: chips, machines, memory, peak, the compiler's name"),
            "show": (_tpu_show, "show all that is known of a slice, and where each figure comes from"),
            "command": (_tpu_command, "print a gcloud command for a slice, ready to be pasted into a shell"),
        },
    )
    return lambda arguments: parser.print_help() or 0


def _tpu_list(parser):
    parser.add_argument("--family", metavar="NAME", help='only these, such as "v5e" (default: all)')
    parser.add_argument("--markdown", action="store_true", help="as a Markdown table")

    def run(arguments):
        from keras_dlopt import tpu_configs

        slices = [tpu_configs.load(name) for name in tpu_configs.names()]
        families = dict.fromkeys(found.family for found in slices)
        if arguments.family not in (None, *families):
            raise Refused(f"--family must be one of {', '.join(families)}. Received: {arguments.family!r}")
        listed = table(
            *("name", "chips>", "hosts>", "VMs>", "HBM, GiB>", "bf16 TFLOP/s>", "topology"),
            markdown=arguments.markdown,
        )
        for found in slices:
            if arguments.family in (None, found.family):
                counts = (found.chips, found.hosts, found.vms, found.hbm_total_gib, found.peak_total_tflops)
                listed.add_row(found.name, *(f"{n:.10g}" for n in counts), found.topology)
        print_uncut(listed)
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
