import uPlot from "uplot";
import { button, el, saveCsv, savePng } from "./dom";
import { number } from "./format";
import { css, lines } from "./theme";

export interface Line {
  label: string;
  values: number[];
}
interface Options {
  name: string;
  title: string;
  steps: ArrayLike<number>;
  lines: Line[];
  log?: boolean;
  marks?: { at: number; text: string }[];
  height?: number;
}

function powersOfTen(_: uPlot, _axis: number, low: number, high: number): number[] {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const by = Math.max(1, Math.ceil((last - first) / 6));
  const powers = Array.from({ length: Math.floor((last - first) / by) + 1 }, (_, i) => 10 ** (first + i * by));
  return powers.filter((power) => power >= 0.999 * low && power <= 1.001 * high);
}

const alive = new Set<uPlot>();
new ResizeObserver(() => {
  for (const plot of alive) {
    const width = plot.root.parentElement?.clientWidth;
    if (width && Math.abs(width - plot.width) > 1) plot.setSize({ width, height: plot.height });
  }
}).observe(document.documentElement);

export function forgetCharts() {
  for (const plot of alive) plot.destroy();
  alive.clear();
}

// Lines over steps, with a legend that shows the values under the pointer, and downloads.
export function chart(options: Options): HTMLElement {
  const host = el("div", { class: "plot" });
  const palette = lines();
  const axis = { stroke: css("--muted"), grid: { stroke: css("--grid"), width: 1 }, ticks: { stroke: css("--grid"), width: 1 }, font: "11px system-ui, sans-serif" };
  const shown = (value: number | null) => (value === null ? "–" : number(value));
  const keep = (value: number) => (Number.isFinite(value) && (!options.log || value > 0) ? value : null);
  const columns = options.lines.map((line) => line.values.map(keep));
  const marks = options.marks ?? [];
  const any = columns.some((values) => values.some((value) => value !== null));
  const figure = el(
    "figure",
    { class: "card chart", "data-chart": options.name },
    el("figcaption", {}, el("h3", {}, options.title), el("span", { class: "tools" },
      button("CSV", () => saveCsv(options.name, ["step", ...options.lines.map((line) => line.label)],
        Array.from(options.steps, (step, i) => [step, ...options.lines.map((line) => line.values[i])])), "Download the values"),
      button("PNG", () => { const canvas = host.querySelector("canvas"); if (canvas) savePng(options.name, canvas); }, "Download the picture"),
    )),
    host,
  );
  if (!any) {
    host.append(el("p", { class: "nothing" }, options.log ? "All values are zero or not finite." : "No finite values."));
    return figure;
  }
  requestAnimationFrame(() => {
    if (!host.isConnected) return;
    const plot = new uPlot(
      {
        width: host.clientWidth || 400,
        height: options.height ?? 200,
        scales: {
          x: { time: false },
          y: options.log
            ? { distr: 3 }
            : { range: (_, low, high) => uPlot.rangeNum(Math.min(low, ...marks.map((m) => m.at)), Math.max(high, ...marks.map((m) => m.at)), 0.1, true) },
        },
        axes: [
          { ...axis, size: 30, values: (_, ticks) => ticks.map((tick) => tick.toLocaleString("en-US")), space: 70 },
          { ...axis, size: 58, splits: options.log ? powersOfTen : undefined, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick))) },
        ],
        cursor: { points: { size: 6 }, sync: { key: "steps" } },
        legend: { live: true },
        series: [
          { label: "step", value: (_, value) => (value === null ? "–" : value.toLocaleString("en-US")) },
          ...options.lines.map((line, i) => ({
            label: line.label,
            stroke: palette[i % palette.length],
            width: 1.75,
            dash: i >= palette.length ? [6, 3] : undefined,
            points: { show: options.steps.length < 30, size: 5 },
            value: (_: uPlot, value: number | null) => shown(value),
          })),
        ],
        hooks: {
          draw: [
            (u) => {
              for (const mark of marks) {
                const y = u.valToPos(mark.at, "y", true);
                const { left, width } = u.bbox;
                u.ctx.save();
                u.ctx.strokeStyle = u.ctx.fillStyle = css("--muted");
                u.ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
                u.ctx.lineWidth = devicePixelRatio;
                u.ctx.beginPath();
                u.ctx.moveTo(left, y);
                u.ctx.lineTo(left + width, y);
                u.ctx.stroke();
                u.ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
                u.ctx.textAlign = "left";
                u.ctx.textBaseline = "middle";
                const wide = u.ctx.measureText(mark.text).width;
                u.ctx.fillStyle = css("--card");
                u.ctx.fillRect(left + 6 * devicePixelRatio, y - 8 * devicePixelRatio, wide + 8 * devicePixelRatio, 16 * devicePixelRatio);
                u.ctx.fillStyle = css("--muted");
                u.ctx.fillText(mark.text, left + 10 * devicePixelRatio, y);
                u.ctx.restore();
              }
            },
          ],
        },
      },
      [Array.from(options.steps), ...columns],
      host,
    );
    alive.add(plot);
    const rest = () => plot.setLegend({ idx: options.steps.length - 1 });
    plot.over.addEventListener("mouseleave", () => setTimeout(rest));
    setTimeout(rest, 50);
  });
  return figure;
}
