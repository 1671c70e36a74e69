r"""What a recorded run looks like in an event file. Nothing here needs TensorFlow or Keras.

At each recorded update one event holds, under tags that begin with "optimizer/":

| tag | tensor |
| --- | --- |
| `optimizer/layout` | a string, JSON: what the rows and columns of the others mean (`Layout`); once a run of `fit` |
| `optimizer/globals` | float32 (number of globals,) |
| `optimizer/stat/NAME` | float32 (number of variables,); a tag for each, so that one is read without the others |
| `optimizer/histogram/OF` | a string, zlib: uint8 (number of bins, number of variables) |
| `optimizer/ranges` | float32 (number of ranges, 3): low, high, share of values outside |

A statistic that a variable does not have is NaN.

Histograms count magnitudes in bins of one octave (two octaves for `v`, which is a square), always the same ones:
zero, below $2^{-40}$, $[2^{-40}, 2^{-39}), \dots, [2^5, 2^6)$, $2^6$ and above, not finite. A byte $c$ stands for the
share $(c / 255)^2$, so that small shares are still seen.
"""

import dataclasses
import json
import zlib

import numpy as np

PLUGIN_NAME = "keras_dlopt"
VERSION = 1

_PREFIX = "optimizer/"
LAYOUT = _PREFIX + "layout"
GLOBALS = _PREFIX + "globals"
RANGES = _PREFIX + "ranges"

LOWEST_EXPONENT, OCTAVES = -40, 46
BINS = OCTAVES + 4
OCTAVES_A_BIN = {"gradient": 1, "update": 1, "m": 1, "v": 2}

# What follows from other statistics is not stored: name -> what it needs, and the function of these.
DERIVED = {
    "ratio": (("update_norm", "weight_norm"), lambda update, weight: np.log10(update / weight)),
    "effective_rate": (("update_norm", "gradient_norm"), lambda update, gradient: update / gradient),
}


def stat_tag(stat):
    """The tag of a statistic that is stored."""
    return f"{_PREFIX}stat/{stat}"


def histogram_tag(of):
    """The tag of a histogram: of "gradient", "update", "m" or "v"."""
    return f"{_PREFIX}histogram/{of}"


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the rows and columns of a run's tensors mean.

    Attributes:
        optimizer: name of its class.
        every: updates from one record to the next.
        variables: paths of the variables, all different.
        shapes: their shapes.
        stats: names of the statistics that are stored.
        histograms: what there are histograms of.
        globals: names of the numbers that belong to the whole step.
        ranges: names of the fake-quantization layers.
        state: the optimizer's arrays, dictionaries of `slot`, `dtype`, `bytes`, and `variable`, a position in
            `variables` or `None` for what belongs to all of them.
    """

    optimizer: str
    every: int
    variables: list
    shapes: list
    stats: list
    histograms: list
    globals: list
    ranges: list
    state: list

    @property
    def all_stats(self):
        """Names of the statistics, those that follow from others first."""
        return [name for name, (needs, _) in DERIVED.items() if set(needs) <= set(self.stats)] + list(self.stats)

    def to_json(self):
        return json.dumps({"version": VERSION, **dataclasses.asdict(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, text):
        """The layout that `to_json` gave.

        Raises:
            ValueError: if it is no such thing, or one of a later version.
        """
        try:
            given = json.loads(text)
            if given["version"] > VERSION:
                raise ValueError(
                    f"The records are of format {given['version']}, this keras_dlopt reads up to {VERSION}."
                )
            layout = cls(**{field.name: given[field.name] for field in dataclasses.fields(cls)})
            names = (*layout.variables, *layout.stats, *layout.histograms, *layout.globals, *layout.ranges)
            if not all(isinstance(name, str) for name in names) or len(layout.shapes) != len(layout.variables):
                raise TypeError
            return layout
        except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError):
            raise ValueError("The records' layout cannot be read.") from None


@dataclasses.dataclass(frozen=True)
class Record:
    """What was recorded of one update.

    Attributes:
        step: number of the update, from 0.
        globals: float32 (globals,).
        stats: float32 (stats, variables).
        histograms: uint8 (histograms, bins, variables).
        ranges: float32 (ranges, 3), or `None`.
    """

    step: int
    globals: np.ndarray
    stats: np.ndarray
    histograms: np.ndarray
    ranges: np.ndarray | None = None


def values_of(record, layout):
    """Tag -> what is stored: a float32 array or bytes."""
    values = {GLOBALS: record.globals}
    values |= {stat_tag(name): row for name, row in zip(layout.stats, record.stats, strict=True)}
    for of, codes in zip(layout.histograms, record.histograms, strict=True):
        values[histogram_tag(of)] = zlib.compress(np.ascontiguousarray(codes).tobytes(), 1)
    if record.ranges is not None:
        values[RANGES] = record.ranges
    return values


def derive(stat, stored):
    """A statistic, from a function that gives those that are stored."""
    if stat not in DERIVED:
        return stored(stat)
    needs, function = DERIVED[stat]
    with np.errstate(divide="ignore", invalid="ignore"):
        return function(*map(stored, needs))


def histogram_of(data, variables):
    """The shares (variables, bins), in float32, of a stored histogram.

    Raises:
        ValueError: if `data` is none of so many variables.
    """
    try:
        codes = np.frombuffer(zlib.decompress(data), np.uint8).reshape(BINS, variables)
    except zlib.error:
        raise ValueError("A histogram cannot be read.") from None
    shares = np.square(codes.T.astype("float32"))
    return shares / np.maximum(shares.sum(1, keepdims=True), 1e-30)


def bin_edges(of):
    """Lower ends of the bins from the second on: magnitudes, 0 for those below the lowest octave, infinity last.

    Example:

    >>> bin_edges("gradient")[:3] * 2.0**40, bin_edges("gradient")[-2:]
    (array([0., 1., 2.]), array([64., inf]))
    """
    octaves = 2.0 ** (np.arange(LOWEST_EXPONENT, LOWEST_EXPONENT + OCTAVES + 1) * OCTAVES_A_BIN[of])
    return np.concatenate([[0.0], octaves, [np.inf]])
