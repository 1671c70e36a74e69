import { lastRow, table } from "../data";
import { el, select } from "../dom";
import { title } from "../format";
import { heatmap, span } from "../heatmap";
import { chosenLayers, layerTools } from "../layers";
import { skipped } from "../messages";
import type { View } from "../index";

// Statistics that are shown as they are; all others span orders of magnitude.
const LINEAR = new Set(["ratio", "gradient_zeros", "gradient_nonfinite", "weight_zeros", "mask_changes"]);
export const isLinear = (stat: string) => LINEAR.has(stat) || (stat.endsWith("_mean") && stat !== "v_mean");

export async function map(view: View): Promise<Node[]> {
  const { run, state, go } = view;
  const layout = run.layout!;
  const stat = layout.stats.includes(state.stat) ? state.stat : layout.stats[0];
  const data = await table(run, "stat", { stat });
  const log = !isLinear(stat);
  const last = lastRow(data);
  const layers = chosenLayers(view, (layer) => last[layer]);
  const value = (row: number, step: number) => data.rows[step * data.columns + layers[row]];
  const every = Math.max(1, Math.floor(data.rows.length / 200000));
  const sample: number[] = [];
  for (let i = 0; i < data.rows.length; i += every) sample.push(data.rows[i]);
  const [low, high] = span(sample, log);
  return [
    el("section", { class: "bar" },
      select("Statistic", layout.stats, stat, (name) => go({ stat: name }), "stat", title), ...layerTools(view, layers.length)),
    skipped(data.skipped),
    layers.length
      ? heatmap({
          name: `map_${stat}`, title: title(stat), steps: data.steps, rows: layers.map((layer) => layout.variables[layer]),
          value, low, high, log, unit: "",
          pick: (row) => go({ screen: "detail", layer: layout.variables[layers[row]] }),
        })
      : el("p", { class: "nothing" }, "No layer's name contains this. Clear the search to see all."),
    el("p", { class: "hint" }, "Click a row for its lines. Blank cells are zero or not finite."),
  ].filter((node) => node !== null);
}
