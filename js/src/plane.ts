import type { PanelSpec } from "./types";

/** Samples over two coordinates as they are drawn, by the rules of nbtoolkit/panels/plane.py. */

const UNDER_WAY = 0.1;
const STRIDES = [1, 2, 4, 8];
export const ALIKE = 1e-6;
const FEWEST = 3;
const FINEST = 1e-9;
const MOST = 800;

export type Ends = [number, number];

/** The sample at (x[i], y[j]) is values[j * x.length + i]; both coordinates ascend. */
export interface Plane {
  x: Float64Array;
  y: Float64Array;
  values: Float64Array;
}

/** The labels of two dims, and where in a row the value of each pair stands. */
export interface Axes {
  x: Float64Array;
  y: Float64Array;
  /** Place in a row of the value at label i across and j up. */
  place: (i: number, j: number) => number;
}

export function axesOf(spec: PanelSpec, across = "alpha", up = "beta"): Axes {
  const [x, y] = [across, up].map((dim) => Float64Array.from(spec.coords?.[dim] ?? [], Number)) as [
    Float64Array,
    Float64Array,
  ];
  const first = spec.dims?.indexOf(across) === 0;
  return { x, y, place: first ? (i, j) => i * y.length + j : (i, j) => j * x.length + i };
}

/** The samples of one row, without the coordinates at which there is none; null where it has other sizes. */
export function planeOf(axes: Axes, values: Float64Array): Plane | null {
  const { x, y, place } = axes;
  if (!values.length || values.length !== x.length * y.length) return null;
  const [across, up] = [order(x), order(y)];
  const columns = across.filter((i) => up.some((j) => !Number.isNaN(values[place(i, j)]!)));
  const rows = up.filter((j) => across.some((i) => !Number.isNaN(values[place(i, j)]!)));
  return {
    x: Float64Array.from(columns, (i) => x[i]!),
    y: Float64Array.from(rows, (j) => y[j]!),
    values: Float64Array.from(rows.flatMap((j) => columns.map((i) => values[place(i, j)]!))),
  };
}

const order = (labels: Float64Array) => [...labels.keys()].sort((a, b) => labels[a]! - labels[b]!);

/** Ends of an axis: half a cell of the finest grid beyond the outermost points drawn. */
export function frame(kept: Float64Array, labels: Float64Array): Ends {
  if (!kept.length) return [0, 1];
  const half = finest(kept, labels) / 2;
  return [kept[0]! - half, kept.at(-1)! + half];
}

/** The smallest distance between coordinates in the extent drawn. */
export function finest(kept: Float64Array, labels: Float64Array): number {
  const [low, high] = [kept[0]!, kept.at(-1)!];
  const inside = labels.filter((label) => label >= low && label <= high).sort();
  let least = Number.POSITIVE_INFINITY;
  for (let i = 1; i < inside.length; i++) {
    const step = inside[i]! - inside[i - 1]!;
    if (step > FINEST * (high - low)) least = Math.min(least, step);
  }
  return Number.isFinite(least) ? least : 1;
}

/** Index of the nearest of ascending points. */
export function nearest(points: Float64Array, at: number): number {
  let i = 0;
  while (i + 1 < points.length && at > (points[i]! + points[i + 1]!) / 2) i++;
  return i;
}

/** Which sample is shown at a place: its own, else of the finest grid that is known around it; null where none is. */
export class Shown {
  private readonly coarse: Lattice | null;

  constructor(readonly plane: Plane) {
    this.coarse = lattice(plane);
  }

  /** Indices of the sample along both axes. */
  at(a: number, b: number): [number, number] | null {
    const { x, y } = this.plane;
    return x.length && y.length ? this.among(nearest(x, a), nearest(y, b), a, b) : null;
  }

  private among(i: number, j: number, a: number, b: number): [number, number] | null {
    const { x, y, values } = this.plane;
    const known = (column: number, row: number) => !Number.isNaN(values[row * x.length + column]!);
    if (known(i, j)) return [i, j];
    if (!this.coarse) return null;
    const { rows, columns } = this.coarse;
    for (const column of around(columns, i)) {
      for (const row of around(rows, j)) if (!known(column, row)) return null;
    }
    const near = (points: Float64Array, kept: number[], at: number) =>
      kept[
        nearest(
          Float64Array.from(kept, (k) => points[k]!),
          at,
        )
      ]!;
    return [near(x, columns, a), near(y, rows, b)];
  }

