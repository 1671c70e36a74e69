import { chart, type Line } from "../chart";
import { column, lastRow, table } from "../data";
import { el } from "../dom";
import { number, title, whole } from "../format";
import { layerOf, layerPicker } from "../layers";
import { skipped } from "../messages";
import type { View } from "../index";

export async function detail(view: View): Promise<Node[]> {
  const { run } = view;
  const layout = run.layout!;
  const layer = layerOf(view);
  const has = (stat: string) => layout.stats.includes(stat);
  const fetched = await Promise.all(layout.stats.map((stat) => table(run, "stat", { stat })));
  const tables = new Map(layout.stats.map((stat, i) => [stat, fetched[i]]));
  const steps = fetched.reduce((a, b) => (a.steps.length <= b.steps.length ? a : b)).steps;
  const line = (stat: string): Line => ({ label: title(stat), values: column(tables.get(stat)!, layer).slice(0, steps.length) });
  const lines = (stats: string[]) => stats.filter(has).map(line);
  const slots = layout.stats.filter((stat) => stat.endsWith("_norm") && !["gradient_norm", "update_norm", "weight_norm"].includes(stat));
  const rates = lines(["effective_rate", "trust_ratio"]);
  const means = layout.stats.filter((stat) => stat.endsWith("_mean"));

  const picture = (name: string, text: string, shown: Line[], log = true, marks: { at: number; text: string }[] = []) =>
    shown.length ? chart({ name, title: text, steps, lines: shown, log, marks }) : null;
  return [
    el("section", { class: "bar" }, layerPicker(view), el("span", { class: "count" }, `${layout.shapes[layer].join(" × ") || "scalar"} · ${whole(layout.shapes[layer].reduce((a, b) => a * b, 1))} parameters · ${whole(steps.length)} records`)),
    skipped(Math.max(...fetched.map((data) => data.skipped))),
    el("section", { class: "two" },
      ...[
        picture("ratio", "How far each update moves the weights", lines(["ratio"]), false, [{ at: -3, text: "−3: rule of thumb" }]),
        picture("norms", "Norms", lines(["gradient_norm", "update_norm", "weight_norm", "gradient_max"])),
        picture("slots", "Norms of the optimizer's state", slots.map(line)),
        picture("rates", "Rates", rates),
        picture("shares", "Shares of elements", lines(["weight_zeros", "gradient_zeros", "mask_changes", "gradient_nonfinite"]), false),
        picture("means", "Means of the optimizer's state", means.map(line), false),
      ].filter((node) => node !== null)),
    el("details", { class: "card", open: true },
      el("summary", {}, `Last record, step ${whole(steps[steps.length - 1] ?? 0)}`),
      el("table", { class: "values" }, el("tbody", {}, ...layout.stats.map((stat) =>
        el("tr", {}, el("th", { scope: "row" }, title(stat)), el("td", { "data-stat": stat }, number(lastRow(tables.get(stat)!)[layer]))))))),
  ].filter((node) => node !== null);
}
