import { chart } from "../chart";
import { column, health, lastRow, table, type Finding } from "../data";
import { el } from "../dom";
import { bytes, number, title, whole } from "../format";
import { failed, skipped } from "../messages";
import type { View } from "../index";

const NAMED = 4;

export async function overview({ run, go }: View): Promise<Node[]> {
  const layout = run.layout!;
  const data = await table(run, "globals");
  const of = (name: string) => column(data, layout.globals.indexOf(name));
  const last = lastRow(data);
  const now = (name: string) => last[layout.globals.indexOf(name)];
  const state = layout.state.reduce((sum, entry) => sum + entry.bytes, 0);
  const parameters = layout.shapes.reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const dropped = now("dropped");

  const tile = (name: string, value: string, note = "") =>
    el("div", { class: "tile" }, el("span", {}, name), el("strong", { "data-value": name }, value), el("small", {}, note));
  const card = (finding: Finding) => {
    const { level, variables } = finding;
    const layers = variables.slice(0, NAMED).map((variable, i) => {
      const name = layout.variables[variable];
      return el("li", {}, el("button", { class: "link", type: "button", click: () => go({ screen: "detail", layer: name }) }, name), el("span", { class: "value" }, number(finding.values[i])));
    });
    return el("article", { class: `finding ${level}`, "data-rule": finding.rule },
      el("h3", {}, el("span", { class: "badge" }, level === "red" ? "✕ fix" : "! look"), finding.title),
      el("p", {}, finding.advice),
      el("ul", {}, ...layers),
      variables.length > NAMED
        ? el("button", { class: "link", type: "button", click: () => go({ screen: "map", stat: finding.stat, search: "" }) }, `and ${variables.length - NAMED} more, on the map`)
        : null,
      el("small", {}, `${title(finding.stat)}, step ${whole(finding.step)}`));
  };
  const line = (name: string, text: string, log: boolean) =>
    chart({ name, title: text, steps: data.steps, lines: [{ label: text, values: of(name) }], log, height: 170 });
  // The checks read many statistics: they come when they are ready.
  const verdict = el("div", { class: "tile" }, el("span", {}, "health"), el("strong", {}, "…"), el("small", {}, "checking all layers"));
  const cards = el("section", { class: "findings" });
  const judge = (found: Finding[]) => {
    const [red, amber] = ["red", "amber"].map((level) => found.filter((finding) => finding.level === level).length);
    const text = red ? `${red} to fix` : amber ? `${amber} to look at` : "Looks healthy";
    verdict.replaceChildren(...tile("health", text, found.length ? "see the cards" : "no check found anything").childNodes);
    if (found.length) cards.replaceChildren(...found.map(card));
    else cards.replaceWith(el("p", { class: "fine", id: "fine" }, "✓ All gradients are finite and alive, no norm explodes, and updates are within 1e-5 to 1e-1 of the weights."));
  };
  health(run).then(judge, (error) => cards.replaceChildren(failed(error)));

  return [
    el("section", { class: "tiles" },
      verdict,
      tile("learning rate", number(now("learning_rate")), layout.optimizer),
      tile("gradient norm", number(now("gradient_norm")), Number.isNaN(now("clipped")) ? "not clipped" : `clipped share ${number(now("clipped"))}`),
      tile("update / weight", number(now("update_ratio")), "rule of thumb: 0.001"),
      tile("records", whole(data.steps.length), `every ${whole(layout.every)} updates${Number.isFinite(now("loss_scale")) ? `, loss scale ${number(now("loss_scale"))}` : ""}`),
      tile("state", bytes(state), `${whole(layout.variables.length)} variables, ${number(state / parameters)} bytes a parameter`)),
    skipped(data.skipped),
    dropped > 0 ? el("p", { class: "warning", id: "dropped" }, `${whole(dropped)} records were dropped: the disk was slower than training. Record less often.`) : null,
    cards,
    el("section", { class: "three" },
      line("gradient_norm", "gradient norm", true),
      line("update_ratio", "update / weight", true),
      line("learning_rate", "learning rate", false)),
  ].filter((node) => node !== null);
}
