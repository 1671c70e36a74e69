import { button, el, saveCsv, savePng } from "./dom";
import { number, whole } from "./format";
import { colour, css } from "./theme";

interface Options {
  name: string;
  title: string;
  steps: ArrayLike<number>;
  rows: string[];
  value: (row: number, step: number) => number;
  // The ends of the colours: logarithms, if colours follow those.
  low: number;
  high: number;
  log?: boolean;
  diverging?: boolean;
  unit: string;
  rowHeight?: number;
  shown?: (value: number) => string;
  pick?: (row: number, step: number) => void;
  mark?: number;
}

const AXIS = 22;

// A picture of rows x steps on one canvas; a value that is not finite is drawn as paper.
export function heatmap(options: Options): HTMLElement {
  const { rows, steps } = options;
  const shown = options.shown ?? number;
  const end = (value: number) => shown(options.log ? 10 ** value : value);
  const height = options.rowHeight ?? Math.max(1, Math.min(20, Math.floor(520 / rows.length)));
  const labelled = height >= 11;
  const canvas = el("canvas", { class: "heat", tabindex: 0, role: "img", "aria-label": `${options.title}: ${rows.length} rows, ${steps.length} steps` });
  const read = el("output", { class: "readout" }, "Point at the map to read a value.");
  let labels = 0;

  const place = (event: MouseEvent): [number, number] | null => {
    const box = canvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - box.top) / height);
    const step = Math.floor(((event.clientX - box.left - labels) / (box.width - labels)) * steps.length);
    return row >= 0 && row < rows.length && step >= 0 && step < steps.length ? [row, step] : null;
  };
  canvas.addEventListener("mousemove", (event) => {
    const at = place(event);
    if (at) read.textContent = `${rows[at[0]]} · step ${whole(steps[at[1]])} · ${shown(options.value(...at))} ${options.unit}`;
  });
  canvas.addEventListener("click", (event) => {
    const at = place(event);
    if (at) options.pick?.(...at);
  });
  if (options.pick) canvas.classList.add("pick");

  const draw = () => {
    const width = canvas.parentElement!.clientWidth;
    const ratio = devicePixelRatio;
    canvas.style.height = `${rows.length * height + AXIS}px`;
    canvas.width = width * ratio;
    canvas.height = (rows.length * height + AXIS) * ratio;
    const context = canvas.getContext("2d")!;
    context.scale(ratio, ratio);
    context.font = "11px system-ui, sans-serif";
    labels = labelled ? Math.min(260, Math.max(...rows.map((row) => context.measureText(row).width)) + 10) : 0;
    const cells = new ImageData(Math.max(1, steps.length), Math.max(1, rows.length));
    const ramp = Array.from({ length: 256 }, (_, i) => colour(i / 255, !!options.diverging));
    const scale = 255 / (options.high - options.low || 1);
    for (let row = 0; row < rows.length; row++)
      for (let step = 0; step < steps.length; step++) {
        const value = options.log ? Math.log10(options.value(row, step)) : options.value(row, step);
        if (!Number.isFinite(value)) continue;
        const [r, g, b] = ramp[Math.max(0, Math.min(255, Math.round((value - options.low) * scale)))];
        cells.data.set([r, g, b, 255], 4 * (row * steps.length + step));
      }
    const small = new OffscreenCanvas(cells.width, cells.height);
    small.getContext("2d")!.putImageData(cells, 0, 0);
    context.imageSmoothingEnabled = false;
    context.fillStyle = css("--hole");
    context.fillRect(labels, 0, width - labels, rows.length * height);
    context.drawImage(small, labels, 0, width - labels, rows.length * height);
    context.fillStyle = css("--text");
    context.textBaseline = "middle";
    context.textAlign = "right";
    if (labelled)
      rows.forEach((row, i) => {
        let text = row;
        while (text.length > 4 && context.measureText(text).width > labels - 8) text = "…" + text.slice(2);
        context.fillText(text, labels - 6, (i + 0.5) * height);
      });
    context.fillStyle = css("--muted");
    const count = Math.min(steps.length, Math.max(2, Math.floor((width - labels) / 110)));
    for (let i = 0; i < count; i++) {
      const index = count > 1 ? Math.round((i * (steps.length - 1)) / (count - 1)) : 0;
      const x = labels + ((index + 0.5) / steps.length) * (width - labels);
      context.textAlign = i === 0 ? "left" : i === count - 1 ? "right" : "center";
      context.fillText(whole(steps[index]), i === 0 ? labels : i === count - 1 ? width : x, rows.length * height + AXIS / 2 + 2);
    }
    if (options.mark !== undefined) {
      context.strokeStyle = css("--accent");
      context.lineWidth = 2;
      const cell = (width - labels) / steps.length;
      context.strokeRect(labels + options.mark * cell, 1, Math.max(cell, 2), rows.length * height - 2);
    }
  };
  requestAnimationFrame(() => canvas.isConnected && draw());
  new ResizeObserver(() => canvas.isConnected && Math.abs(canvas.width / devicePixelRatio - canvas.parentElement!.clientWidth) > 1 && draw()).observe(canvas);

  const stops = Array.from({ length: 9 }, (_, i) => `rgb(${colour(i / 8, !!options.diverging).join(" ")})`);
  const bar = el("span", { class: "ramp" });
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  return el(
    "figure",
    { class: "card", "data-map": options.name },
    el("figcaption", {}, el("h3", {}, options.title), el("span", { class: "scale" }, end(options.low), bar, end(options.high)),
      el("span", { class: "tools" },
        button("CSV", () => saveCsv(options.name, ["step", ...rows], Array.from(steps, (step, i) => [step, ...rows.map((_, row) => options.value(row, i))])), "Download the values"),
        button("PNG", () => savePng(options.name, canvas), "Download the picture"))),
    el("div", { class: "canvas" }, canvas),
    read,
  );
}

// Where most of the values, or of their logarithms, lie, so that a single one does not wash out the rest.
export function span(values: number[], log: boolean): [number, number] {
  const kept = Float64Array.from((log ? values.map(Math.log10) : values).filter(Number.isFinite)).sort();
  if (!kept.length) return [0, 1];
  const low = kept[Math.floor(0.01 * (kept.length - 1))];
  const high = kept[Math.ceil(0.99 * (kept.length - 1))];
  return low < high ? [low, high] : [low - 0.5, low + 0.5];
}
