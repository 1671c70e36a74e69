// Elements are built here and nowhere else: text is always text, never markup.
type Child = Node | string | number | null | undefined;
type Attributes = Record<string, string | number | boolean | EventListener | undefined>;

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(name, value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== null && child !== undefined) made.append(child instanceof Node ? child : String(child));
  return made;
}

export function select(label: string, options: string[], chosen: string, pick: (value: string) => void, name?: string, text = (option: string) => option) {
  const made = el("select", { change: () => pick(made.value), "aria-label": label, id: name ? `pick-${name}` : undefined });
  for (const option of options) made.append(el("option", { value: option, selected: option === chosen }, text(option)));
  return el("label", { class: "field" }, el("span", {}, label), made);
}

export function button(text: string, press: () => void, title?: string) {
  return el("button", { click: press, title, type: "button" }, text);
}

export function save(name: string, content: Blob) {
  const link = el("a", { href: URL.createObjectURL(content), download: name.replace(/[^\w.-]+/g, "_") });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

export function saveCsv(name: string, head: string[], rows: Iterable<(string | number)[]>) {
  // A cell that begins like a formula is kept from being one.
  const cell = (value: string | number) =>
    typeof value === "number" ? String(value) : `"${(/^[=+\-@\t\r]/.test(value) ? "'" : "") + value.replaceAll('"', '""')}"`;
  const lines = [head.map(cell).join(",")];
  for (const row of rows) lines.push(row.map(cell).join(","));
  save(`${name}.csv`, new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
}

export function savePng(name: string, canvas: HTMLCanvasElement) {
  const copy = el("canvas", { width: canvas.width, height: canvas.height });
  const context = copy.getContext("2d")!;
  context.fillStyle = getComputedStyle(document.body).backgroundColor;
  context.fillRect(0, 0, copy.width, copy.height);
  context.drawImage(canvas, 0, 0);
  copy.toBlob((blob) => blob && save(`${name}.png`, blob));
}
