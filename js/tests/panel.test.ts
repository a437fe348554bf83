import { beforeEach, describe, expect, it } from "vitest";
import { Plot, type Wanted } from "../src/panel";
import { pictureOf } from "../src/pictures";
import type { Ends } from "../src/plane";
import type { Store } from "../src/store";
import type { PanelSpec } from "../src/types";
import { Easel } from "./easel";
import { line, status, stored } from "./paper";

const curves = {
  id: "a/a",
  kind: "curves",
  units: "",
  lines: [{ ...line, key: "a/a" }],
} as unknown as PanelSpec;
const path = {
  ...curves,
  id: "p/p",
  kind: "trajectory",
  sizes: [3, 2],
  dims: ["snapshot", "pc"],
  steps: "p/steps",
  lines: [{ ...line, key: "p/p" }],
} as PanelSpec;
const wanted: Wanted = { weight: 0, all: [0, 30], window: null, still: false, pinned: null };
const later = (store: Store, key: string, step: number, values: number[]) =>
  store.apply({
    head: { op: "append", seq: ++seq, status, series: [{ key, x: 0, y: 1, width: values.length }] },
    buffers: [Float64Array.of(step), Float64Array.from(values)],
  });
let seq = 1;

async function plotted(spec: PanelSpec, store: Store) {
  const easel = new Easel();
  const looked: Ends[] = [];
  const told = { changed: () => {}, painted: () => {}, looked: (window: Ends) => looked.push(window) };
  const plot = new Plot(spec, "linear", store, pictureOf(spec), told);
  await plot.embed(easel, {}, document.createElement("div"), document.createElement("div"));
  const model = (name: string) => easel.figures[0]!.get(name)!;
  return { plot, model, looked };
}

beforeEach(() => {
  seq = 1;
});

describe("a figure", () => {
  const store = () =>
    stored([0, 10, 20], {
      "a/a": [[1], [2], [3]],
      "p/p": [
        [0, 0, 1, 1, 2, 2],
        [0, 0, 1, 1, 3, 3],
        [0, 0, 1, 1, 4, 4],
      ],
      "p/steps": [
        [0, 5, 9],
        [0, 5, 9],
        [0, 5, 9],
      ],
    });

  it("is drawn again only for what it shows", async () => {
    const data = store();
    const { plot, model } = await plotted(path, data);
    plot.follow(10);
    plot.draw(wanted);
    const fills = model("data").fills;
    expect(fills).toBeGreaterThan(0);
    later(data, "a/a", 30, [4]); // of another panel
    plot.follow(15); // the same row
    plot.draw({ ...wanted, all: [0, 40] });
    expect(model("data").fills).toBe(fills);
    plot.follow(20); // another row
    plot.draw(wanted);
    expect(model("data").fills).toBe(fills + 1);
    later(data, "p/p", 30, [0, 0, 1, 1, 5, 5]); // the axes are those of all rows
    plot.draw(wanted);
    expect(model("data").fills).toBe(fills + 2);
    plot.stale();
    plot.draw(wanted);
    expect(model("data").fills).toBe(fills + 3);
  });

  it("of curves is drawn again as the axis grows, unless steps were chosen", async () => {
    const data = store();
    const { plot, model } = await plotted(curves, data);
    plot.draw(wanted);
    const fills = model("data").fills;
    plot.draw({ ...wanted, all: [0, 60] });
    expect(model("data").fills).toBe(fills + 1);
    expect(model("x_range").end).toBeCloseTo(60.6);
    const some: Wanted = { ...wanted, window: [5, 15] };
    plot.draw(some);
    expect([model("x_range").start, model("x_range").end]).toEqual([5, 15]);
  });

  it("fits its values to the steps in view", async () => {
    const { plot, model } = await plotted(curves, store());
    plot.draw({ ...wanted, window: [8, 22] });
    const { start, end } = model("y_range");
    expect(start).toBeCloseTo(2 - 0.05);
    expect(end).toBeCloseTo(3.05);
  });

  it("tells how the reader moved the steps, and keeps the values that the reader zoomed to", async () => {
    const { plot, model, looked } = await plotted(curves, store());
    plot.draw(wanted);
    expect(looked).toEqual([]);
    model("x_range").setv({ start: 3, end: 9 });
    expect(looked).toEqual([[3, 9]]);
    expect(plot.zoomed).toBe(false);
    model("y_range").setv({ start: 1.5, end: 1.7 });
    expect(plot.zoomed).toBe(true);
    plot.draw({ ...wanted, window: [0, 20] });
    expect([model("x_range").end, model("y_range").start, model("y_range").end]).toEqual([20, 1.5, 1.7]);
    plot.unzoom();
    plot.draw({ ...wanted, window: [0, 20] });
    expect(model("y_range").end).toBeCloseTo(3.1);
  });

  it("keeps its axes while the reader points at it, until other steps are chosen", async () => {
    const { plot, model } = await plotted(curves, store());
    plot.draw(wanted);
    const { end } = model("x_range");
    plot.draw({ ...wanted, all: [0, 500], still: true });
    expect(model("x_range").end).toBe(end);
    plot.draw({ ...wanted, all: [0, 500], still: true, window: [2, 12] });
    expect(model("x_range").end).toBe(12);
  });

  it("shows of a path the copies in view", async () => {
    const { plot, model } = await plotted(path, store());
    plot.draw({ ...wanted, window: [4, 20] });
    expect((model("data").data as { x: number[] }).x).toEqual([1, 4]);
    plot.draw({ ...wanted, window: [6, 8] });
    expect(plot.hint).toBe("no copy in these steps");
  });

  it("tells the step at a pixel, also beside the frame", async () => {
    const { plot } = await plotted(curves, store());
    plot.draw({ ...wanted, window: [10, 20] });
    expect([plot.stepAt(50), plot.stepAt(150), plot.stepAt(250), plot.stepAt(0)]).toEqual([10, 15, 20, 7.5]);
    expect((await plotted(path, store())).plot.stepAt(100)).toBe(undefined);
  });
});
