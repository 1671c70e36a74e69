"""TensorBoard's tab "Optimizer": serves what `callbacks.RecordOptimizer` wrote. Needs neither TensorFlow nor Keras."""

import dataclasses
import os

import numpy as np
from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.data import provider
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from keras_dlopt.tensorboard import format as formats
from keras_dlopt.tensorboard.health import findings

_STATIC = os.path.join(os.path.dirname(__file__), "static")
_FILES = {"index.js": "text/javascript"}
_SAMPLES = 2000  # records of a run that are kept and served
_SLICES = 256  # histograms that are served


class Loader(base_plugin.TBLoader):
    """What TensorBoard finds under the entry point."""

    def fix_flags(self, flags):
        # The default keeps 100 points of a tag, or 10 with --load_fast=false.
        kept = getattr(flags, "samples_per_plugin", None)
        if isinstance(kept, dict):
            kept.setdefault(formats.PLUGIN_NAME, _SAMPLES)

    def load(self, context):
        return OptimizerPlugin(context)


class OptimizerPlugin(base_plugin.TBPlugin):
    """The routes under `/data/plugin/keras_dlopt/`.

    | route | arguments | answer |
    | --- | --- | --- |
    | `/runs` | | JSON: of each run its layout, last step, and what is wrong with it |
    | `/stat` | `run`, `stat` | table of (records, variables) |
    | `/globals` | `run` | table of (records, globals) |
    | `/ranges` | `run` | table of (records, ranges * 3) |
    | `/histogram` | `run`, `of`, `variable`: a position | table of (records, bins) |
    | `/health` | `run` | JSON: `health.findings` |

    A table is binary, little-endian: three uint32 (records, columns, records left out because they do not fit the
    layout), a uint32 of padding, the steps in float64, the rows in float32.
    """

    plugin_name = formats.PLUGIN_NAME

    def __init__(self, context):
        self._provider = context.data_provider
        self._layouts = {}

    def is_active(self):
        return False  # TensorBoard asks for the data of `data_plugin_names`

    def data_plugin_names(self):
        return (self.plugin_name,)

    def frontend_metadata(self):
        return base_plugin.FrontendMetadata(
            es_module_path="/static/index.js", tab_name="Optimizer", disable_reload=True
        )

    def get_plugin_apps(self):
        apps = {f"/static/{name}": _file(name, kind) for name, kind in _FILES.items()}
        answers = (self.runs, self.stat, self.globals, self.ranges, self.histogram, self.health)
        return apps | {f"/{answer.__name__}": _app(answer) for answer in answers}

    # Answers

    def runs(self, request):
        found = []
        for run, tags in sorted(self._listed(request).items()):
            last = max(tags.values(), key=lambda series: series.max_wall_time)
            entry = {"name": run, "last": last.max_step, "wall_time": last.max_wall_time, "layout": None, "problem": ""}
            try:
                entry["layout"] = self._layout_json(self._layout(request, run, tags))
            except ValueError as error:
                entry["problem"] = str(error)
            found.append(entry)
        return found

    def stat(self, request):
        run, layout = self._run(request)
        name = _argument(request, "stat", layout.all_stats)
        return self._stat(request, run, layout, name)

    def globals(self, request):
        run, layout = self._run(request)
        return self._table(request, run, formats.GLOBALS, len(layout.globals))

    def ranges(self, request):
        run, layout = self._run(request)
        return self._table(request, run, formats.RANGES, len(layout.ranges) * 3)

    def histogram(self, request):
        run, layout = self._run(request)
        of = _argument(request, "of", layout.histograms)
        variable = int(_argument(request, "variable", map(str, range(len(layout.variables)))))

        def shares(data):
            return formats.histogram_of(data.item(), len(layout.variables))[variable]

        return self._table(request, run, formats.histogram_tag(of), formats.BINS, shares, _SLICES)

    def health(self, request):
        run, layout = self._run(request)
        steps = self._table(request, run, formats.GLOBALS, len(layout.globals))[0]

        def stat(name):
            if name not in layout.all_stats:
                return None
            own, rows, _ = self._stat(request, run, layout, name)
            return rows if len(own) == len(steps) else None

        return [dataclasses.asdict(finding) for finding in findings(steps, stat)]

    # Data

    def _ask(self, method, request, **arguments):
        context, experiment = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        return method(context, experiment_id=experiment, plugin_name=self.plugin_name, **arguments)

    def _listed(self, request):
        return self._ask(self._provider.list_tensors, request)

    def _read(self, request, run, tag, samples):
        chosen = provider.RunTagFilter(runs=[run], tags=[tag])
        found = self._ask(self._provider.read_tensors, request, downsample=samples, run_tag_filter=chosen)
        return found.get(run, {}).get(tag, ())

    def _run(self, request):
        listed = self._listed(request)
        run = _argument(request, "run", listed)
        try:
            return run, self._layout(request, run, listed[run])
        except ValueError as error:
            raise errors.InvalidArgumentError(str(error)) from error

    def _layout(self, request, run, tags):
        if formats.LAYOUT not in tags:
            raise ValueError("The run has no layout: the beginning of its event file is lost, or cannot be read.")
        written = tags[formats.LAYOUT].max_wall_time
        if self._layouts.get(run, (None,))[0] != written:
            data = self._read(request, run, formats.LAYOUT, _SAMPLES)
            text = data[-1].numpy.item() if data and data[-1].numpy.dtype == object and not data[-1].numpy.ndim else ""
            self._layouts[run] = written, formats.Layout.from_json(text)
        return self._layouts[run][1]

    def _layout_json(self, layout):
        edges = {of: formats.bin_edges(of)[1:-1].tolist() for of in layout.histograms}
        return dataclasses.asdict(layout) | {"stats": layout.all_stats, "edges": edges}

    def _stat(self, request, run, layout, name):
        needs = formats.DERIVED[name][0] if name in formats.DERIVED else (name,)
        tables = {part: self._table(request, run, formats.stat_tag(part), len(layout.variables)) for part in needs}
        steps, _, skipped = tables[needs[0]]
        # While a run is read, its tags may differ by a record.
        count = min(len(steps) for steps, _, _ in tables.values())
        return steps[:count], formats.derive(name, lambda part: tables[part][1][:count]), skipped

    def _table(self, request, run, tag, columns, row=lambda data: data.reshape(-1), samples=_SAMPLES):
        """Steps, rows (records, columns), and how many records have another shape and are left out."""
        steps, rows, skipped = [], [], 0
        for datum in self._read(request, run, tag, samples):
            try:
                values = row(datum.numpy)
                if values.shape != (columns,) or values.dtype.kind != "f":
                    raise ValueError
            except (ValueError, TypeError):
                skipped += 1
                continue
            steps.append(datum.step)
            rows.append(values)
        return np.array(steps, "<f8"), np.array(rows, "<f4").reshape(-1, columns), skipped


def _argument(request, name, accepted):
    value, accepted = request.args.get(name), list(accepted)
    if value is None or value not in accepted:
        raise errors.InvalidArgumentError(f"`{name}` must be one of those that are recorded. Received: {value!r}")
    return value


def _file(name, kind):
    @wrappers.Request.application
    def serve(request):
        with open(os.path.join(_STATIC, name), "rb") as file:
            return http_util.Respond(request, file.read(), kind)

    return serve


def _app(answer):
    @wrappers.Request.application
    def serve(request):
        try:
            content = answer(request)
        except errors.PublicError as error:
            return http_util.Respond(request, {"error": str(error)}, "application/json", code=error.http_code)
        if isinstance(content, list):
            return http_util.Respond(request, content, "application/json")
        steps, rows, skipped = content
        head = np.array([*rows.shape, skipped, 0], "<u4")
        body = b"".join(part.tobytes() for part in (head, steps, rows))
        return http_util.Respond(request, body, "application/octet-stream")

    return serve
