export function number(value: number | undefined | null): string {
  if (value === undefined || value === null || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(2).replace(/\.?0*e\+?/, "e");
  return String(Number(value.toPrecision(4)));
}

export const whole = (value: number) => value.toLocaleString("en-US");

export function bytes(value: number): string {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]] as const)
    if (value >= size) return `${Number((value / size).toPrecision(3))} ${unit}`;
  return `${value} B`;
}

// What users read in place of the names of statistics; others have their underscores replaced.
const TITLES: Record<string, string> = {
  ratio: "log10(update / weight)",
  effective_rate: "effective learning rate",
  gradient_max: "largest gradient",
  gradient_zeros: "zeros in the gradient",
  gradient_nonfinite: "non-finite gradients",
  weight_zeros: "sparsity",
  mask_changes: "mask changes",
};
export const title = (stat: string) => TITLES[stat] ?? stat.replaceAll("_", " ");

export function ago(seconds: number): string {
  const past = Math.max(0, Date.now() / 1000 - seconds);
  if (past < 90) return `${Math.round(past)} s ago`;
  if (past < 5400) return `${Math.round(past / 60)} min ago`;
  if (past < 129600) return `${Math.round(past / 3600)} h ago`;
  return `${Math.round(past / 86400)} days ago`;
}
