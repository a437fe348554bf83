import type { Range, Source } from "./bokeh";
import { cut } from "./format";
import type { Line, Scale } from "./types";

const LINE = 13;
const LETTER = 6.2; // pixels
const ABOVE = 8; // as in nbtoolkit/panels/curves.py: the middle of a name over what it is written at
const GAP = 2; // pixels to its curve are as good as none
const DOWN = 8; // pixels that a name is rather moved up than down
const BACK = 160; // pixels before the end of its curve where a name may stand
const ASIDE = 0.3; // of a pixel away from the curve is one before its end

/** A name, and the columns at whose last value it is written. */
export interface Name {
  x: string;
  y: string;
  text: string;
  color: string;
}

/** Where curves are drawn. */
export interface Frame {
  width: number;
  height: number;
  x: Range;
  y: Range;
  scale: Scale;
}

type Interval = [number, number];
interface Placed {
  across: number[];
  up: number[];
}
interface Box {
  from: number;
  right: number;
  low: number;
  high: number;
}
interface End {
  name: Name;
  text: string;
  step: number;
  /** Pixels from the left and from below. */
  right: number;
  at: number;
}

/** The names of curves, in order of their columns. */
export const namesOf = (lines: Line[]): Name[] =>
  lines.map(({ label, color }, i) => ({ x: `x${i}`, y: `smooth${i}`, text: label, color }));

/** Write each name near its last sample, over no curve and no other name. What is outside the frame has none. */
export function fillEnds(ends: Source, source: Source, names: Name[], frame: Frame): void {
  const { height, scale } = frame;
  const { unit, bottom } = upright(frame);
  const drawn = names.map((name) => placed(name, source, frame));
  const found = names.flatMap((name, i) => endOf(name, drawn[i]!, source, frame));
  found.sort((a, b) => a.at - b.at);
  const usual = found.map((end) => ({ ...end }));
  const taken: Box[] = [];
  const free = found.every((end) => {
    const box = place(end, names.indexOf(end.name), drawn, taken, frame);
    if (!box) return false;
    taken.push(box);
    end.step += ((box.right - end.right) / frame.width) * (frame.x.end - frame.x.start);
    end.at = (box.low + box.high) / 2 - ABOVE;
    return true;
  });
  const told = free ? found : usual;
  if (!free) spread(told, height - LINE);
  const back = (at: number) => (scale === "log" ? Math.exp(at * unit + bottom) : at * unit + bottom);
  ends.data = {
    x: told.map((end) => end.step),
    y: told.map((end) => back(end.at)),
    text: told.map((end) => end.text),
    color: told.map((end) => end.name.color),
  };
}

/** How many letters have room in a frame. */
export const lettersIn = (width: number): number => Math.max(4, Math.floor(width / LETTER));

/** Push labels apart to at least a line's height: first upwards, then down again from the top. */
export function spread(labels: { at: number }[], top: number): void {
  for (let i = 1; i < labels.length; i++) {
    labels[i]!.at = Math.max(labels[i]!.at, labels[i - 1]!.at + LINE);
  }
  let limit = top;
  for (let i = labels.length - 1; i >= 0; i--) {
    labels[i]!.at = Math.min(labels[i]!.at, limit);
    limit = labels[i]!.at - LINE;
  }
}

const heightOf = (value: number, scale: Scale) => (scale === "log" ? Math.log(value) : value);

/** The lower end of the axis, and what a pixel of it is. */
function upright({ y, height, scale }: Frame): { unit: number; bottom: number } {
  const bottom = heightOf(y.start, scale);
  return { unit: (heightOf(y.end, scale) - bottom) / Math.max(height, 1), bottom };
}

/** The samples of a column in pixels; NaN where one has no place. */
function placed({ x, y }: Name, source: Source, frame: Frame): Placed {
  const { unit, bottom } = upright(frame);
  const { start, end } = frame.x;
  const steps = (source.data[x] ?? []) as Float64Array;
  const values = (source.data[y] ?? []) as Float64Array;
  const linear = frame.scale === "linear";
  return {
    across: Array.from(steps, (step) => ((step - start) / (end - start)) * frame.width),
    up: Array.from(values, (value) =>
      linear || value > 0 ? (heightOf(value, frame.scale) - bottom) / unit : Number.NaN,
    ),
  };
}

function endOf(name: Name, { across, up }: Placed, source: Source, frame: Frame): End[] {
  for (let k = up.length - 1; k >= 0; k--) {
    const at = up[k]!;
    if (!Number.isFinite(at)) continue;
    if (name.y === "line" && (at < 0 || at > frame.height)) return [];
    const step = (source.data[name.x] as Float64Array)[k]!;
    const text = cut(name.text, lettersIn(frame.width));
    return [{ name, text, step, right: across[k]!, at }];
  }
  return [];
}

/** The heights that a curve has between two places across. */
function between({ across, up }: Placed, from: number, to: number): Interval | null {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const take = (at: number) => {
    [low, high] = [Math.min(low, at), Math.max(high, at)];
  };
  for (let k = 0; k < up.length; k++) {
    const [x, at] = [across[k]!, up[k]!];
    if (!Number.isFinite(at)) continue;
    if (x >= from && x <= to) take(at);
    const [before, begun] = [across[k - 1]!, up[k - 1]!];
    if (!Number.isFinite(begun)) continue;
    for (const edge of [from, to])
      if (before < edge && x > edge) take(begun + ((edge - before) / (x - before)) * (at - begun));
  }
  return low <= high ? [low, high] : null;
}

/**
 * The place nearest to the end of a curve for its name where it covers no curve and no other name: above or below,
 * at the end or a little before. Null where there is none.
 */
function place(end: End, own: number, drawn: Placed[], taken: Box[], { height }: Frame): Box | null {
  const wide = LETTER * end.text.length;
  let best: Box | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (
    let right = end.right;
    right === end.right || right > Math.max(wide, end.right - BACK);
    right -= LINE
  ) {
    const from = right - wide;
    const curves = drawn.map((curve) => between(curve, from, right));
    const [bottom, top] = curves[own] ?? [end.at, end.at];
    const others = taken.filter((box) => box.from < right && from < box.right);
    const full = [
      ...curves.filter((one) => one !== null),
      ...others.map(({ low, high }): Interval => [low, high]),
    ];
    const lows = full.flatMap(([low, high]) => [high + 1, low - LINE - 1]);
    if (right === end.right) lows.unshift(end.at + ABOVE - LINE / 2);
    for (const low of lows) {
      const high = low + LINE;
      if (low < -1 || high > height + 1 || full.some(([a, b]) => low < b && a < high)) continue;
      const far = low >= top ? Math.max(GAP, low - top) : bottom - high + DOWN;
      const cost = far + ASIDE * (end.right - right);
      if (cost < least) [best, least] = [{ from, right, low, high }, cost];
    }
  }
  return best;
}
