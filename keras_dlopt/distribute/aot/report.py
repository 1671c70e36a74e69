"""What a preflight found, as numbers and as text."""

import dataclasses
import re

GIB = 2**30
_PARTS = ("parameters", "optimizer state", "other state", "inputs", "activations", "temporaries", "program")


@dataclasses.dataclass(frozen=True)
class Step:
    """One compiled step of a preflight; all figures are those of one device.

    Attributes:
        step: "train" or "predict".
        compiles: whether the TPU compiler accepts it.
        error: its class of error, e.g. "RESOURCE_EXHAUSTED", or None.
        message: the compiler's, or the backend's, own words, or None.
        findings: operations that a TPU does not like, each with the layer or callback it comes from.
        compile_seconds: how long the compiler took, on the machine where it first did.
        cached: whether the answer came from disk.
        hbm: bytes of HBM at the fullest moment, by what they hold: parameters, optimizer state, other state (metrics,
            masks, seeds), inputs, activations (made by the forward pass, read by the backward pass), temporaries, and
            the program with what it reserves. Activations are a share, estimated from the compiler's schedule, of what
            the compiler says it needs beside the arguments.
        hbm_used: bytes of HBM at that moment; for a step refused for lack of memory, what it asked for, if it says so.
        hbm_available: bytes of HBM that the compiler grants.
        flops: operations of one step.
        bytes_moved: to and from HBM, in one step.
        bytes_exchanged: results of the collectives of one step, 0 on the TensorFlow backend, whose replica's program
            is compiled without them.
        loops: whether loops of the program make both lower bounds, for the compiler counts a loop's body once.
        peak_flops: bfloat16 operations a second of the device.
        bandwidth: bytes a second of its HBM.
        padding: share of the buffers in HBM that is filling, up to whole tiles such as 8 x 128.
        wasteful: the buffers with most filling: (type and shape, extent, extent in tiles, bytes lost, where).
    """

    step: str
    compiles: bool
    error: str | None
    message: str | None
    findings: tuple = ()
    compile_seconds: float = 0.0
    cached: bool = False
    hbm: dict = dataclasses.field(default_factory=dict)
    hbm_used: float | None = None
    hbm_available: float = 0.0
    flops: float = 0.0
    bytes_moved: float = 0.0
    bytes_exchanged: float = 0.0
    loops: bool = False
    peak_flops: float = 0.0
    bandwidth: float = 0.0
    padding: float = 0.0
    wasteful: tuple = ()

    @property
    def intensity(self):
        """Operations a byte moved."""
        return self.flops / max(self.bytes_moved, 1)

    @property
    def bound(self):
        """What the roofline says limits the step: "compute" or "memory"."""
        return "compute" if self.intensity >= self.peak_flops / self.bandwidth else "memory"

    @property
    def seconds(self):
        """Estimated time of a step: the longer of computing at peak and moving at full bandwidth."""
        return max(self.flops / self.peak_flops, self.bytes_moved / self.bandwidth)

    @property
    def utilisation(self):
        """Estimated share of the peak, in [0, 1]."""
        return self.flops / self.peak_flops / self.seconds if self.seconds else 0.0


@dataclasses.dataclass(frozen=True)
class Report:
    """What a preflight found. `print(report)` shows it whole.

    Attributes:
        model: the model's name.
        backend: "tensorflow" or "jax".
        topology: the slice's name, e.g. "v5e-8".
        devices: how many devices the compiler makes of the slice.
        batch: the global batch.
        train: the `Step` of training.
        predict: the `Step` of prediction.
        search: the batches that `find_batch` tried, as pairs (batch, whether it compiles), in the order tried.
        next_batch: the next size up, which the compiler refused; None without `find_batch`, if no batch
            fits, or if none was refused.
    """

    model: str
    backend: str
    topology: str
    devices: int
    batch: int
    train: Step
    predict: Step | None
    search: tuple = ()
    next_batch: int | None = None

    @property
    def compiles(self):
        """Whether all steps compile."""
        return all(step.compiles for step in self.steps)

    @property
    def steps(self):
        """The steps that were tried."""
        return [step for step in (self.train, self.predict) if step is not None]

    def as_dict(self):
        """All of it as plain numbers and text, for JSON."""
        made = dataclasses.asdict(self)
        for step, found in zip([made["train"], made["predict"]], [self.train, self.predict], strict=True):
            if step is not None and found.compiles:
                step |= {name: getattr(found, name) for name in ("intensity", "bound", "seconds", "utilisation")}
        return made | {"compiles": self.compiles}

    def __str__(self):
        each = f" = {self.devices} x {self.batch // self.devices}" if self.devices > 1 else ""
        how = "one replica's step" if self.backend == "tensorflow" else "one program over the slice"
        lines = [f"{self.model} on {self.topology}, batch {self.batch}{each}, {self.backend} ({how})"]
        if self.search:
            tried = ", ".join(f"{batch} {'fits' if fits else 'refused'}" for batch, fits in self.search)
            if self.train.compiles:
                refused = f"{self.next_batch} is refused" if self.next_batch else "none was refused"
                ended = f"largest batch that fits: {self.batch}; {refused}"
            elif self.train.error == "RESOURCE_EXHAUSTED":
                ended = f"no batch fits: even {self.batch} is refused"
            else:
                ended = f"the search ended at {self.batch}: {self.train.error}"
            lines.append(f"  {ended} (tried {tried})")
        for step in self.steps:
            lines += _text(step, self.batch)
        lines.append("  Nothing ran on a TPU: times are estimates from the roofline, not measurements.")
        return "\n".join(lines)