  /** An image, its first row at the bottom, each pixel the sample in whose cell it lies; NaN where there is none. */
  raster(xLabels: Float64Array, yLabels: Float64Array): { image: Float64Array; shape: [number, number] } {
    const { x, y, values } = this.plane;
    if (!values.length) return { image: Float64Array.of(Number.NaN), shape: [1, 1] };
    const [across, up] = [pixels(x, xLabels), pixels(y, yLabels)];
    const columns = across.map((a) => nearest(x, a));
    const image = new Float64Array(across.length * up.length).fill(Number.NaN);
    up.forEach((b, row) => {
      const j = nearest(y, b);
      across.forEach((a, column) => {
        const found = this.among(columns[column]!, j, a, b);
        if (found) image[row * across.length + column] = values[found[1] * x.length + found[0]]!;
      });
    });
    return { image, shape: [up.length, across.length] };
  }
}

interface Lattice {
  rows: number[];
  columns: number[];
}

/** Rows and columns of the finest evenly spaced grid in this one of which nine tenths are known; null if none is. */
export function lattice({ x, y, values }: Plane): Lattice | null {
  const pairs = STRIDES.flatMap((right) => STRIDES.map((up) => [right, up] as const));
  pairs.sort((a, b) => a[0] * a[1] - b[0] * b[1] || a[0] - b[0]);
  for (const [right, up] of pairs) {
    const all = right * up === 1;
    const [columns, rows] = all ? [[...x.keys()], [...y.keys()]] : [every(x, right), every(y, up)];
    const missing = rows.flatMap((j) =>
      columns.filter((i) => Number.isNaN(values[j * x.length + i]!)),
    ).length;
    if (rows.length * columns.length && missing < UNDER_WAY * rows.length * columns.length) {
      return { rows, columns };
    }
  }
  return null;
}

/** The finest grid in this one that is nearly complete; the grid itself where none is. */
export function complete(plane: Plane): Plane {
  const found = lattice(plane);
  if (!found) return plane;
  const { rows, columns } = found;
  return {
    x: Float64Array.from(columns, (i) => plane.x[i]!),
    y: Float64Array.from(rows, (j) => plane.y[j]!),
    values: Float64Array.from(rows.flatMap((j) => columns.map((i) => plane.values[j * plane.x.length + i]!))),
  };
}

/** Indices of the points at so many of the smallest distances; none where one is missing or the last is not. */
function every(points: Float64Array, stride: number): number[] {
  if (points.length < FEWEST) return [];
  const unit = stride * finest(points, points);
  const places = points.map((point) => (point - points[0]!) / unit);
  const found = [...places.keys()].filter((i) => Math.abs(places[i]! - Math.round(places[i]!)) < ALIKE);
  const whole = found.at(-1) === points.length - 1 && found.length === Math.round(places.at(-1)!) + 1;
  return whole && found.length >= FEWEST ? found : [];
}

/** Of those kept, the one at or before a point and the one at or behind it. */
const around = (kept: number[], i: number): [number, number] => [
  kept.filter((k) => k <= i).at(-1)!,
  kept.find((k) => k >= i)!,
];

/** The cells of the samples that are not finite and not NaN. */
export function infinite({ x, y, values }: Plane, xEnds: Ends, yEnds: Ends): Record<string, number[]> {
  const found: Record<string, number[]> = { left: [], right: [], bottom: [], top: [] };
  const [across, up] = [cells(x, xEnds), cells(y, yEnds)];
  values.forEach((value, k) => {
    if (Math.abs(value) !== Number.POSITIVE_INFINITY) return;
    const [j, i] = [Math.floor(k / x.length), k % x.length];
    found.left!.push(across[i]!);
    found.right!.push(across[i + 1]!);
    found.bottom!.push(up[j]!);
    found.top!.push(up[j + 1]!);
  });
  return found;
}

/** The value at the centre, (0, 0); null where it is no point of the grid. */
export function centreOf({ x, y, values }: Plane): number | null {
  const zero = (points: Float64Array) => points.findIndex((at) => Math.abs(at) <= ALIKE * width(points));
  const [i, j] = [zero(x), zero(y)];
  return i < 0 || j < 0 ? null : values[j * x.length + i]!;
}

const width = (points: Float64Array) => points.at(-1)! - points[0]!;

const cells = (points: Float64Array, [low, high]: Ends) => [
  low,
  ...points.slice(1).map((point, i) => (point + points[i]!) / 2),
  high,
];

/** Centres of the pixels along an axis: two to a cell of the finest grid, so that no cell ends inside a pixel. */
function pixels(points: Float64Array, labels: Float64Array): Float64Array {
  const [low, high] = frame(points, labels);
  const count = Math.min(MOST, Math.max(2, Math.round((2 * (high - low)) / finest(points, labels))));
  return Float64Array.from({ length: count }, (_, k) => low + ((k + 0.5) * (high - low)) / count);
}
