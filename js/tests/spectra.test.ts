import { describe, expect, it } from "vitest";
import type { Source } from "../src/bokeh";
import { ticks } from "../src/eigenaxis";
import { outliers, outlierValues } from "../src/outliers";
import { BINS, bumps, rounded, spectraOf } from "../src/spectra";
import { densityAxis, densityField, fillSpectrum, heightOf, placeOf } from "../src/spectrum";
import { Block, Store } from "../src/store";
import { summarise } from "../src/summary";
import type { PanelSpec } from "../src/types";
import { golden } from "./golden";

type Rows = (number | null)[][];
const python = golden<{
  steps: number[];
  sizes: [number, number];
  values: Rows;
  weights: Rows;
  scale: number;
  ends: [number, number];
  density: Rows;
  error: Rows;
  bumps: [number, number];
  masks: boolean[][];
  outliers: number[][];
  axes: { axis: [number, number, number]; ticks: [number, string][] }[];
}>("analysis/golden_spectra.json");

const floats = (row: (number | null)[]) => Float64Array.from(row, (value) => value ?? Number.NaN);

function block(rows: Rows, steps = python.steps): Block {
  const made = new Block(rows[0]!.length);
  rows.forEach((row, i) => {
    made.append(Float64Array.of(steps[i]!), floats(row));
  });
  return made;
}

const all = () => spectraOf(block(python.values), block(python.weights), python.sizes)!;

function expectClose(found: ArrayLike<number>, expected: (number | null)[], floor = 1e-12): void {
  expect(found.length).toBe(expected.length);
  expected.forEach((value, i) => {
    if (value === null) expect(found[i]).toBeNaN();
    else expect(Math.abs(found[i]! - value)).toBeLessThanOrEqual(1e-8 * Math.abs(value) + floor);
  });
}

describe("the same spectra as Python", () => {
  it("lie on the same axis", () => {
    const spectra = all();
    expect(spectra.scale).toBe(python.scale);
    expectClose([spectra.low, spectra.high], python.ends);
    expect(spectra.densities.length).toBe(python.steps.length);
  });

  it.each(python.steps.map((_, i) => i))("have the same density and error in row %i", (i) => {
    const spectra = all();
    const { mean, error } = spectra.density(i);
    expectClose(mean, python.density[i]!);
    expectClose(spectra.densities[i]!, python.density[i]!);
    expectClose(error, python.error[i]!);
  });

  it.each(python.steps.map((_, i) => i))("have the same outliers in row %i", (i) => {
    const ritz = all().ritz(i);
    const mask = outliers(ritz);
    expect(mask).toEqual(python.masks[i]);
    expectClose(outlierValues(ritz, mask), python.outliers[i]!);
  });

  it("have the same bumps, and axes the same eigenvalues", () => {
    expectClose(bumps(all().densities), python.bumps);
    for (const { axis, ticks: expected } of python.axes) {
      const found = [...ticks(...axis)];
      expect(found.map(([, text]) => text)).toEqual(expected.map(([, text]) => text));
      expectClose(
        found.map(([place]) => place),
        expected.map(([place]) => place),
      );
    }
    expect([1.4, 1.6, 34, 36, 7.6e-5, 0, Number.NaN].map(rounded)).toEqual([1, 2, 20, 50, 1e-4, 1, 1]);
  });
});

describe("spectra that come one by one", () => {
  it("end as if they had come at once", () => {
    const values = block(python.values.slice(0, 1));
    const weights = block(python.weights.slice(0, 1));
    const spectra = spectraOf(values, weights, python.sizes)!;
    const before = spectra.high;
    for (const i of [1, 2]) {
      weights.append(Float64Array.of(python.steps[i]!), floats(python.weights[i]!));
      values.append(Float64Array.of(python.steps[i]!), floats(python.values[i]!));
      expect(spectraOf(values, weights, python.sizes)).toBe(spectra);
    }
    expect(spectra.high).toBeGreaterThan(before);
    python.density.forEach((row, i) => {
      expectClose(spectra.densities[i]!, row);
    });
  });

  it("are computed once for each row while the axis stays", () => {
    const [values, weights] = [block(python.values), block(python.weights)];
    const spectra = spectraOf(values, weights, python.sizes)!;
    const first = spectra.densities[0];
    weights.append(Float64Array.of(99), floats(python.weights[1]!));
    values.append(Float64Array.of(99), floats(python.values[1]!));
    expect(spectra.refresh().densities.length).toBe(4);
    expect(spectra.densities[0]).toBe(first);
  });

  it("are none where rows have other sizes", () => {
    expect(spectraOf(block(python.values), undefined, [3, 11])).toBeNull();
    expect(spectraOf(undefined, undefined, python.sizes)).toBeNull();
    expect(spectraOf(new Block(36), undefined, python.sizes)).toBeNull();
  });

  it("show the row in force, or the last measured before it", () => {
    const values = [...python.values, python.values[0]!.map(() => null)];
    const spectra = spectraOf(block(values, [0, 10, 20, 30]), undefined, python.sizes)!;
    expect([-1, 0, 15, 20, 30].map((step) => spectra.row(step))).toEqual([-1, 0, 1, 2, 2]);
    expect(spectra.row(null)).toBe(2);
    expect(spectra.densities[3]!.every(Number.isNaN)).toBe(true);
  });
});

