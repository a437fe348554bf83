import { describe, expect, it } from "vitest";
import { fillCurves, headroom, margins, PLENTY } from "../src/curves";
import { minmax } from "../src/decimate";
import { smooth } from "../src/smooth";
import { Block, Store } from "../src/store";
import type { Line, PanelSpec } from "../src/types";
import { golden } from "./golden";
import { status } from "./paper";

interface Case {
  x: number[];
  y: (number | string)[];
  buckets: number;
  minmax: number[];
  smooth: (number | string)[];
}

const value = (text: number | string) =>
  typeof text === "number" ? text : { nan: Number.NaN, inf: Infinity, "-inf": -Infinity }[text]!;
const cases = golden<Case[]>("analysis/golden_curves.json");

describe("the same numbers as Python", () => {
  it.each(cases.map((one, i) => [i, one] as const))("case %i", (_, one) => {
    const x = Float64Array.from(one.x);
    const y = Float64Array.from(one.y, value);
    expect(minmax(x, y, one.buckets)).toEqual(one.minmax);
    expect([...smooth(y, 0.9)]).toEqual(one.smooth.map(value));
  });
});

describe("what is drawn", () => {
  const line: Line = { key: "loss/loss", column: 0, label: "loss", color: "#000000" };
  const spec = { kind: "curves", smooth: true, lines: [line] } as PanelSpec;
  const view = { width: 300, height: 150, from: null, to: null };
  const source = () => ({ data: {} }) as Parameters<typeof fillCurves>[0];
  const stored = (values: number[]) => {
    const store = new Store();
    const x = Float64Array.from(values, (_, i) => i);
    const series = [{ key: "loss/loss", x: 0, y: 1, width: 1 }];
    store.apply({ head: { op: "reset", seq: 1, status, series }, buffers: [x, Float64Array.from(values)] });
    return store;
  };

  it("has samples alone, the largest among them", () => {
    const values = Array.from({ length: 50_000 }, (_, i) => Math.sin(i) + (i === 31_234 ? 99 : 0));
    const target = source();
    const extent = fillCurves(target, spec, stored(values), 0.9, view, "linear");
    const x = target.data.x0 as Float64Array;
    const y = target.data.y0 as Float64Array;
    expect(y.length).toBeLessThanOrEqual(3 * view.width + 2);
    expect([...y]).toEqual([...x].map((step) => values[step]));
    expect(extent![1]).toBe(values[31_234]);
  });

  it("marks each sample of a short curve and smooths none", () => {
    const target = source();
    fillCurves(target, spec, stored([3, 1, 2]), 0.9, view, "linear");
    expect([...(target.data.dot0 as Float64Array)]).toEqual([3, 1, 2]);
    expect([...(target.data.smooth0 as Float64Array)]).toEqual([3, 1, 2]);
  });

  it("is smoothed only where there are plenty of samples, lest the average lags behind", () => {
    const falling = (rows: number) => Array.from({ length: rows }, (_, i) => Math.exp(-i / 10));
    for (const rows of [PLENTY - 1, PLENTY]) {
      const target = source();
      fillCurves(target, spec, stored(falling(rows)), 0.9, view, "linear");
      const same = String(target.data.smooth0) === String(target.data.y0);
      expect(same).toBe(rows < PLENTY);
      expect((target.data.dot0 as Float64Array).every(Number.isNaN)).toBe(true);
    }
  });

  it("leaves out of a log axis what has no place on it", () => {
    expect(fillCurves(source(), spec, stored([0, -1, 4, 8]), 0, view, "log")).toEqual([4, 8]);
    expect(fillCurves(source(), spec, stored([0, -1]), 0, view, "log")).toBeNull();
    expect(margins([2, 2], "linear")).toEqual([1, 3]);
    expect(headroom([0, 100], "linear", true)).toEqual([0, 108]);
    expect(headroom([1, 100], "log", true)[1]).toBeCloseTo(100 * 100 ** 0.08);
    expect(headroom([0, 100], "linear", false)).toEqual([0, 100]);
  });
});

describe("a block", () => {
  it("finds the row in force at a step", () => {
    const block = new Block(1);
    block.append(Float64Array.of(2, 4, 8), Float64Array.of(1, 2, 3));
    expect([1, 2, 3, 8, 99].map((step) => block.at(step))).toEqual([-1, 0, 0, 2, 2]);
  });
});
