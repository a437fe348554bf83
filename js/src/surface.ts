import { heightOf } from "./isolines";
import type { Ends, Plane } from "./plane";
import type { Scale } from "./types";

/** A field over a plane as a surface, by the rules of nbtoolkit/panels/surface.py. */

const QUADS = 24;
const TALLNESS = 1.1;
const RADIANS = Math.PI / 180;
const SPEED = 0.5; // degrees to a pixel
const FIRST: Ends = [-35, 32];

export type Seen = [right: number, up: number, back: number];

/** From where the box is seen, without perspective: turned about the vertical, and from above (degrees). */
export class View {
  azimuth = FIRST[0];
  elevation = FIRST[1];

  /** Right and up on the screen, and the distance from the reader, of a place in the box from -1 to 1. */
  seen(x: number, y: number, z: number): Seen {
    const [turn, lift] = [this.azimuth * RADIANS, this.elevation * RADIANS];
    const back = x * Math.sin(turn) + y * Math.cos(turn);
    return [
      x * Math.cos(turn) - y * Math.sin(turn),
      back * Math.sin(lift) + z * Math.cos(lift),
      back * Math.cos(lift) - z * Math.sin(lift),
    ];
  }

  /** Follow a pointer by so many pixels; never upside down. */
  turn(right: number, up: number): void {
    this.azimuth = (this.azimuth + SPEED * right) % 360;
    this.elevation = Math.min(90, Math.max(0, this.elevation - SPEED * up));
  }

  restore(): void {
    [this.azimuth, this.elevation] = FIRST;
  }
}

/** The quads drawn, the farthest first; those with a corner that has no height are left out. */
export function quads(shown: Plane, ends: Ends, scale: Scale, view: View) {
  const [columns, rows] = [kept(shown.x.length), kept(shown.y.length)];
  const found: { xs: number[]; ys: number[]; value: number; back: number }[] = [];
  const heights = shown.values.map((value) => heightOf(value, scale));
  const seen = rows.map((j) =>
    columns.map((i) =>
      view.seen(
        boxed(shown.x[i]!, shown.x),
        boxed(shown.y[j]!, shown.y),
        raised(heights[j * shown.x.length + i]!, ends, scale),
      ),
    ),
  );
  for (let j = 0; j + 1 < rows.length; j++) {
    for (let i = 0; i + 1 < columns.length; i++) {
      const around = [
        [j, i],
        [j, i + 1],
        [j + 1, i + 1],
        [j + 1, i],
      ] as const;
      const mean =
        around.reduce((sum, [m, n]) => sum + heights[rows[m]! * shown.x.length + columns[n]!]!, 0) / 4;
      if (Number.isNaN(mean)) continue;
      const corners = around.map(([m, n]) => seen[m]![n]!);
      found.push({
        xs: corners.map((corner) => corner[0]),
        ys: corners.map((corner) => corner[1]),
        value: scale === "log" ? 10 ** mean : mean,
        back: corners.reduce((sum, corner) => sum + corner[2], 0) / 4,
      });
    }
  }
  found.sort((a, b) => b.back - a.back);
  return {
    xs: found.map((quad) => quad.xs),
    ys: found.map((quad) => quad.ys),
    value: found.map((quad) => quad.value),
  };
}

/** Every second, third ... index, and the last, where there are too many. */
function kept(count: number): number[] {
  const every = Math.max(1, Math.ceil((count - 1) / QUADS));
  return Array.from({ length: count }, (_, i) => i).filter((i) => i % every === 0 || i === count - 1);
}

/** A coordinate as a place in the box, from -1 to 1. */
const boxed = (at: number, points: Float64Array) =>
  (2 * (at - points[0]!)) / (points.at(-1)! - points[0]!) - 1;

/** A height as a place in the box, the middle at 0. */
function raised(height: number, ends: Ends, scale: Scale): number {
  const [low, high] = ends.map((end) => heightOf(end, scale)) as Ends;
  return TALLNESS * ((height - low) / (high - low) - 0.5);
}

/** Height at a point between the samples, for what is drawn on the surface; NaN where a corner has none. */
export function onSurface({ x, y, values }: Plane, a: number, b: number, scale: Scale): number {
  const inside = (points: Float64Array, at: number) =>
    points.length > 1 && at >= points[0]! && at <= points.at(-1)!;
  if (!inside(x, a) || !inside(y, b)) return Number.NaN;
  const index = (points: Float64Array, at: number) => {
    let i = 0;
    while (i + 2 < points.length && points[i + 1]! <= at) i++;
    return i;
  };
  const [i, j] = [index(x, a), index(y, b)];
  const [s, t] = [(a - x[i]!) / (x[i + 1]! - x[i]!), (b - y[j]!) / (y[j + 1]! - y[j]!)];
  const height = (row: number, column: number) => heightOf(values[row * x.length + column]!, scale);
  const along = (row: number) => (1 - s) * height(row, i) + s * height(row, i + 1);
  return (1 - t) * along(j) + t * along(j + 1);
}

/** Where points of the plane lie on the screen, at their height on the surface; those without one are left out. */
export function lying(shown: Plane, points: Ends[], ends: Ends, scale: Scale, view: View) {
  const found = points.flatMap(([a, b]): Seen[] => {
    const z = raised(onSurface(shown, a, b, scale), ends, scale);
    return Number.isNaN(z) ? [] : [view.seen(boxed(a, shown.x), boxed(b, shown.y), z)];
  });
  return { x: found.map((place) => place[0]), y: found.map((place) => place[1]) };
}

/** The floor and its far upright edge as lines, and the words at its ends. */
export function box(shown: Plane, view: View) {
  const [floor, top] = [-TALLNESS / 2, TALLNESS / 2];
  const sides: Ends[] = [
    [-1, -1],
    [1, -1],
    [1, 1],
    [-1, 1],
  ];
  const back = ([x, y]: Ends) => view.seen(x, y, floor)[2];
  const far = sides.reduce((one, other) => (back(other) > back(one) ? other : one));
  const edges = sides.map(([x, y], k) => {
    const [nextX, nextY] = sides[(k + 1) % 4]!;
    return [view.seen(x, y, floor), view.seen(nextX, nextY, floor)];
  });
  edges.push([view.seen(...far, floor), view.seen(...far, top)]);
  const lines = {
    xs: edges.map((edge) => edge.map((end) => end[0])),
    ys: edges.map((edge) => edge.map((end) => end[1])),
  };
  if (!shown.values.length) return { lines, words: { x: [], y: [], text: [] } };
  const nearY = back([0, -1]) <= back([0, 1]) ? -1 : 1;
  const nearX = back([-1, 0]) <= back([1, 0]) ? -1 : 1;
  const told: [number, number, string][] = [
    [-1, 1.14 * nearY, end(shown.x[0]!)],
    [1, 1.14 * nearY, end(shown.x.at(-1)!)],
    [1.14 * nearX, -1, end(shown.y[0]!)],
    [1.14 * nearX, 1, end(shown.y.at(-1)!)],
    [0, 1.2 * nearY, "α"],
    [1.2 * nearX, 0, "β"],
  ];
  const places = told.map(([x, y]) => view.seen(x, y, floor));
  return {
    lines,
    words: {
      x: places.map((place) => place[0]),
      y: places.map((place) => place[1]),
      text: told.map(([, , text]) => text),
    },
  };
}

const end = (value: number) => String(Number(value.toPrecision(6))).replace("-", "−");
