import type { Store } from "./store";
import type { Line, Scale } from "./types";

/** As in nbtoolkit/panels/bands.py. */
const WITHIN = 3;
const ROOM = 0.1;
const FOOT = 1e-30;

/** Lower and upper end of a band; on a log axis its lower end stays above zero. */
export function ends(
  y: Float64Array,
  error: Float64Array,
  scale: Scale,
): { low: Float64Array; high: Float64Array } {
  const low = y.map((value, i) => {
    const end = value - error[i]!;
    if (scale === "linear" || end > 0 || Number.isNaN(end)) return end;
    return value > 0 ? FOOT * value : Number.NaN;
  });
  return { low, high: y.map((value, i) => value + error[i]!) };
}

/** A band as one path: each stretch without a gap along its upper end and back along its lower, NaN between. */
export function outline(
  x: Float64Array,
  low: Float64Array,
  high: Float64Array,
): { x: number[]; y: number[] } {
  const path = { x: [] as number[], y: [] as number[] };
  for (let from = 0; from < x.length; from++) {
    let to = from;
    while (to < x.length && Number.isFinite(x[to]! + low[to]! + high[to]!)) to++;
    if (to === from) continue;
    for (let i = from; i < to; i++) add(path, x[i]!, high[i]!);
    for (let i = to - 1; i >= from; i--) add(path, x[i]!, low[i]!);
    add(path, Number.NaN, Number.NaN);
    from = to;
  }
  return path;
}

function add(path: { x: number[]; y: number[] }, x: number, y: number): void {
  path.x.push(x);
  path.y.push(y);
}

/** The errors of a curve in force at these steps; null where it has none. */
export function errorsAt(line: Line, store: Store, steps: Float64Array): Float64Array | null {
  const block = line.error ? store.get(line.error.key) : undefined;
  if (!line.error || !block || line.error.column >= block.width) return null;
  const { column } = line.error;
  return steps.map((step) => {
    const i = block.at(step);
    return i < 0 ? Number.NaN : block.row(i)[column]!;
  });
}

/** What curves are read against: its name, and its steps and values; a constant lies at all steps. */
export function lineOf(
  lines: Line[],
  store: Store,
  across: [number, number],
): { label: string; x: Float64Array; y: Float64Array } | null {
  const line = lines.find((one) => one.line !== null && one.line !== undefined)?.line;
  if (line === null || line === undefined) return null;
  if (typeof line === "number") return { label: String(line), ...flat(line, across) };
  const block = store.get(line.key);
  if (!block || line.column >= block.width) return null;
  const y = block.column(line.column);
  const known = y.filter(Number.isFinite);
  const constant = known.length > 0 && known.every((value) => value === known[0]);
  return { label: line.label, ...(constant ? flat(known[0]!, across) : { x: block.x(), y }) };
}

const flat = (value: number, across: [number, number]) => ({
  x: Float64Array.from(across),
  y: Float64Array.of(value, value),
});

/** The value of a line in force at a step, or now. */
export function lineAt(line: Line, store: Store, step: number): number {
  if (line.line === null || line.line === undefined) return Number.NaN;
  if (typeof line.line === "number") return line.line;
  const block = store.get(line.line.key);
  const i = block ? block.at(step) : -1;
  return block && i >= 0 ? block.row(i)[line.line.column]! : Number.NaN;
}

/** An axis made longer so that it holds these values, each as long as the span keeps a third of it. */
export function reach(span: [number, number], wanted: number[], scale: Scale): [number, number] {
  const height = (value: number) => (scale === "log" ? Math.log(value) : value);
  const back = (at: number) => (scale === "log" ? Math.exp(at) : at);
  const [start, end] = [height(span[0]), height(span[1])];
  let [low, high] = [start, end];
  for (const value of wanted) {
    if (!Number.isFinite(value) || (scale === "log" && value <= 0)) continue;
    const longer = [Math.min(low, height(value)), Math.max(high, height(value))] as const;
    if (longer[1] - longer[0] <= WITHIN * (end - start)) [low, high] = longer;
  }
  const room = ROOM * (high - low);
  return [low < start ? back(low - room) : span[0], high > end ? back(high + room) : span[1]];
}

/** The smallest and the largest of some values, where any is finite. */
export function extremes(values: ArrayLike<number>): number[] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : [];
}
