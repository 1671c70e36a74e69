import uPlotStyle from "uplot/dist/uPlot.min.css?inline";
import { forgetCharts } from "./chart";
import { runs as fetchRuns, type Run } from "./data";
import { el, select } from "./dom";
import { ago, whole } from "./format";
import { readLink, writeLink } from "./link";
import { compare } from "./screens/compare";
import { detail } from "./screens/detail";
import { distributions } from "./screens/distributions";
import { map } from "./screens/map";
import { memory } from "./screens/memory";
import { overview } from "./screens/overview";
import style from "./style.css?inline";
import { followTheme } from "./theme";
import { empty, failed, loading } from "./messages";

export interface View {
  run: Run;
  runs: Run[];
  // What the link holds besides screen and run.
  state: Record<string, string>;
  // Changes the link and draws anew.
  go: (change: Record<string, string>) => void;
}
type Screen = (view: View) => Promise<Node[]>;

const SCREENS: Record<string, [string, Screen]> = {
  overview: ["Overview", overview],
  map: ["Layer map", map],
  detail: ["Layer detail", detail],
  distributions: ["Distributions", distributions],
  compare: ["Compare", compare],
  memory: ["State & memory", memory],
};
const POLL = 5000;

export async function render() {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(uPlotStyle + style);
  document.adoptedStyleSheets = [sheet];
  document.documentElement.lang = "en";
  const head = el("header", {});
  const main = el("main", { "aria-live": "polite" });
  document.body.append(head, main);

  let runs: Run[] = [];
  let link = readLink();
  let drawing = 0;
  let problem: unknown = null;

  const go = (change: Record<string, string>) => {
    link = { ...link, ...change };
    writeLink(link);
    void draw();
  };
  const current = () => runs.find((run) => run.name === link.run) ?? runs[0];

  function drawHead() {
    const run = current();
    const tab = ([name, [text]]: [string, [string, Screen]], i: number) =>
      el("button", { role: "tab", type: "button", "data-screen": name, "aria-selected": name === (link.screen ?? "overview") ? "true" : "false", title: `${text} (${i + 1})`, click: () => go({ screen: name }) }, text);
    const nodes: (Node | null)[] = [
      el("h1", {}, "Optimizer"),
      el("nav", { role: "tablist" }, ...Object.entries(SCREENS).map(tab)),
      el("span", { class: "spring" }),
      runs.length > 1 ? select("Run", runs.map((found) => found.name), run?.name ?? "", (name) => go({ run: name }), "run") : null,
      run ? el("span", { class: "status", id: "status", title: new Date(run.wall_time * 1000).toLocaleString() }, `step ${whole(run.last)} · ${ago(run.wall_time)}`) : null,
    ];
    head.replaceChildren(...nodes.filter((node) => node !== null));
  }

  async function draw() {
    const turn = ++drawing;
    drawHead();
    const run = current();
    if (problem) return main.replaceChildren(failed(problem));
    if (!run) return main.replaceChildren(empty());
    if (!run.layout) return main.replaceChildren(failed(new Error(run.problem)));
    const name = link.screen ?? "overview";
    const late = setTimeout(() => turn === drawing && main.replaceChildren(loading()), 250);
    const focused = document.activeElement?.id;
    try {
      const nodes = await (SCREENS[name] ?? SCREENS.overview)[1]({ run, runs, state: link, go });
      if (turn !== drawing) return;
      forgetCharts();
      main.replaceChildren(...nodes);
    } catch (error) {
      if (turn === drawing) main.replaceChildren(failed(error));
    } finally {
      clearTimeout(late);
    }
    if (focused) document.getElementById(focused)?.focus();
    document.body.dataset.drawn = String(turn);
  }

  async function poll() {
    const before = JSON.stringify([problem && String(problem), runs.map((run) => [run.name, run.wall_time, run.last, run.problem])]);
    try {
      runs = await fetchRuns();
      problem = null;
    } catch (error) {
      problem = error;
    }
    const now = JSON.stringify([problem && String(problem), runs.map((run) => [run.name, run.wall_time, run.last, run.problem])]);
    if (now !== before) await draw();
    else drawHead();
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.matches("input[type=search], select");
    if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== "Escape")) return;
    const names = Object.keys(SCREENS);
    if (event.key >= "1" && event.key <= String(names.length)) go({ screen: names[Number(event.key) - 1] });
    else if (event.key === "/") document.getElementById("search")?.focus();
    else if (event.key === "Escape") (event.target as HTMLElement).blur();
    else if (event.key === "j" || event.key === "k") {
      const variables = current()?.layout?.variables ?? [];
      const at = Math.max(0, variables.indexOf(link.layer ?? ""));
      const next = variables[at + (event.key === "j" ? 1 : -1)];
      if (next !== undefined) go({ layer: next });
    } else return;
    event.preventDefault();
  });
  (parent === window ? window : parent).addEventListener("hashchange", () => {
    const next = readLink();
    if (Object.keys(next).length && JSON.stringify(next) !== JSON.stringify(link)) {
      link = next;
      void draw();
    }
  });
  followTheme(() => void (runs.length && draw()));
  main.append(loading());
  window.focus(); // keys go to the frame from the start
  await poll();
  await draw();
  const again = async () => {
    if (!document.hidden) await poll();
    setTimeout(again, POLL);
  };
  setTimeout(again, POLL);
}
