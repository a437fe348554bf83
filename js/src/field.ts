import type { Source } from "./bokeh";
import { fillImage } from "./image";
import type { Block } from "./store";
import type { Scale } from "./types";

const COLUMNS = 480;

/** Rows of values, each in force from a step on. */
export type Field = Pick<Block, "width" | "rows" | "at" | "row">;

/** First step, and the end of the last sample, taken to last as long as the one before it. */
export function span(x: Float64Array): [number, number] {
  const n = x.length;
  if (!n) return [0, 1];
  return [x[0]!, x[n - 1]! + (n > 1 ? x[n - 1]! - x[n - 2]! : 1)];
}

/** The labels that have a value at some step, or all where none has: the others get no row. */
export function measured(block: Field): number[] {
  const { width, rows } = block;
  const every = [...Array(width).keys()];
  const left = new Set(every);
  for (let i = 0; i < rows && left.size; i++) {
    const values = block.row(i);
    for (const place of left) if (!Number.isNaN(values[place])) left.delete(place);
  }
  return left.size === width ? every : every.filter((place) => !left.has(place));
}

/** A field of some of its labels. */
export const picked = (block: Field, places: number[]): Field => ({
  width: places.length,
  rows: block.rows,
  at: (step) => block.at(step),
  row: (i) => {
    const values = block.row(i);
    return Float64Array.from(places, (place) => values[place]!);
  },
});

/**
 * Fill the source with an image of the field between two steps: each column shows the sample in force at its
 * step, the last label at the bottom. As `columns` in nbtoolkit/panels/heatmap.py.
 */
export function fillField(source: Source, block: Field, left: number, right: number): void {
  const { width, rows } = block;
  const image = new Float64Array(width * COLUMNS).fill(Number.NaN);
  for (let column = 0; column < COLUMNS && rows; column++) {
    const i = block.at(left + ((column + 0.5) * (right - left)) / COLUMNS);
    if (i < 0) continue;
    const row = block.row(i);
    for (let place = 0; place < width; place++) image[(width - 1 - place) * COLUMNS + column] = row[place]!;
  }
  fillImage(source, image, [width, COLUMNS], [left, right], [0, width]);
}

/** Ends of the colours: of all finite values, on a log scale of the positive ones. */
export function limits(block: Pick<Block, "rows" | "row">, scale: Scale): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  const stride = Math.max(1, Math.floor(block.rows / 2000));
  for (let i = (block.rows - 1) % stride; i < block.rows; i += stride) {
    for (const value of block.row(i)) {
      if (!Number.isFinite(value) || (scale === "log" && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return scale === "log" ? [1e-3, 1] : [0, 1];
  return high > low ? [low, high] : [low, low > 0 ? low * 1.01 : low + 1];
}
