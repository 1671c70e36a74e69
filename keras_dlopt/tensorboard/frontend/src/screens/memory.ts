import { chart } from "../chart";
import { lastRow, table } from "../data";
import { button, el, saveCsv } from "../dom";
import { bytes, number } from "../format";
import { lines } from "../theme";
import type { View } from "../index";

const LARGEST = 20;

export async function memory({ run, state, go }: View): Promise<Node[]> {
  const layout = run.layout!;
  const total = layout.state.reduce((sum, entry) => sum + entry.bytes, 0);
  const slots = [...new Set(layout.state.map((entry) => entry.slot))];
  const sumBy = (key: (entry: (typeof layout.state)[0]) => string) => {
    const sums = new Map<string, number>();
    for (const entry of layout.state) sums.set(key(entry), (sums.get(key(entry)) ?? 0) + entry.bytes);
    return [...sums].sort((a, b) => b[1] - a[1]);
  };
  const colourOf = (slot: string) => lines()[slots.indexOf(slot) % lines().length];
  const bars = (name: string, text: string, sums: [string, number][], paint: (key: string) => string, pick?: (key: string) => void) => {
    const most = sums[0]?.[1] ?? 1;
    return el("figure", { class: "card", "data-bytes": name },
      el("figcaption", {}, el("h3", {}, text), el("span", { class: "tools" }, button("CSV", () => saveCsv(`state_by_${name}`, [name, "bytes"], sums), "Download the values"))),
      el("table", { class: "sums" }, el("tbody", {}, ...sums.slice(0, LARGEST).map(([key, value]) => {
        const fill = el("span", { class: "fill" });
        fill.style.width = `${(100 * value) / most}%`;
        fill.style.background = paint(key);
        return el("tr", {}, el("th", { scope: "row" }, pick ? el("button", { class: "link", type: "button", click: () => pick(key) }, key) : key),
          el("td", { class: "track" }, fill), el("td", { "data-sum": key, title: `${value} bytes` }, bytes(value)), el("td", { class: "share" }, `${number((100 * value) / (total || 1))} %`));
      }))),
      sums.length > LARGEST ? el("small", {}, `the largest ${LARGEST} of ${sums.length}; the CSV has all`) : null);
  };
  const layer = (variable: number | null) => (variable === null ? "(all layers)" : layout.variables[variable]);
  const nodes: (Node | null)[] = total
    ? [
        el("section", { class: "two" },
          bars("slot", `State by slot: ${bytes(total)}`, sumBy((entry) => entry.slot), colourOf),
          bars("dtype", "State by dtype", sumBy((entry) => entry.dtype), () => lines()[2])),
        bars("layer", "State by layer", sumBy((entry) => layer(entry.variable)), () => lines()[0], (key) => layout.variables.includes(key) && go({ screen: "detail", layer: key })),
      ]
    : [el("p", { class: "nothing" }, `${layout.optimizer} keeps no state.`)];

  if (!layout.ranges.length)
    return [...nodes, el("p", { class: "hint", id: "unquantized" }, "Ranges of fake quantization appear here for models of compress.quantize_aware.")].filter((node) => node !== null);
  const data = await table(run, "ranges");
  const last = lastRow(data);
  const shown = Math.max(0, layout.ranges.indexOf(state.range ?? ""));
  const values = (part: number) => Array.from(data.steps, (_, i) => data.rows[i * data.columns + 3 * shown + part]);
  return [
    ...nodes,
    el("section", { class: "two" },
      el("figure", { class: "card" }, el("figcaption", {}, el("h3", {}, "Quantization ranges")),
        el("table", { class: "ranges" },
          el("thead", {}, el("tr", {}, ...["layer", "low", "high", "outside"].map((text) => el("th", { scope: "col" }, text)))),
          el("tbody", {}, ...layout.ranges.map((name, i) =>
            el("tr", { class: i === shown ? "chosen" : undefined }, el("th", { scope: "row" }, el("button", { class: "link", type: "button", click: () => go({ range: name }) }, name)),
              el("td", {}, number(last[3 * i])), el("td", {}, number(last[3 * i + 1])), el("td", { "data-outside": name }, `${number(100 * last[3 * i + 2])} %`)))))),
      el("div", {},
        chart({ name: "range", title: `Range of ${layout.ranges[shown]}`, steps: data.steps, lines: [{ label: "low", values: values(0) }, { label: "high", values: values(1) }] }),
        chart({ name: "outside", title: "Share of values outside (saturated)", steps: data.steps, lines: [{ label: "outside", values: values(2) }], height: 150 }))),
  ].filter((node) => node !== null);
}
