import { el } from "./dom";

export const loading = () => el("div", { class: "message", id: "loading" }, el("p", {}, "Reading records …"));

export const empty = () =>
  el("div", { class: "message", id: "empty" },
    el("h2", {}, "No optimizer records here yet"),
    el("p", {}, "Add one line to training, and open TensorBoard on its folder:"),
    el("pre", {}, 'model.fit(..., callbacks=[keras_dlopt.callbacks.RecordOptimizer("logs", every=100)])\n\ntensorboard --logdir logs'),
    el("p", {}, "The first record appears within seconds of the first step. If there are event files already, TensorBoard may not be able to read them: look at what it printed."));

export const failed = (error: unknown) =>
  el("div", { class: "message", id: "failed", role: "alert" },
    el("h2", {}, "These records cannot be shown"),
    el("p", {}, error instanceof Error ? error.message : String(error)),
    el("p", {}, "The other runs and screens still work; this one is tried again when its files change."));

export function skipped(count: number): Node | null {
  if (!count) return null;
  const text = `${count} record${count > 1 ? "s" : ""} left out: damaged, or of another model. Give each model a folder of its own.`;
  return el("p", { class: "warning", id: "skipped" }, text);
}
