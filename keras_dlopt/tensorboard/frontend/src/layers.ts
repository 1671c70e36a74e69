import { el, select } from "./dom";
import type { View } from "./index";

const ORDERS = ["model order", "name", "largest value", "smallest value", "size"];

// The layers a search leaves, in the order that was asked for.
export function chosenLayers({ run, state }: View, value: (layer: number) => number): number[] {
  const layout = run.layout!;
  const wanted = (state.search ?? "").toLowerCase();
  const kept = layout.variables.flatMap((name, i) => (name.toLowerCase().includes(wanted) ? [i] : []));
  const size = (i: number) => layout.shapes[i].reduce((a, b) => a * b, 1);
  const key = (i: number, sign: number) => (Number.isFinite(value(i)) ? sign * value(i) : Infinity);
  if (state.sort === "name") kept.sort((a, b) => layout.variables[a].localeCompare(layout.variables[b]));
  if (state.sort === "largest value") kept.sort((a, b) => key(a, -1) - key(b, -1));
  if (state.sort === "smallest value") kept.sort((a, b) => key(a, 1) - key(b, 1));
  if (state.sort === "size") kept.sort((a, b) => size(b) - size(a));
  return kept;
}

export function layerTools({ state, go }: View, shown: number): Node[] {
  let waiting = 0;
  const search = el("input", {
    id: "search", type: "search", placeholder: "Search layers (/)", value: state.search ?? "", "aria-label": "Search layers",
    input: () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => go({ search: search.value }), 250);
    },
  });
  return [search, select("Sort", ORDERS, state.sort ?? ORDERS[0], (sort) => go({ sort }), "sort"), el("span", { class: "count", id: "count" }, `${shown} layer${shown === 1 ? "" : "s"}`)];
}

// The layer of the link, or the first one.
export function layerOf({ run, state }: View): number {
  return Math.max(0, run.layout!.variables.indexOf(state.layer ?? ""));
}

export function layerPicker(view: View): Node {
  const names = view.run.layout!.variables;
  const list = el("datalist", { id: "layers" }, ...names.slice(0, 2000).map((name) => el("option", { value: name })));
  const input = el("input", {
    id: "search", type: "search", list: "layers", value: names[layerOf(view)], "aria-label": "Layer",
    focus: () => input.select(),
    change: () => {
      const found = names.find((name) => name === input.value) ?? names.find((name) => name.toLowerCase().includes(input.value.toLowerCase()));
      if (found !== undefined) view.go({ layer: found });
    },
  });
  const step = (by: number) => () => {
    const next = names[layerOf(view) + by];
    if (next !== undefined) view.go({ layer: next });
  };
  return el("span", { class: "layerpick" }, el("label", { class: "field" }, el("span", {}, "Layer"), input), list,
    el("button", { type: "button", title: "Previous layer (k)", click: step(-1) }, "‹"),
    el("button", { type: "button", title: "Next layer (j)", click: step(1) }, "›"));
}
