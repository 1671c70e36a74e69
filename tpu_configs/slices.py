"""What is known of one slice, and the commands made from it."""

import dataclasses
import re
import shlex
import string

from keras_dlopt.arguments import check_choice, invalid

COMMANDS = ("create", "queued", "ssh", "delete", "delete-queued")
FIELDS = ("name", "zone", "accelerator_type", "runtime", "project", "spot", "run")  # of the commands' templates
_NAME = "[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
ZONE = "[a-z]+-[a-z]+[0-9]+-[a-z0-9]+"


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a figure comes from.

    Attributes:
        title: of the page, paper or program.
        url: where it is found.
    """

    title: str
    url: str


@dataclasses.dataclass(frozen=True)
class Slice:
    """What one TPU slice is.

    A name's number counts what the vendor counts: chips for v5e and v6e, TensorCores for all others, of which a chip
    has two. So "v5e-8" has eight chips and "v4-8" has four.

    Attributes:
        name: family and number of chips or cores, e.g. "v5e-8".
        family: the TPU generation.
        counts: what the number in the name counts, "chips" or "cores".
        accelerator_type: the vendor's name of the slice, e.g. "v5litepod-8".
        topology: the compiler's name of the slice, e.g. "v5e:2x4".
        chips: number of chips.
        cores: number of TensorCores.
        hosts: number of machines that the chips stand in; a part of a machine counts as one.
        vms: number of virtual machines that reach the slice, each with a process of its own.
        hbm_gib: memory a chip, GiB, as the vendor states it.
        bandwidth_gb_per_s: memory bandwidth a chip.
        peak_bf16_tflops: peak bfloat16 arithmetic a chip, TFLOP/s.
        interconnect: how the chips are connected.
        ici_gb_per_s: bandwidth of that connection a chip, both directions; None where no source states it.
        pod_chips: chips in the largest system; None where no source states it.
        compiler_devices: devices that the compiler makes of the slice: its chips, or their cores.
        compiler_hbm_gib: memory that the compiler lets a program use on one of those devices, GiB.
        zones: where the slice can be had, as far as the vendor's pages showed.
        frameworks: what runs on it, "tf" or "jax", the preferred one first.
        runtimes: the virtual machines' software version for each framework; empty where there are no commands.
        commands: templates of gcloud commands; empty where gcloud has none, as `no_commands` says.
        no_commands: why there are no commands, or None.
        notes: what else is to be known.
        sources: for each figure, where it comes from.
    """

    name: str
    family: str
    counts: str
    accelerator_type: str
    topology: str
    chips: int
    cores: int
    hosts: int
    vms: int
    hbm_gib: float
    bandwidth_gb_per_s: float
    peak_bf16_tflops: float
    interconnect: str
    ici_gb_per_s: float | None
    pod_chips: int | None
    compiler_devices: int
    compiler_hbm_gib: float
    zones: tuple[str, ...]
    frameworks: tuple[str, ...]
    runtimes: dict[str, str] = dataclasses.field(hash=False)
    commands: dict[str, str] = dataclasses.field(hash=False)
    no_commands: str | None
    notes: tuple[str, ...]
    sources: dict[str, tuple[Source, ...]] = dataclasses.field(hash=False)

    @property
    def hbm_total_gib(self):
        """Memory of the whole slice, GiB."""
        return self.chips * self.hbm_gib

    @property
    def peak_total_tflops(self):
        """Peak bfloat16 arithmetic of the whole slice, TFLOP/s."""
        return self.chips * self.peak_bf16_tflops

    def command(self, what, name, zone, project=None, runtime=None, spot=False, run=None):
        """A gcloud command for this slice, quoted for a shell.

        Args:
            what: "create" asks for the slice now, "queued" waits in line for it, "ssh" opens a shell on its first
                machine, "delete" and "delete-queued" give it back.
            name: what the slice is or will be called: up to 63 lower-case letters, digits and hyphens, a letter first
                and no hyphen last. A queued request gets the same name.
            zone: e.g. "us-west4-a". Zones that `zones` lacks are taken as well.
            project: the cloud project; gcloud's own default if None.
            runtime: "tf" or "jax": which software the machines start with. By default the first of `frameworks`.
            spot: whether to ask for a slice that is cheaper and may be taken away; with "create" and "queued".
            run: a shell command to run on all machines instead of opening a shell; with "ssh".

        Raises:
            ValueError: for an argument that cannot be used, or where gcloud has no such command.

        Example:

        >>> from keras_dlopt import tpu_configs
        >>> tpu_configs.load("v5e-8").command("ssh", "mine", "us-west4-a", run="python train.py")
        "gcloud compute tpus tpu-vm ssh mine --zone=us-west4-a --worker=all '--command=python train.py'"
        """
        check_choice(self.name, "what", what, COMMANDS)
        if not self.commands:
            raise ValueError(f"`{self.name}` has no gcloud command to {what} it: {self.no_commands}")
        if not isinstance(name, str) or not re.fullmatch(_NAME, name):
            accepted = "up to 63 lower-case letters, digits and hyphens, a letter first and no hyphen last"
            raise invalid(self.name, "name", name, accepted)
        if not isinstance(zone, str) or not re.fullmatch(ZONE, zone):
            raise invalid(self.name, "zone", zone, f"a zone such as {self.zones[0]!r}")
        if project is not None and (not isinstance(project, str) or not project.strip() or not project.isprintable()):
            raise invalid(self.name, "project", project, "a project's id, or None for gcloud's own default")
        if runtime is not None:
            check_choice(self.name, "runtime", runtime, self.frameworks)
        if spot and what not in ("create", "queued"):
            raise invalid(self.name, "spot", spot, f"left out with {what!r}")
        if run is not None and what != "ssh":
            raise invalid(self.name, "run", run, f"left out with {what!r}")
        if run is not None and (not isinstance(run, str) or not run.strip() or "\0" in run):
            raise invalid(self.name, "run", run, "a shell command")
        version = self.runtimes[runtime or self.frameworks[0]]
        values = (name, zone, self.accelerator_type, version, project, spot, run)
        return shlex.join(fill(self.commands[what], dict(zip(FIELDS, values, strict=True))))


def fill(template, values):
    """The words of a command. A part in brackets stays away if one of its values is missing, or its switch is off.

    >>> fill("create {name} [--spot] [--project={project}]", {"name": "a b", "spot": True, "project": None})
    ['create', 'a b', '--spot']
    """
    words = []
    for optional, required in re.findall(r"\[([^]]*)\]|(\S+)", template):
        part = optional or required
        fields = [field for _, field, _, _ in string.Formatter().parse(part) if field is not None]
        if required or all(values[field] for field in fields or [part.lstrip("-")]):
            words += [word.format_map(values) for word in part.split()]
    return words
