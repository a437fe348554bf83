import { describe, expect, it } from "vitest";
import { isolines, levels } from "../src/isolines";
import { axesOf, centreOf, complete, type Ends, frame, infinite, planeOf, Shown } from "../src/plane";
import { barrierOf, profileOf } from "../src/profile";
import { Store } from "../src/store";
import { box, onSurface, quads, View } from "../src/surface";
import type { PanelSpec, Scale } from "../src/types";
import { golden } from "./golden";

type Value = number | null | "inf" | "-inf";
interface Drawn {
  scale: Scale;
  x: Ends;
  y: Ends;
  ends: Ends;
  image: Value[][];
  infinite: Record<string, number[]>;
  isolines: { xs: Value[][]; ys: Value[][]; level: number[]; color: string[] };
  centre: Value;
  on_surface: Value[];
  quads: { xs: number[][]; ys: number[][]; value: number[] }[];
  box: [{ xs: number[][]; ys: number[][] }, { x: number[]; y: number[]; text: string[] }][];
}
const python = golden<{
  planes: { name: string; alpha: number[]; beta: number[]; values: Value[][]; drawn: Drawn }[];
  profiles: {
    alpha: number[];
    values: Value[];
    drawn: Record<"x" | "y" | "chord", Value[]> & { barrier: object };
  }[];
  levels: { ends: Ends; scale: Scale; levels: number[] }[];
  views: [number, number][];
  points: [number, number][];
}>("panels/golden_planes.json");

const float = (value: Value) =>
  value === null ? Number.NaN : Number(String(value).replace("inf", "Infinity"));
const floats = (values: Value[]) => Float64Array.from(values, float);

/** Equal but for rounding. */
function expectClose(found: unknown, expected: unknown): void {
  if (expected === null) expect(found).toBeNaN();
  else if (typeof expected === "number") {
    expect(Math.abs((found as number) - expected)).toBeLessThanOrEqual(1e-9 * Math.abs(expected) + 1e-12);
  } else if (Array.isArray(expected)) {
    const list = Array.from(found as ArrayLike<unknown>);
    expect(list.length).toBe(expected.length);
    expected.forEach((one, i) => {
      expectClose(list[i], one);
    });
  } else if (typeof expected === "object") {
    expect(Object.keys(found as object).sort()).toEqual(Object.keys(expected as object).sort());
    for (const [key, one] of Object.entries(expected as object)) {
      expectClose((found as Record<string, unknown>)[key], one);
    }
  } else expect(found).toBe(expected);
}

const spec = (alpha: number[], beta: number[], dims = ["alpha", "beta"]) =>
  ({ dims, coords: { alpha, beta } }) as unknown as PanelSpec;

describe.each(python.planes)("the plane $name, as in Python", ({ alpha, beta, values, drawn }) => {
  const axes = axesOf(spec(alpha, beta));
  const plane = planeOf(axes, floats(values.flat()))!;
  const whole = complete(plane);
  const views = python.views.map(([azimuth, elevation]) => Object.assign(new View(), { azimuth, elevation }));

  it("has its cells, those that are hatched and its centre", () => {
    expectClose(frame(plane.x, axes.x), drawn.x);
    expectClose(frame(plane.y, axes.y), drawn.y);
    const { image, shape } = new Shown(plane).raster(axes.x, axes.y);
    expect(shape).toEqual([drawn.image.length, drawn.image[0]!.length]);
    expect([...image]).toEqual(drawn.image.flat().map(float));
    if (plane.values.length) expectClose(infinite(plane, drawn.x, drawn.y), drawn.infinite);
    expect(centreOf(plane)).toEqual(drawn.centre === null ? null : float(drawn.centre));
  });

  it("is the same whichever dim comes first", () => {
    const turned = axesOf(spec(alpha, beta, ["beta", "alpha"]));
    const columns = beta.flatMap((_, j) => values.map((row) => row[j]!));
    expect(planeOf(turned, floats(columns))).toEqual(plane);
    expect(planeOf(turned, floats(columns.slice(1)))).toBeNull();
  });

  it("has its isolines", () => {
    const found = isolines(whole, drawn.ends, drawn.scale) as unknown as Drawn["isolines"];
    expect([found.level, found.color]).toEqual([drawn.isolines.level, drawn.isolines.color]);
    const crossings = (xs: Value[][], ys: Value[][], k: number) => {
      const points = xs[k]!.map((x, i) =>
        [float(x), float(ys[k]![i]!)].map((at) => (at + 0).toFixed(9)).join(),
      );
      return [...new Set(points.filter((point) => !point.includes("NaN")))]
        .map((p) => p.replaceAll("-0.000000000", "0.000000000"))
        .sort();
    };
    drawn.isolines.level.forEach((_, k) => {
      expect(crossings(found.xs, found.ys, k)).toEqual(crossings(drawn.isolines.xs, drawn.isolines.ys, k));
      const pieces = drawn.isolines.xs[k]!.reduce<number>((sum, x, i, all) => {
        return sum + (x !== null && i + 1 < all.length && all[i + 1] !== null ? 1 : 0);
      }, 0);
      expect(found.xs[k]!.length).toBe(3 * pieces);
    });
  });

  it("has its surface from every side", () => {
    views.forEach((view, k) => {
      const found = quads(whole, drawn.ends, drawn.scale, view);
      const sorted = (all: Drawn["quads"][number]) =>
        all.value.map((value, i) => [value, ...all.xs[i]!, ...all.ys[i]!]).sort((a, b) => a[0]! - b[0]!);
      expectClose(sorted(found), sorted(drawn.quads[k]!));
      const { lines, words } = box(whole, view);
      expectClose(lines, drawn.box[k]![0]);
      expectClose(words, drawn.box[k]![1]);
    });
    const heights = python.points.map(([a, b]) => onSurface(whole, a, b, drawn.scale));
    expectClose(heights, drawn.on_surface);
  });
});

