import { describe, expect, it } from "vitest";
import { beside, sliceAt } from "../src/slices";
import { NaN_, ROW, status, stored } from "./paper";

describe("the row in force", () => {
  const draft = { step: 25, rows: { "s/loss": [[7, NaN_, 9, NaN_, 11, NaN_]], "s/path": [[1, 2]] } };
  const rows = {
    "s/loss": [ROW, ROW.map((x) => 10 * x), ROW.map(() => NaN_)],
    "s/path": [
      [3, 4],
      [5, 6],
      [7, 8],
    ],
  };
  const steps = [0, 10, 20];

  it("is the last measured at or before the step", () => {
    const store = stored(steps, rows);
    for (const [step, expected] of [
      [null, 10],
      [-1, null],
      [0, 0],
      [9, 0],
      [10, 10],
      [99, 10],
    ] as const) {
      expect(sliceAt(store, "s/loss", step)?.step ?? null).toBe(expected);
    }
    const slice = sliceAt(store, "s/loss", 12)!;
    expect([...beside(store, "s/path", slice)!]).toEqual([5, 6]);
    expect(beside(store, null, slice)).toBeNull();
  });

  it("is what is being measured, unless the reader points at an earlier step", () => {
    const store = stored(steps, rows, draft);
    expect(sliceAt(store, "s/loss", null)).toMatchObject({ step: 25, draft: true });
    expect(sliceAt(store, "s/loss", 30)).toMatchObject({ step: 25, draft: true });
    expect(sliceAt(store, "s/loss", 24)).toMatchObject({ step: 10, draft: false });
    expect([...beside(store, "s/path", sliceAt(store, "s/loss", null)!)!]).toEqual([1, 2]);
    expect(sliceAt(stored([30], { "s/loss": [ROW] }, draft), "s/loss", null)).toMatchObject({ step: 30 });
  });

  it("is measured no more once a message comes without it", () => {
    const store = stored(steps, rows, draft);
    expect(store.draft("s/loss")!.values[0]).toBe(7);
    store.apply({ head: { op: "append", seq: 2, status, series: [], drafts: [] }, buffers: [] });
    expect(store.draft("s/loss")).toBeUndefined();
    store.apply({ head: { op: "append", seq: 3, status, series: [] }, buffers: [] });
    expect(sliceAt(store, "s/loss", null)!.step).toBe(10);
  });
});
