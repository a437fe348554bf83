import type { Range, Source } from "./bokeh";
import { minmax } from "./decimate";
import { smooth } from "./smooth";
import type { Block, Store } from "./store";
import type { Line, PanelSpec, Scale } from "./types";

/** As in nbtoolkit/panels/curves.py: so few samples are each marked, and so many are smoothed. */
const DOTS = 40;
export const PLENTY = 200;
const LINE = 13;

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
}

/** Fill the source with what can be seen of each curve; gives the smallest and the largest value of it. */
export function fillCurves(
  source: Source,
  spec: PanelSpec,
  store: Store,
  weight: number,
  view: Window,
  scale: Scale,
): [number, number] | null {
  const drawn = spec.lines.map((line) => draw(line, store.get(line.key), spec.smooth ? weight : 0, view));
  const longest = Math.max(0, ...drawn.map((curve) => curve.x.length));
  const data: Record<string, Float64Array> = {};
  drawn.forEach((curve, i) => {
    for (const [key, values] of Object.entries(curve)) data[`${key}${i}`] = padded(values, longest);
  });
  source.data = data;
  return extent(drawn, scale);
}

function draw(line: Line, block: Block | undefined, weight: number, view: Window): Drawn {
  if (!block || line.column >= block.width) {
    const none = new Float64Array(0);
    return { x: none, y: none, smooth: none, dot: none };
  }
  const x = block.x();
  const y = block.column(line.column);
  const few = y.length <= DOTS;
  const strong = weight > 0 && y.length >= PLENTY ? smooth(y, weight) : y;
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

function extent(drawn: Drawn[], scale: Scale): [number, number] | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const curve of drawn) {
    for (const value of curve.y) {
      if (!Number.isFinite(value) || (scale === "log" && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
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

/** Write each curve's name at its last sample, names kept apart from each other. */
export function fillEnds(
  ends: Source,
  source: Source,
  lines: Line[],
  y: Range,
  view: Window,
  scale: Scale,
): void {
  const height = (value: number) => (scale === "log" ? Math.log(value) : value);
  const unit = (height(y.end) - height(y.start)) / Math.max(view.height, 1);
  const found = lines.flatMap((line, i) => {
    const values = source.data[`smooth${i}`] as Float64Array;
    const steps = source.data[`x${i}`] as Float64Array;
    for (let k = values.length - 1; k >= 0; k--) {
      const value = values[k]!;
      if (Number.isFinite(value) && (scale === "linear" || value > 0)) {
        return [
          { x: steps[k]!, at: (height(value) - height(y.start)) / unit, text: line.label, color: line.color },
        ];
      }
    }
    return [];
  });
  found.sort((a, b) => a.at - b.at);
  spread(found, view.height - LINE);
  const back = (at: number) =>
    scale === "log" ? Math.exp(at * unit + height(y.start)) : at * unit + y.start;
  ends.data = {
    x: found.map((end) => end.x),
    y: found.map((end) => back(end.at)),
    text: found.map((end) => end.text),
    color: found.map((end) => end.color),
  };
}

/** Push labels apart to at least a line's height: first upwards, then down again from the top. */
function spread(labels: { at: number }[], top: number): void {
  for (let i = 1; i < labels.length; i++) {
    labels[i]!.at = Math.max(labels[i]!.at, labels[i - 1]!.at + LINE);
  }
  let limit = top;
  for (let i = labels.length - 1; i >= 0; i--) {
    labels[i]!.at = Math.min(labels[i]!.at, limit);
    limit = labels[i]!.at - LINE;
  }
}