describe("what is drawn of spectra", () => {
  it("is the density with its band, a stroke for each Ritz value and a dot for each outlier", () => {
    const [source, band] = [{ data: {} } as Source, { data: {} } as Source];
    const spectra = all();
    const axis = densityAxis(spectra, "log");
    fillSpectrum(source, band, spectra, 1, axis, "log");
    const column = (key: string) => (source.data[key] as Float64Array).filter(Number.isFinite);
    expectClose(
      column("density"),
      python.density[1]!.map((value) => Math.max(value!, axis[0] / 10)),
    );
    expect(column("ritz").length).toBe(36);
    expect(column("outlier").length).toBe(3);
    column("peak").forEach((peak) => {
      expect(peak).toBeGreaterThan(axis[0]);
    });
    expect(new Set(Object.values(source.data).map((values) => values.length)).size).toBe(1);
    expect(Math.min(...column("low"))).toBeGreaterThan(0);
    expect((band.data.x as number[]).length).toBe(2 * BINS + 1);
  });

  it("is a field with the largest eigenvalue in its first row", () => {
    const spectra = all();
    const field = densityField(spectra);
    expectClose(
      field.row(1),
      [...python.density[1]!].reverse().map((value) => Math.max(value!, python.bumps[0] / 2)),
    );
    expect(field.at(15)).toBe(1);
    expect([heightOf(spectra.low, spectra), heightOf(spectra.high, spectra)]).toEqual([0.5, BINS - 0.5]);
    expect(placeOf(heightOf(1.25, spectra), spectra)).toBeCloseTo(1.25);
  });

  it("counts as negative what is more than rounding below zero", () => {
    const values = Float64Array.of(-1, -1e-9, 0, 10);
    const spectra = spectraOf(block([[...values]], [0]), undefined, [1, 4])!;
    expect(spectra.summary(0)).toEqual({ largest: 10, smallest: -1, negative: 0.25, outliers: [] });
  });

  it("is told in words", () => {
    const store = new Store();
    const status = { step: 0, steps_per_second: null, elapsed: null, share: null, state: "saved", notes: [] };
    const series = ["d/value", "d/weight"].map((key, i) => ({ key, x: 0, y: i + 1, width: 36 }));
    const buffers = [python.steps, python.values.flat(), python.weights.flat()].map(floats);
    store.apply({ head: { op: "reset", seq: 1, status, series }, buffers });
    const spec = { kind: "spectrum", sizes: python.sizes, lines: series } as unknown as PanelSpec;
    const weights = python.weights[1]!;
    const below = python.values[1]!.reduce<number>(
      (sum, value, i) => sum + (value! < 0 ? weights[i]! : 0),
      0,
    );
    expect(summarise(spec, store, 10, null)).toEqual([
      "step 10",
      "λmax 50",
      "λmin −9",
      "3 outliers",
      `${Number(((100 * below) / 3).toPrecision(2))} % < 0`,
    ]);
    const [, eigenvalue, density] = summarise(spec, store, 10, Math.asinh(20 / python.scale));
    expect(eigenvalue).toBe("eigenvalue 20");
    expect(density).toMatch(/^density 0\.00\d+ ± 0\.00\d+$/);
    expect(summarise({ ...spec, kind: "evolution" }, store, null, null)[0]).toBe("λmax 50");
    expect(summarise(spec, store, -5, null)).toEqual([]);
  });
});
