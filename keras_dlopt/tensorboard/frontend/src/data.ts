export interface Layout {
  optimizer: string;
  every: number;
  variables: string[];
  shapes: number[][];
  stats: string[];
  histograms: string[];
  globals: string[];
  ranges: string[];
  state: { slot: string; dtype: string; bytes: number; variable: number | null }[];
  edges: Record<string, number[]>;
}
export interface Run {
  name: string;
  last: number;
  wall_time: number;
  layout: Layout | null;
  problem: string;
}
export interface Table {
  steps: Float64Array;
  columns: number;
  rows: Float32Array;
  skipped: number;
}
export interface Finding {
  rule: string;
  level: "red" | "amber";
  title: string;
  advice: string;
  stat: string;
  variables: number[];
  values: number[];
  step: number;
}

async function get(route: string, values: Record<string, string> = {}): Promise<Response> {
  const query = new URLSearchParams(values).toString();
  let response: Response;
  try {
    response = await fetch(`./${route}${query ? "?" + query : ""}`);
  } catch {
    throw new Error("TensorBoard does not answer. Is it still running?");
  }
  if (!response.ok) {
    const problem = await response.json().then((body) => body.error, () => "");
    throw new Error(problem || `TensorBoard answered ${response.status} to ${route}.`);
  }
  return response;
}

export const runs = async (): Promise<Run[]> => (await get("runs")).json();
export const health = async (run: Run): Promise<Finding[]> => (await get("health", { run: run.name })).json();

// The newest tables, for as long as their run has not grown; a few, so that memory stays small.
const cache = new Map<string, Promise<Table>>();

export function table(run: Run, route: string, values: Record<string, string> = {}): Promise<Table> {
  const key = JSON.stringify([run.name, run.wall_time, route, values]);
  let found = cache.get(key);
  if (!found) {
    found = fetchTable(route, { run: run.name, ...values });
    found.catch(() => cache.delete(key));
    if (cache.size >= 8) cache.delete(cache.keys().next().value!);
  }
  cache.delete(key);
  cache.set(key, found);
  return found;
}

async function fetchTable(route: string, values: Record<string, string>): Promise<Table> {
  const buffer = await (await get(route, values)).arrayBuffer();
  const [count, columns, skipped] = new Uint32Array(buffer, 0, 3);
  const steps = new Float64Array(buffer, 16, count);
  return { steps, columns, skipped, rows: new Float32Array(buffer, 16 + 8 * count, count * columns) };
}

export const column = (data: Table, index: number): number[] =>
  Array.from(data.steps, (_, i) => data.rows[i * data.columns + index]);
export const lastRow = (data: Table): Float32Array => data.rows.subarray(Math.max(0, data.rows.length - data.columns));
