"""Recorded runs as arrays, read from their event files without a TensorBoard server."""

import os
import warnings

import numpy as np

from keras_dlopt.arguments import check_choice, invalid
from keras_dlopt.extras import require
from keras_dlopt.tensorboard import format as formats
from keras_dlopt.tensorboard.events import read_events


def read(logdir):
    """What `callbacks.RecordOptimizer` has recorded in a folder and the folders in it.

    Files that are damaged are read up to there, with a warning. Where a run was started again from an earlier step,
    its later records replace the earlier ones.

    Args:
        logdir: the folder.

    Returns:
        A dictionary: name of the run, which is its folder within `logdir` ("." for `logdir` itself) -> `Run`, sorted.

    Raises:
        ValueError: if `logdir` is no folder, or nothing is recorded in it.

    Example: see `callbacks.RecordOptimizer`.
    """
    if not isinstance(logdir, str | os.PathLike) or not os.path.isdir(logdir):
        raise invalid("read", "logdir", logdir, "an existing folder")
    require("tensorboard")
    runs = {}
    for folder, _, names in sorted(os.walk(logdir)):
        files = [os.path.join(folder, name) for name in sorted(names) if "tfevents" in name]
        records = _read_records(files)
        if records:
            name = os.path.relpath(folder, logdir)
            runs[name] = Run(name, records)
    if not runs:
        raise invalid("read", "logdir", os.fspath(logdir), "a folder with records of `callbacks.RecordOptimizer`")
    return runs


def _read_records(files):
    """Pairs of a step and its tag -> value, ascending."""
    records = []
    for path in files:
        try:
            for event in read_events(path):
                values = {v.tag: v.tensor for v in event.summary.value if v.HasField("tensor")}
                if formats.GLOBALS in values:
                    while records and records[-1][0] >= event.step:
                        records.pop()  # a run that was started again from an earlier step
                    records.append((event.step, {tag: _value(tensor) for tag, tensor in values.items()}))
        except ValueError as error:
            warnings.warn(str(error), stacklevel=3)
    return records


def _value(tensor):
    if tensor.string_val:
        return tensor.string_val[0]
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    return np.frombuffer(tensor.tensor_content, "<f4").reshape(shape)


class Run:
    """One recorded run.

    Attributes:
        name: its folder.
        steps: the recorded updates, int64, ascending.
        layout: `keras_dlopt.tensorboard.format.Layout`: what was recorded of which variables.
    """

    def __init__(self, name, records):
        self.name = name
        texts = [values[formats.LAYOUT] for _, values in records if formats.LAYOUT in values]
        if not texts:
            raise ValueError(f"The run {name!r} has no layout: the beginning of its file is lost.")
        self.layout = formats.Layout.from_json(texts[-1])
        own = [(step, values) for step, values in records if self._fits(values)]
        if len(own) < len(records):
            count = len(records) - len(own)
            warnings.warn(f"{count} records of the run {name!r} are of another model and left out.", stacklevel=3)
        self.steps = np.array([step for step, _ in own], "int64")
        self._records = [values for _, values in own]

    def _fits(self, values):
        stat = values.get(formats.stat_tag(self.layout.stats[0]))
        return (
            values[formats.GLOBALS].shape == (len(self.layout.globals),)
            and stat is not None
            and stat.shape == (len(self.layout.variables),)
        )

    def __repr__(self):
        layout = self.layout
        return f"<Run {self.name!r}: {layout.optimizer}, {len(layout.variables)} variables, {len(self.steps)} records>"

    @property
    def variables(self):
        """Paths of the variables."""
        return self.layout.variables

    @property
    def stats(self):
        """Names of the statistics of each variable."""
        return self.layout.all_stats

    def stat(self, name):
        """A statistic, float32 (records, variables); NaN where a variable does not have it.

        Raises:
            ValueError: if there is no such statistic; it lists those that there are.
        """
        check_choice("Run.stat", "name", name, self.stats)
        return formats.derive(name, lambda stored: self._column(formats.stat_tag(stored), len(self.variables)))

    def globals(self, name):
        """A number of the whole step, float32 (records,): "learning_rate", "gradient_norm", ...

        Raises:
            ValueError: if there is no such number; it lists those that there are.
        """
        check_choice("Run.globals", "name", name, self.layout.globals)
        return self._column(formats.GLOBALS, len(self.layout.globals))[:, self.layout.globals.index(name)]

    def _column(self, tag, width):
        nothing = np.full(width, np.nan, "float32")
        return np.stack([values.get(tag, nothing) for values in self._records])

    def histogram(self, of):
        """Shares of magnitudes in the bins of `format.bin_edges`, float32 (records, variables, bins).

        Args:
            of: "gradient", "update", "m" or "v", as far as the optimizer has them.
        """
        check_choice("Run.histogram", "of", of, self.layout.histograms)
        tag, count = formats.histogram_tag(of), len(self.variables)
        return np.stack([formats.histogram_of(values[tag], count) for values in self._records])

    def ranges(self):
        """Low, high and the share outside of each fake-quantization layer, float32 (records, ranges, 3)."""
        nothing = np.full((len(self.layout.ranges), 3), np.nan, "float32")
        return np.stack([values.get(formats.RANGES, nothing) for values in self._records])

    def frame(self):
        """All statistics as a pandas frame, indexed by step and variable."""
        pandas = require("pandas", "frame")
        index = pandas.MultiIndex.from_product([self.steps, self.variables], names=["step", "variable"])
        return pandas.DataFrame({name: self.stat(name).reshape(-1) for name in self.stats}, index=index)
