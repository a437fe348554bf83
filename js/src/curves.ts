import { ends as bandEnds, errorsAt, extremes, lineOf, reach } from "./bands";
import type { Source } from "./bokeh";
import { minmax } from "./decimate";
import { smooth } from "./smooth";
import type { Block, Store } from "./store";
import type { Line, PanelSpec, Scale } from "./types";

/** As in nbtoolkit/panels/curves.py: so few samples are each marked, and so many are smoothed. */
const DOTS = 40;
export const PLENTY = 200;

export interface Window {
  /** Width and height of the frame in pixels. */
  width: number;
  height: number;
  /** Steps in view; null to see all. */
  from: number | null;
  to: number | null;
}

interface Drawn {
  x: Float64Array;
  y: Float64Array;
  smooth: Float64Array;
  dot: Float64Array;
  low?: Float64Array;
  high?: Float64Array;
}

/**
 * Fill the source with what can be seen of each curve, its band and its line; gives the smallest and the largest
 * value of the curves.
 */
export function fillCurves(
  source: Source,
  spec: PanelSpec,
  store: Store,
  weight: number,
  view: Window,
  scale: Scale,
  across: [number, number] = [0, 1],
): [number, number] | null {
  const plenty = spec.lines.some(({ key }) => (store.get(key)?.rows ?? 0) >= PLENTY);
  const drawn = spec.lines.map((line) => {
    const curve = draw(line, store.get(line.key), spec.smooth && plenty ? weight : 0, view);
    const errors = errorsAt(line, store, curve.x);
    return errors ? { ...curve, ...bandEnds(curve.y, errors, scale) } : curve;
  });
  const data: Record<string, Float64Array> = {};
  drawn.forEach((curve, i) => {
    for (const [key, values] of Object.entries(curve)) data[`${key}${i}`] = values;
  });
  const line = lineOf(spec.lines, store, across);
  if (line) {
    const kept = minmax(line.x, line.y, Math.max(50, Math.round(view.width)));
    data.line_x = Float64Array.from(kept, (i) => line.x[i]!);
    data.line = Float64Array.from(kept, (i) => line.y[i]!);
  }
  const longest = Math.max(0, ...Object.values(data).map((values) => values.length));
  source.data = Object.fromEntries(
    Object.entries(data).map(([key, values]) => [key, padded(values, longest)]),
  );
  return extent(drawn, scale, view) ?? extent(drawn, scale, { from: null, to: null });
}

/** Ends of the y axis: of the curves with a margin, and of bands and line where they are near. */
export function heights(span: [number, number], source: Source, scale: Scale): [number, number] {
  const keys = ["line", ...Object.keys(source.data).filter((key) => /^(low|high)\d/.test(key))];
  const wanted = keys.flatMap((key) => extremes((source.data[key] ?? []) as Float64Array));
  return reach(margins(span, scale), wanted, scale);
}

function draw(line: Line, block: Block | undefined, weight: number, view: Window): Drawn {
  if (!block || line.column >= block.width) {
    const none = new Float64Array(0);
    return { x: none, y: none, smooth: none, dot: none };
  }
  const x = block.x();
  const y = block.column(line.column);
  const few = y.length <= DOTS;
  const strong = weight > 0 ? smooth(y, weight) : y;
  const from = view.from === null ? 0 : Math.max(0, block.at(view.from));
  const to = view.to === null ? x.length : Math.min(x.length, block.at(view.to) + 2);
  const kept = minmax(x, y, Math.max(50, Math.round(view.width)), from, Math.max(from, to));
  const take = (values: Float64Array) => Float64Array.from(kept, (i) => values[i]!);
  return { x: take(x), y: take(y), smooth: take(strong), dot: few ? take(y) : nothing(kept.length) };
}

const nothing = (length: number) => new Float64Array(length).fill(Number.NaN);

function padded(values: Float64Array, length: number): Float64Array {
  if (values.length === length) return values;
  const out = nothing(length);
  out.set(values);
  return out;
}

/** The smallest and the largest value in view: a curve is drawn on to the next sample outside. */
function extent(drawn: Drawn[], scale: Scale, view: Pick<Window, "from" | "to">): [number, number] | null {
  const [from, to] = [view.from ?? Number.NEGATIVE_INFINITY, view.to ?? Number.POSITIVE_INFINITY];
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  const take = (value: number) => {
    if (!Number.isFinite(value) || (scale === "log" && value <= 0)) return;
    if (value < low) low = value;
    if (value > high) high = value;
  };
  for (const { x, y, smooth } of drawn) {
    for (let i = 0; i < y.length; i++) {
      if (x[i]! < from || x[i]! > to) continue;
      take(y[i]!);
      take(smooth[i]!); // an average lags behind, out of what was measured in view
    }
  }
  return low <= high ? [low, high] : null;
}

/** Ends of the y axis: a margin of a twentieth, of a constant a half, as in nbtoolkit/panels/curves.py. */
export function margins([low, high]: [number, number], scale: Scale): [number, number] {
  if (scale === "log") {
    const factor = Math.max((high / low) ** 0.05, 1.05);
    return [low / factor, high * factor];
  }
  const margin = 0.05 * (high - low) || 0.5 * Math.abs(high) || 0.5;
  return [low - margin, high + margin];
}

/** Room above the highest curve where names are written over the ends of curves. */
export function headroom([low, high]: [number, number], scale: Scale, named: boolean): [number, number] {
  if (!named) return [low, high];
  return [low, scale === "log" ? high * (high / low) ** 0.08 : high + 0.08 * (high - low)];
}
