import { table } from "../data";
import { el, saveCsv, button, select } from "../dom";
import { number, whole } from "../format";
import { heatmap } from "../heatmap";
import { layerOf, layerPicker } from "../layers";
import { skipped } from "../messages";
import { lines } from "../theme";
import type { View } from "../index";

const NAMES: Record<string, string> = { gradient: "gradient", update: "update", m: "first moment m", v: "second moment v" };

export async function distributions(view: View): Promise<Node[]> {
  const { run, state, go } = view;
  const layout = run.layout!;
  const layer = layerOf(view);
  const of = layout.histograms.includes(state.of) ? state.of : layout.histograms[0];
  const data = await table(run, "histogram", { of, variable: String(layer) });
  const edges = layout.edges[of];
  // As in format.py: zero, below, one bin for each pair of edges, above, not finite.
  const range = (bin: number) =>
    bin === 0 ? "0" : bin === data.columns - 1 ? "not finite" : bin === 1 ? `< ${number(edges[0])}` : bin === data.columns - 2 ? `≥ ${number(edges[edges.length - 1])}` : `${number(edges[bin - 2])} – ${number(edges[bin - 1])}`;
  const wanted = Number(state.step ?? NaN);
  let at = data.steps.length - 1;
  if (Number.isFinite(wanted)) data.steps.forEach((step, i) => { if (Math.abs(step - wanted) < Math.abs(data.steps[at] - wanted)) at = i; });
  const used = Array.from({ length: data.columns }, (_, bin) => bin).filter((bin) => { for (let i = 0; i < data.steps.length; i++) if (data.rows[i * data.columns + bin] > 0) return true; return false; });
  const inner = used.filter((bin) => bin > 0 && bin < data.columns - 1);
  const bins = [...(used.includes(0) ? [0] : []), ...(inner.length ? Array.from({ length: inner[inner.length - 1] - inner[0] + 1 }, (_, i) => inner[0] + i) : []), ...(used.includes(data.columns - 1) ? [data.columns - 1] : [])];
  const rows = [...bins].reverse();
  const value = (row: number, step: number) => data.rows[step * data.columns + rows[row]] || NaN;

  const bars = el("div", { class: "bars", id: "bars" });
  const caption = el("h3", {});
  const slider = el("input", { type: "range", id: "step", min: 0, max: Math.max(0, data.steps.length - 1), value: at, "aria-label": "Step",
    input: () => { at = Number(slider.value); show(); },
    change: () => go({ step: String(data.steps[at]) }) });
  const show = () => {
    const shares = bins.map((bin) => data.rows[at * data.columns + bin] ?? 0);
    const most = Math.max(...shares, 1e-9);
    caption.textContent = `Step ${whole(data.steps[at] ?? 0)}`;
    bars.replaceChildren(...bins.map((bin, i) => {
      const bar = el("span", { class: "fill" });
      bar.style.height = `${(100 * shares[i]) / most}%`;
      bar.style.background = bin === 0 || bin === data.columns - 1 ? lines()[1] : lines()[0];
      return el("div", { class: "column", title: `${range(bin)}: ${number(100 * shares[i])} %`, "data-share": shares[i] }, bar,
        el("small", {}, bin === 0 ? "0" : bin === data.columns - 1 ? "NaN, ∞" : i % Math.ceil(bins.length / 12) === 0 ? number(edges[Math.max(0, bin - 2)]) : ""));
    }));
  };
  show();
  const name = layout.variables[layer];
  return [
    el("section", { class: "bar" }, layerPicker(view), select("Of", layout.histograms, of, (next) => go({ of: next }), "of")),
    skipped(data.skipped),
    data.steps.length && rows.length
      ? heatmap({ name: `distribution_${of}`, title: `Magnitudes of the ${NAMES[of] ?? of} over time`, steps: data.steps, rows: rows.map(range), value, low: 0, high: Math.max(...Array.from({ length: 64 }, (_, i) => data.rows[Math.floor((i / 64) * data.rows.length)]), 0.25), unit: "of the elements", rowHeight: Math.max(12, Math.min(20, Math.floor(300 / rows.length))), shown: (v) => `${number(100 * v)} %`, mark: at, pick: (_, step) => go({ step: String(data.steps[step]) }) })
      : el("p", { class: "nothing" }, "No histogram was recorded of this layer."),
    el("figure", { class: "card" },
      el("figcaption", {}, caption, el("span", { class: "tools" }, button("CSV", () => saveCsv(`distribution_${of}_${name}`, ["magnitude", "share"], bins.map((bin) => [range(bin), data.rows[at * data.columns + bin]])), "Download this step's shares"))),
      bars,
      el("label", { class: "slider" }, el("span", {}, "step"), slider)),
    el("p", { class: "hint" }, "Bins are powers of two. Shares come from an evenly spread sample of at least 1,024 elements. Drag the slider, or use ← and → on it."),
  ].filter((node) => node !== null);
}
