import { describe, expect, it } from "vitest";
import { Reader } from "../src/reader";
import { recordedAfter, recordedAt, recordedBefore, walked } from "../src/recorded";
import { Store } from "../src/store";
import { status, stored } from "./paper";

describe("what the reader looks at", () => {
  const reader = () => new Reader(() => [10, 110]);

  it("is the step pointed at, else the one held, else now", () => {
    const one = reader();
    expect(one.step).toBe(null);
    one.hold(50);
    one.point(70);
    expect([one.step, one.held]).toEqual([70, 50]);
    one.point(null);
    expect(one.step).toBe(50);
    one.hold(null);
    expect(one.step).toBe(null);
  });

  it("stays within the run", () => {
    const one = reader();
    one.hold(5);
    one.point(999);
    expect([one.held, one.pointed]).toEqual([10, 110]);
    one.hold(Number.NaN);
    expect(one.held).toBe(null);
  });

  it("is a window of the run, whichever end comes first", () => {
    const one = reader();
    expect(one.look([90, 30])).toBe(true);
    expect(one.window).toEqual([30, 90]);
    expect(one.look([30, 90])).toBe(false);
    one.look([-50, 40]);
    expect(one.window).toEqual([10, 40]);
  });

  it("is all of it where the window shows all, or nothing", () => {
    const one = reader();
    for (const wanted of [
      [0, 200],
      [10, 110],
      [200, 300],
      [Number.NaN, 30],
      [40, 40],
    ] as [number, number][]) {
      one.look([20, 30]);
      one.look(wanted);
      expect(one.window).toBe(null);
    }
  });

  it("is a step wide at least", () => {
    const one = reader();
    one.look([50.2, 50.4]);
    expect(one.window![1] - one.window![0]).toBeCloseTo(1);
    expect(one.window![0]).toBeCloseTo(49.8);
    one.look([109.9, 110]);
    expect(one.window).toEqual([109, 110]);
  });
});

describe("recorded steps", () => {
  const store = stored([0, 2, 4, 4, 9], { "a/a": [[1], [2], [3], [4], [5]] });
  store.apply({
    head: { op: "append", seq: 2, status, series: [{ key: "b/b", x: 0, y: 1, width: 1 }] },
    buffers: [Float64Array.of(3, 12), Float64Array.of(1, 2)],
  });

  it("are those of all variables", () => {
    const forward = [0];
    for (let next: number | null = 0; next !== null; ) {
      next = recordedAfter(store, next);
      if (next !== null) forward.push(next);
    }
    expect(forward).toEqual([0, 2, 3, 4, 9, 12]);
    const back = [12];
    for (let next: number | null = 12; next !== null; ) {
      next = recordedBefore(store, next);
      if (next !== null) back.push(next);
    }
    expect(back).toEqual(forward.reverse());
  });

  it("are found from any step", () => {
    expect([recordedAt(store, 8), recordedAt(store, 3.5), recordedAt(store, -1)]).toEqual([4, 3, null]);
    expect([walked(store, 0, 3), walked(store, 0, 99), walked(store, 9, -2)]).toEqual([4, 12, 3]);
    expect(recordedAt(new Store(), 5)).toBe(null);
    expect(walked(new Store(), 5, 1)).toBe(5);
  });
});
