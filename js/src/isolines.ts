import type { Ends, Plane } from "./plane";
import type { Scale } from "./types";

/** Lines of equal value through samples on a grid, by the rules of nbtoolkit/panels/isolines.py. */

const MOST = 10;
const FACTORS = [[1, 2, 5], [1, 3], [1]];
const BRIGHT = 0.55;
const [LIGHT, DARK] = ["rgba(255, 255, 255, 0.75)", "rgba(0, 0, 0, 0.5)"];

/** At most ten round values between two: evenly spaced, or on a log scale over a decade or more even in the log. */
export function levels([low, high]: Ends, scale: Scale): number[] {
  if (!(Number.isFinite(low) && Number.isFinite(high) && low < high)) return [];
  const within = (level: number) => low < level && level < high;
  if (scale === "log" && low > 0 && high >= 10 * low) return powers(low, high, within).filter(within);
  const rough = (high - low) / MOST;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9))!;
  const found: number[] = [];
  for (let place = Math.ceil(low / step); place <= Math.floor(high / step); place++) {
    found.push(Number((place * step).toPrecision(12)));
  }
  return found.filter(within);
}

function powers(low: number, high: number, within: (level: number) => boolean): number[] {
  const [first, last] = [Math.floor(Math.log10(low)), Math.floor(Math.log10(high))];
  const all = Array.from({ length: last - first + 1 }, (_, k) => first + k);
  for (const factors of FACTORS) {
    const found = all.flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)));
    if (found.filter(within).length <= MOST) return found;
  }
  const every = Math.ceil(all.length / MOST);
  return all.filter((power) => power % every === 0).map((power) => Number(`1e${power}`));
}

/** Where a value stands on its scale; NaN where it has no place there or is not finite. */
export function heightOf(value: number, scale: Scale): number {
  const height = scale === "log" ? Math.log10(value) : value;
  return Number.isFinite(height) ? height : Number.NaN;
}

/** Where it is crossed between two heights, as a share of the way; null where it is not. */
const crossing = (from: number, to: number, at: number) =>
  from > at === to > at ? null : (at - from) / (to - from);

/** The pieces of each level, apart by NaN, in the colour that is seen on the field. */
export function isolines(plane: Plane, limits: Ends, scale: Scale): Record<string, unknown[]> {
  const drawn = { xs: [] as number[][], ys: [] as number[][], level: [] as number[], color: [] as string[] };
  const heights = plane.values.map((value) => heightOf(value, scale));
  const [low, high] = limits.map((end) => heightOf(end, scale)) as Ends;
  for (const level of levels(limits, scale)) {
    const at = heightOf(level, scale);
    const { xs, ys } = trace(plane, heights, at);
    if (!xs.length) continue;
    drawn.xs.push(xs);
    drawn.ys.push(ys);
    drawn.level.push(level);
    drawn.color.push(at - low > BRIGHT * (high - low) ? DARK : LIGHT);
  }
  return drawn;
}

/** Marching squares: the pieces of one line, square by square; at a saddle the mean of the corners decides. */
function trace({ x, y }: Plane, heights: Float64Array, at: number): { xs: number[]; ys: number[] } {
  const path = { xs: [] as number[], ys: [] as number[] };
  for (let j = 0; j + 1 < y.length; j++) {
    for (let i = 0; i + 1 < x.length; i++) {
      const k = j * x.length + i;
      const [a, b, c, d] = [k, k + 1, k + 1 + x.length, k + x.length].map((n) => heights[n]!) as Corners;
      if (!Number.isFinite(a + b + c + d)) continue;
      const [left, right, below, above] = [x[i]!, x[i + 1]!, y[j]!, y[j + 1]!];
      const between = (from: number, to: number, share: number) => from + share * (to - from);
      const points = [
        [crossing(a, b, at), (s: number) => [between(left, right, s), below]],
        [crossing(b, c, at), (s: number) => [right, between(below, above, s)]],
        [crossing(c, d, at), (s: number) => [between(right, left, s), above]],
        [crossing(d, a, at), (s: number) => [left, between(above, below, s)]],
      ] as [number | null, (share: number) => [number, number]][];
      const found = points.flatMap(([share, place]) => (share === null ? [] : [place(share)]));
      // In this order pieces cut off the corners b and d; where the middle is not on the side of a, they cut off a and c.
      if (found.length === 4 && (a + b + c + d) / 4 > at !== a > at) found.unshift(found.pop()!);
      for (let n = 0; n < found.length; n += 2) {
        path.xs.push(found[n]![0], found[n + 1]![0], Number.NaN);
        path.ys.push(found[n]![1], found[n + 1]![1], Number.NaN);
      }
    }
  }
  return path;
}

type Corners = [number, number, number, number];