describe("a surface", () => {
  const labels = [-1, 0, 1];
  const values = Float64Array.from(
    labels.flatMap((a) => labels.map((b) => a ** 2 + b ** 2 + 0.5 * a + 0.3 * b)),
  );
  const plane = planeOf(axesOf(spec(labels, labels)), values)!;

  it("is painted from back to front", () => {
    const view = Object.assign(new View(), { azimuth: 0, elevation: 20 });
    const means = (all: number[][]) => all.map((ys) => ys.reduce((sum, y) => sum + y, 0));
    const first = quads(plane, [0, 2.5], "linear", view);
    expect(Math.min(...means(first.ys.slice(0, 2)))).toBeGreaterThan(Math.max(...means(first.ys.slice(2))));
    view.turn(360, 0); // half round, at half a degree to a pixel
    const other = quads(plane, [0, 2.5], "linear", view);
    expect(other.value).not.toEqual(first.value);
    expect([...other.value].sort()).toEqual([...first.value].sort());
  });

  it("turns with the pointer, and never upside down", () => {
    const view = new View();
    const [near] = [view.seen(0, -1, 0)];
    view.turn(20, 0);
    expect(view.seen(0, -1, 0)[0]).toBeGreaterThan(near[0]);
    view.turn(0, -1000);
    expect(view.elevation).toBe(90);
    view.turn(0, 1000);
    expect(view.elevation).toBe(0);
    view.restore();
    expect([view.azimuth, view.elevation]).toEqual([-35, 32]);
  });

  it("has at most 24 quads to a side, both ends included", () => {
    const many = Array.from({ length: 60 }, (_, i) => i);
    const wide = planeOf(axesOf(spec(many, many)), new Float64Array(3600).fill(1))!;
    const { xs } = quads(wide, [0, 2], "linear", Object.assign(new View(), { azimuth: 0, elevation: 90 }));
    expect(xs.length).toBe(20 ** 2);
    expect([Math.min(...xs.flat()), Math.max(...xs.flat())]).toEqual([-1, 1]);
  });
});

describe("a saddle", () => {
  it("is crossed on the side of its mean, as in Python", () => {
    const saddle = planeOf(axesOf(spec([0, 1], [0, 1])), Float64Array.of(2, 0, 0, 2))!;
    const { xs, ys, level } = isolines(saddle, [0, 2], "linear") as Record<"xs" | "ys", number[][]> & {
      level: number[];
    };
    const pieces = (k: number) =>
      [0, 3].map((i) =>
        [0, 1].map((end) => [xs[k]![i + end]!, ys[k]![i + end]!]).sort((a, b) => a[0]! - b[0]!),
      );
    expect([level[0], level.at(-1)]).toEqual([0.2, 1.8]);
    const sorted = (k: number) => pieces(k).sort((a, b) => a[0]![0]! - b[0]![0]!);
    expectClose(sorted(0), [
      [
        [0, 0.9],
        [0.1, 1],
      ],
      [
        [0.9, 0],
        [1, 0.1],
      ],
    ]);
    expectClose(sorted(level.length - 1), [
      [
        [0, 0.1],
        [0.1, 0],
      ],
      [
        [0.9, 1],
        [1, 0.9],
      ],
    ]);
  });
});

describe("levels and lines, as in Python", () => {
  it.each(python.levels)("has the levels of $ends on a $scale scale", ({ ends, scale, levels: expected }) => {
    expect(levels(ends, scale)).toEqual(expected);
  });

  it.each(python.profiles)("has the profile over $alpha", ({ alpha, values, drawn }) => {
    const along = { dims: ["alpha"], coords: { alpha } } as unknown as PanelSpec;
    const found = profileOf(along, { step: 0, values: floats(values), draft: false }, new Store());
    for (const key of ["x", "y", "chord"] as const) expect([...found[key]]).toEqual(drawn[key].map(float));
    expect(barrierOf(found)).toEqual(drawn.barrier);
  });
});
