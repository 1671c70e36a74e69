// Okabe and Ito's colours, told apart with every kind of colour blindness; their yellow is too pale for lines.
export const LINES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f", "#8a5a00"];
export const DARK_LINES = ["#56b4e9", "#e69f00", "#2bc79a", "#e39cc5", "#4d8fd6", "#f0e442", "#b0b0b0", "#c98f3a"];

export const isDark = () => document.documentElement.dataset.theme === "dark";
export const lines = () => (isDark() ? DARK_LINES : LINES);
export const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

type Rgb = [number, number, number];
// Cividis: its lightness rises evenly, for all kinds of sight.
const SEQUENTIAL: Rgb[] = [[0, 34, 78], [35, 62, 108], [87, 92, 109], [124, 123, 120], [165, 156, 116], [212, 190, 94], [254, 232, 56]];
// Blue, grey, orange: for differences.
const DIVERGING: Rgb[] = [[5, 80, 160], [86, 160, 211], [186, 208, 222], [238, 238, 238], [244, 200, 160], [226, 131, 53], [160, 70, 0]];

export function colour(place: number, diverging: boolean): Rgb {
  const stops = diverging ? DIVERGING : SEQUENTIAL;
  const at = Math.min(Math.max(place, 0), 1) * (stops.length - 1);
  const left = Math.min(Math.floor(at), stops.length - 2);
  return stops[left].map((value, i) => Math.round(value + (at - left) * (stops[left + 1][i] - value))) as Rgb;
}

// TensorBoard marks its own page; without one the system's choice counts.
export function followTheme(changed: () => void) {
  const host = parent === window ? null : parent.document.body;
  const media = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const dark = host ? host.classList.contains("dark-mode") : media.matches;
    const now = dark ? "dark" : "light";
    if (document.documentElement.dataset.theme === now) return;
    document.documentElement.dataset.theme = now;
    changed();
  };
  if (host) new MutationObserver(apply).observe(host, { attributes: true, attributeFilter: ["class"] });
  else media.addEventListener("change", apply);
  apply();
}
