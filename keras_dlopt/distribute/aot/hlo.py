"""Reads the compiler's scheduled program: sizes as laid out on the TPU, what is alive when, which layer asked for it.

A buffer on a TPU is stored in tiles, such as 8 x 128 elements of its two minor dimensions: `f32[9,130]{1,0:T(8,128)}`
takes as much room as 16 x 256. `S(1)` and the like mark buffers that do not lie in HBM.
"""

import dataclasses
import math
import re

_BITS = {"pred": 8}
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\](?:\{([\d,]*)((?::[^}]*)?)\})?")
_OPCODE = re.compile(r"([\w-]+)\(")
_NAME = re.compile(r"%([\w.-]+)")
# Their results are their operands' buffers, under another name or shape, or updated in place.
_SAME_BUFFER = {
    *("bitcast", "get-tuple-element", "tuple", "while", "conditional", "optimization-barrier", "opt-barrier"),
    *("copy-done", "async-done", "async-update", "all-reduce-done", "all-gather-done", "collective-permute-done"),
    *("slice-done", "dynamic-update-slice"),
}
_NOT_TEMPORARY = {"parameter", "constant", "iota", "after-all", "partition-id", "replica-id"}


@dataclasses.dataclass(frozen=True)
class Array:
    """An array as the compiler lays it out.

    Attributes:
        text: type and dimensions, e.g. "f32[9,130]".
        size: bytes of its elements.
        padded: bytes that it takes, tiles filled up.
        in_hbm: whether it lies in HBM, not in memory on the chip.
        worst: the dimension that wastes most, as (extent, extent in the tiles), or None.
    """

    text: str
    size: int
    padded: int
    in_hbm: bool
    worst: tuple[int, int] | None


def arrays(shape):
    """The arrays in the text of a shape, those of a tuple one by one.

    Example:

    >>> array = arrays("f32[9,130]{1,0:T(8,128)}")[0]
    >>> array.size, array.padded, array.worst
    (4680, 16384, (130, 256))
    """
    return [_array(*found.groups()) for found in _ARRAY.finditer(shape)]


def _array(kind, dimensions, minor_to_major, layout):
    extents = [int(extent) for extent in dimensions.split(",") if extent]
    order = [int(axis) for axis in (minor_to_major or "").split(",") if axis] or range(len(extents) - 1, -1, -1)
    digits = re.search(r"\d+", kind)
    bits = _BITS.get(kind) or (int(digits.group()) if digits else 0)  # a token has none
    layout = layout or ""
    tile = re.search(r"T\(([\d,]+)\)", layout)
    tile = [int(extent) for extent in tile.group(1).split(",")][::-1] if tile else []
    stored = [extents[axis] for axis in order] or [1]
    stored += [1] * (len(tile) - len(stored))
    filled = [math.ceil(n / t) * t if n else 0 for n, t in zip(stored, tile, strict=False)] + stored[len(tile) :]
    worst = max(zip(stored, filled, strict=True), key=lambda pair: pair[1] / max(pair[0], 1))
    return Array(
        text=f"{kind}[{dimensions}]",
        size=math.prod(extents) * bits // 8,
        padded=math.prod(filled) * bits // 8,
        in_hbm=re.search(r"S\([1-9]", layout) is None,
        worst=worst if worst[1] > worst[0] and math.prod(extents) > 1 else None,
    )


def read(text):
    """What the report needs of a scheduled module.

    Args:
        text: the module as XLA prints it.

    Returns:
        A dict: "arguments", the padded bytes of each; "activations", the share of what is alive at the fullest moment
        that the forward pass made and the backward pass will read; "buffers" and "padding", bytes of all buffers in
        HBM and what of them is filling; "wasteful", the buffers that waste most, with the operation's name; "loops",
        whether there are any, whose body XLA's cost analysis counts once; "exchanged", bytes of all-reduces and other
        collectives.
    """
    program = [_Instruction(line) for line in _entry(text)]
    arguments = [None] * sum(step.opcode == "parameter" for step in program)
    for step in program:
        if step.opcode == "parameter":
            arguments[int(step.operands)] = sum(array.padded for array in step.arrays)
    stored = [(array, step.origin) for step in program if step.allocates for array in step.arrays if array.in_hbm]
    stored += [(a, step.origin) for step in program if step.opcode == "parameter" for a in step.arrays]
    wasteful = {}
    for array, origin in stored:
        if array.worst and array.padded > array.size:
            wasteful.setdefault((array.text, array.worst, array.padded - array.size), origin)
    ranked = sorted(wasteful.items(), key=lambda item: -item[0][2])[:5]
    return {
        "arguments": arguments,
        "activations": _share_of_activations(program),
        "buffers": sum(array.padded for array, _ in stored),
        "padding": sum(array.padded - array.size for array, _ in stored),
        "wasteful": [[*key, origin] for key, origin in ranked],
        "loops": re.search(r"\swhile\(", text) is not None,
        "exchanged": sum(sum(a.size for a in step.arrays) for step in program if step.exchanges),
    }


def _entry(text):
    """The instructions of the entry computation, which XLA prints in the order of the schedule."""
    start = text.index("\nENTRY ")
    lines = text[start + 1 :].split("\n")[1:]
    return lines[: next(i for i, line in enumerate(lines) if line.startswith("}"))]


class _Instruction:
    def __init__(self, line):
        left, right = line.strip().removeprefix("ROOT ").split(" = ", 1)
        self.name = left.removeprefix("%")
        end = _closing(right, 0) if right.startswith("(") else right.index(" ")
        found = _OPCODE.search(right, end)
        closing = _closing(right, found.end() - 1)
        self.opcode = found.group(1)
        self.arrays = arrays(right[:end])
        if self.opcode.endswith("-start"):
            self.arrays = self.arrays[:1]  # then come the operand itself and what synchronizes
        self.operands = right[found.end() : closing - 1]
        self.reads = _NAME.findall(self.operands)
        name = re.search(r'op_name="([^"]*)"', right[closing:])
        self.origin = name.group(1) if name else ""
        self.backward = "transpose(" in self.origin or "gradient_tape/" in self.origin
        self.allocates = self.opcode not in _SAME_BUFFER | _NOT_TEMPORARY
        self.exchanges = re.fullmatch(r"(all-|reduce-scatter|collective).*", self.opcode) and "done" not in self.opcode


def _closing(text, start):
    """The position after the parenthesis that closes the one at `start`."""
    depth = 0
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position + 1
    raise ValueError("unbalanced parentheses")


def _share_of_activations(program):
    roots, last, kept = {}, {}, set()
    for position, step in enumerate(program):
        read_from = [root for name in step.reads for root in roots.get(name, ())]
        for root in read_from:
            last[root] = position
            if step.backward and not program[root].backward:
                kept.add(root)
        roots[step.name] = read_from if step.opcode in _SAME_BUFFER else ([position] if step.allocates else [])
    sizes = {
        position: sum(array.padded for array in program[position].arrays if array.in_hbm)
        for position in last
        if program[position].allocates
    }
    changes = [[] for _ in range(len(program) + 1)]
    for position, end in last.items():
        changes[position].append((position, 1))
        changes[end + 1].append((position, -1))
    alive = activations = fullest = share = 0
    for change in changes:
        for position, sign in change:
            alive += sign * sizes.get(position, 0)
            activations += sign * sizes.get(position, 0) * (position in kept)
        if alive > fullest:
            fullest, share = alive, activations / alive
    return share