class Comparison(tuple):
    """The reports of several slices; `print` shows them as a table."""

    def __str__(self):
        head = ("slice", "batch", "compiles", "HBM", "of", "step ms*", "examples/s*", "bound*", "of peak*")
        rows = [head, *(_row(report) for report in self)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        refused = [f"{r.topology}: {reason(step)}" for r in self for step in r.steps if not step.compiles]
        return "\n".join([*lines, *refused, "* estimated from the roofline: nothing ran on a TPU."])


def _row(report):
    step = report.train
    used = _size(step.hbm_used) if step.hbm_used else "-"
    row = (report.topology, str(report.batch), "yes" if report.compiles else "no", used)
    row += (_size(step.hbm_available),)
    if not step.compiles:
        return row + ("-",) * 4
    rate = f"{report.batch / step.seconds:,.0f}"
    return (*row, f"{step.seconds * 1e3:.3g}", rate, step.bound, f"{step.utilisation:.0%}")


def reason(step):
    """Why a step does not compile, and what to do, in one line."""
    if step.error == "RESOURCE_EXHAUSTED":
        times = f", {step.hbm_used / step.hbm_available:.3g} times" if step.hbm_used else ""
        needs = f"needs {step.hbm_used / GIB:.2f} GiB{times} the" if step.hbm_used else "needs more than the"
        return (
            f"the {step.step} step {needs} {step.hbm_available / GIB:.2f} GiB of a device: take a smaller batch "
            f"(`find_batch` finds the largest), a larger slice, or bfloat16"
        )
    if step.findings:
        return f"the {step.step} step: {'; '.join(map(str, step.findings[:3]))}"
    first = " ".join(step.message.split())[:300]
    return f"the {step.step} step: the TPU compiler refuses it: {first}"


def _text(step, batch):
    if not step.compiles:
        yield f"  {step.step} step does not compile: {reason(step)}"
        return
    how = "from disk" if step.cached else f"in {step.compile_seconds:.0f} s"
    yield f"  {step.step} step compiles ({how})"
    share = step.hbm_used / step.hbm_available
    yield f"    HBM       {_size(step.hbm_used)} of {_size(step.hbm_available)} a device ({share:.0%})"
    yield "              " + ", ".join(f"{part} {_size(step.hbm[part])}" for part in _PARTS if step.hbm.get(part))
    lower = ", at least: loops are counted once" if step.loops else ""
    yield f"    work      {step.flops / 1e9:.4g} GFLOP, {step.bytes_moved / 1e9:.4g} GB moved{lower}"
    turn = step.peak_flops / step.bandwidth
    yield f"              {step.intensity:.3g} FLOP a byte, {step.bound}-bound (the device turns at {turn:.3g})"
    rate = batch / step.seconds
    at = f"{step.seconds * 1e3:.3g} ms a step, {rate:,.0f} examples/s, {step.utilisation:.0%} of the peak"
    yield f"    estimate  {at}"
    if step.bytes_exchanged:
        yield f"              without the exchange of {_size(step.bytes_exchanged)} between the devices"
    yield f"    padding   {step.padding:.0%} of the buffers in HBM is filling"
    for text, extent, filled, lost, where in step.wasteful[:3]:
        if lost >= 0.005 * step.hbm_used:
            yield f"              {text} {where}: {extent} is stored as {filled}, {_size(lost)} lost"
    for finding in step.findings:
        yield f"    {finding}"


def _size(count):
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"


def asked_for(message):
    """Bytes that the compiler's refusal says were needed, or None."""
    found = re.search(r"\(([\d.]+)([KMGT])\) exceeds|Used ([\d.]+)([KMGT]) of", message)
    if not found:
        return None
    number, unit = [group for group in found.groups() if group]
    return float(number) * 1024 ** ("KMGT".index(unit) + 1)
