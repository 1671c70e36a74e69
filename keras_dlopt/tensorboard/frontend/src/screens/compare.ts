import { chart } from "../chart";
import { column, table, type Run } from "../data";
import { el, select } from "../dom";
import { number, title } from "../format";
import { heatmap, span } from "../heatmap";
import { layerOf, layerPicker, layerTools } from "../layers";
import { isLinear } from "./map";
import type { View } from "../index";

const MOST = 8;

export async function compare(view: View): Promise<Node[]> {
  const { run, runs, state, go } = view;
  const layout = run.layout!;
  const others = runs.filter((other) => other !== run && other.layout);
  if (!others.length)
    return [el("div", { class: "message", id: "alone" }, el("h2", {}, "There is one run only"), el("p", {}, "Record another one into a folder beside it, and start TensorBoard on the folder of both:"), el("pre", {}, 'RecordOptimizer("logs/adam")\nRecordOptimizer("logs/lion")\n\ntensorboard --logdir logs'))];
  const stat = layout.stats.includes(state.stat) ? state.stat : layout.stats[0];
  const name = layout.variables[layerOf(view)];
  const other = others.find((found) => found.name === state.other) ?? others.find((found) => found.layout!.variables.includes(name)) ?? others[0];
  const log = !isLinear(stat);
  const having = [run, ...others].filter((found) => found.layout!.variables.includes(name) && found.layout!.stats.includes(stat)).slice(0, MOST);
  const tables = await Promise.all(having.map((found) => table(found, "stat", { stat })));
  const steps = [...new Set(tables.flatMap((data) => Array.from(data.steps)))].sort((a, b) => a - b);
  const lines = having.map((found, i) => {
    const values = column(tables[i], found.layout!.variables.indexOf(name));
    const at = new Map(Array.from(tables[i].steps, (step, k) => [step, values[k]]));
    return { label: found.name, values: steps.map((step) => at.get(step) ?? NaN) };
  });
  const difference = other.layout!.stats.includes(stat) ? await differenceMap(view, run, other, stat, log) : el("p", { class: "nothing" }, `${other.name} has not recorded ${title(stat)}.`);
  return [
    el("section", { class: "bar" }, select("Statistic", layout.stats, stat, (next) => go({ stat: next }), "stat", title), layerPicker(view)),
    chart({ name: `compare_${stat}`, title: `${title(stat)} of ${name}`, steps, lines, log, marks: stat === "ratio" ? [{ at: -3, text: "−3: rule of thumb" }] : [], height: 240 }),
    el("section", { class: "bar" }, select("Difference to", others.map((found) => found.name), other.name, (next) => go({ other: next }), "other"), ...layerTools(view, 0).slice(1, 2)),
    difference,
    el("p", { class: "hint" }, `Steps and layers that both runs have. Blue: larger in ${other.name}; orange: larger in ${run.name}.`),
  ];
}

async function differenceMap(view: View, run: Run, other: Run, stat: string, log: boolean): Promise<Node> {
  const [a, b] = await Promise.all([table(run, "stat", { stat }), table(other, "stat", { stat })]);
  const place = new Map(Array.from(b.steps, (step, i) => [step, i]));
  const steps = Array.from(a.steps, (step, i) => [step, i, place.get(step)] as const).filter((found) => found[2] !== undefined);
  const names = other.layout!.variables;
  const pairs = run.layout!.variables.map((name, i) => [name, i, names.indexOf(name)] as const).filter((found) => found[2] >= 0);
  if (!steps.length || !pairs.length) return el("p", { class: "nothing" }, "The two runs have no step and layer in common.");
  const value = (row: number, step: number) => {
    const x = a.rows[steps[step][1] * a.columns + pairs[row][1]];
    const y = b.rows[steps[step][2]! * b.columns + pairs[row][2]];
    return log ? x / y : x - y;
  };
  if (view.state.sort === "name") pairs.sort((x, y) => x[0].localeCompare(y[0]));
  const order = (sign: number) => {
    const last = new Map(pairs.map((pair, row) => [pair, value(row, steps.length - 1)]));
    // What is not a number counts as no difference.
    const key = (pair: (typeof pairs)[0]) => (Number.isNaN(last.get(pair)) ? Number(log) : last.get(pair)!);
    pairs.sort((x, y) => sign * (key(x) - key(y)));
  };
  if (view.state.sort === "largest value") order(-1);
  if (view.state.sort === "smallest value") order(1);
  const sample = pairs.flatMap((_, row) => steps.map((_, step) => value(row, step)).filter((_, i) => i % Math.ceil((pairs.length * steps.length) / 200000) === 0));
  const [low, high] = span(sample, log);
  const most = Math.max(Math.abs(low), Math.abs(high), 1e-12);
  return heatmap({
    name: `difference_${stat}`, title: `${title(stat)}: ${run.name} ${log ? "/" : "−"} ${other.name}`,
    steps: steps.map((found) => found[0]), rows: pairs.map((found) => found[0]), value, low: -most, high: most, log, diverging: true, unit: "",
    shown: (v) => (log ? `× ${number(v)}` : number(v)), pick: (row) => view.go({ layer: pairs[row][0] }),
  });
}
