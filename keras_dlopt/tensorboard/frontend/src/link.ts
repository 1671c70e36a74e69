// The view is in the address of TensorBoard's page, in the form it gives to plugins: #keras_dlopt&p.keras_dlopt.KEY=VALUE
const PREFIX = "p.keras_dlopt.";
const page = parent === window ? window : parent;

export function readLink(): Record<string, string> {
  const found: Record<string, string> = {};
  for (const part of page.location.hash.slice(1).split("&")) {
    const [key, value] = part.split("=");
    try {
      if (key.startsWith(PREFIX)) found[key.slice(PREFIX.length)] = decodeURIComponent(value ?? "");
    } catch {
      // Not one of ours: a link that somebody cut.
    }
  }
  return found;
}

export function writeLink(state: Record<string, string>) {
  const others = page.location.hash.slice(1).split("&").filter((part) => part && !part.startsWith(PREFIX));
  if (others.length && others[0] !== "keras_dlopt") return; // another tab is shown
  const own = Object.entries(state).filter(([, value]) => value !== "");
  const parts = [...(others.length ? others : ["keras_dlopt"]), ...own.map(([key, value]) => `${PREFIX}${key}=${encodeURIComponent(value)}`)];
  page.history.replaceState(page.history.state, "", "#" + parts.join("&"));
}
