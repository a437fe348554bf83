import { describe, expect, it } from "vitest";
import { ends, errorsAt, lineOf, outline, reach } from "../src/bands";
import type { Range, Source } from "../src/bokeh";
import { fillCurves, heights } from "../src/curves";
import { fillEnds } from "../src/ends";
import { Store } from "../src/store";
import type { Line, PanelSpec } from "../src/types";

const status = { step: 0, steps_per_second: null, elapsed: null, share: null, state: "watching", notes: [] };
const view = { width: 300, height: 150, from: null, to: null };
const source = () => ({ data: {} }) as Source;
const floats = (...values: number[]) => Float64Array.from(values);

/** A store with these curves over the steps 0, 10, 20 ... */
function stored(curves: Record<string, number[]>): Store {
  const store = new Store();
  const series = Object.keys(curves).map((key, i) => ({ key, x: 0, y: i + 1, width: 1 }));
  const [first = []] = Object.values(curves);
  const buffers = [first.map((_, i) => 10 * i), ...Object.values(curves)].map((one) =>
    Float64Array.from(one),
  );
  store.apply({ head: { op: "reset", seq: 1, status, series }, buffers });
  return store;
}

const line: Line = {
  key: "s/sharpness",
  column: 0,
  label: "sharpness",
  color: "#000000",
  error: { key: "s/error", column: 0 },
  line: { key: "s/edge", column: 0, label: "edge of stability" },
};
const spec = { kind: "curves", smooth: false, lines: [line] } as unknown as PanelSpec;
const data = { "s/sharpness": [1, 2, 3], "s/error": [0.5, Number.NaN, 1], "s/edge": [5, 5, 4] };

describe("a band", () => {
  it("reaches one error up and down, and breaks where there is none", () => {
    const target = source();
    fillCurves(target, spec, stored(data), 0, view, "linear", [0, 20]);
    expect(target.data.low0).toEqual(floats(0.5, Number.NaN, 2));
    expect(target.data.high0).toEqual(floats(1.5, Number.NaN, 4));
    const path = outline(floats(0, 10, 20, 30), floats(0, 1, Number.NaN, 3), floats(4, 5, 6, 7));
    expect(path.x).toEqual([0, 10, 10, 0, Number.NaN, 30, 30, Number.NaN]);
    expect(path.y).toEqual([4, 5, 1, 0, Number.NaN, 7, 3, Number.NaN]);
  });

  it("ends outside the frame of a log axis instead of at zero", () => {
    const { low, high } = ends(floats(2, 2, -1), floats(1, 3, 1), "log");
    expect(low[0]).toBe(1);
    expect(low[1]).toBeGreaterThan(0);
    expect(low[1]).toBeLessThan(1e-20);
    expect(low[2]).toBeNaN();
    expect([...high]).toEqual([3, 5, 0]);
    expect([...ends(floats(2), floats(3), "linear").low]).toEqual([-1]);
  });

  it("takes the error in force where rows were left out", () => {
    const store = stored({ "s/error": [1, 2, 3] });
    expect([...errorsAt(line, store, floats(0, 15, 20, 99))!]).toEqual([1, 2, 3, 3]);
    expect(errorsAt({ ...line, error: null }, store, floats(0))).toBeNull();
  });
});

describe("a line", () => {
  it("lies at its steps, and goes across where it is constant", () => {
    expect(lineOf([line], stored(data), [-1, 50])).toMatchObject({
      label: "edge of stability",
      x: floats(0, 10, 20),
      y: floats(5, 5, 4),
    });
    const flat = { x: floats(-1, 50), y: floats(5, 5) };
    const constant = stored({ ...data, "s/edge": [5, Number.NaN, 5] });
    expect(lineOf([line], constant, [-1, 50])).toEqual({ label: "edge of stability", ...flat });
    expect(lineOf([{ ...line, line: 5 }], stored({}), [-1, 50])).toEqual({ label: "5", ...flat });
    expect(lineOf([{ ...line, line: null }], stored(data), [-1, 50])).toBeNull();
  });

  it("is drawn beside the curve even where there is one sample", () => {
    const target = source();
    const store = stored({ "s/sharpness": [1], "s/error": [0], "s/edge": [2] });
    fillCurves(target, spec, store, 0, view, "linear", [0, 20]);
    expect(target.data.line_x).toEqual(floats(0, 20));
    expect(target.data.line).toEqual(floats(2, 2));
    expect(new Set(Object.values(target.data).map((values) => values.length))).toEqual(new Set([2]));
  });

  it("is in the frame unless it would flatten the curve", () => {
    for (const [edge, held] of [
      [5, true],
      [40, false],
    ] as const) {
      const target = source();
      const store = stored({ ...data, "s/edge": [edge, edge, edge] });
      const [, high] = heights(fillCurves(target, spec, store, 0, view, "linear")!, target, "linear");
      expect(high > edge).toBe(held);
      expect(high).toBeGreaterThan(4); // the band is
      const named = source();
      const [x, y] = [20, high].map((end) => ({ start: 0, end }) as Range) as [Range, Range];
      const names = [{ x: "line_x", y: "line", text: "edge", color: "black" }];
      fillEnds(named, target, names, { ...view, x, y, scale: "linear" });
      expect(named.data.text).toEqual(held ? ["edge"] : []);
    }
  });

  it("reaches for each value alone, as in Python", () => {
    expect(reach([0, 10], [-5, 25, 1e9, Number.NaN], "linear")).toEqual([-8, 28]);
    expect(reach([0, 10], [4, 6], "linear")).toEqual([0, 10]);
    const [low, high] = reach([1, 10], [0, -1, 500, 1e6], "log");
    expect(low).toBe(1);
    expect(high).toBeCloseTo(500 * 500 ** 0.1, 6);
  });
});
