import { describe, expect, it } from "vitest";
import { pictureOf } from "../src/pictures";
import { written } from "../src/pictures/bar";
import type { PanelSpec } from "../src/types";
import { line, NaN_, Paper, plane, ROW, stored, texts } from "./paper";

describe("a profile", () => {
  const spec = plane({
    kind: "profile",
    lines: ["before", "after"].map((label, i) => ({ ...line, label, key: `s/${label}`, color: `#${i}` })),
    dims: ["alpha"],
    coords: { alpha: [0, 1, 0.5] },
  });
  const store = stored([0], { "s/before": [[2, 1, 4]], "s/after": [[2, 1, 1.75]] });

  it("marks each barrier at its place with its height", () => {
    const paper = new Paper(spec, store);
    const data = paper.drawn(pictureOf(spec));
    expect([data.x0, data.y0, data.chord0].map((one) => [...(one as Float64Array)])).toEqual([
      [0, 0.5, 1],
      [2, 4, 1],
      [2, 1.5, 1],
    ]);
    expect(paper.source("marks").data).toMatchObject({
      x: [0.5, 0.5],
      foot: [1.5, 1.5],
      head: [1.75, 4],
      text: ["after barrier 0.25", "before barrier 2.5"],
      color: ["#1", "#0"],
    });
  });

  it("tells barriers, or the values at the point", () => {
    const picture = pictureOf(spec);
    expect(texts(picture, spec, store, null)).toEqual([
      "before barrier 2.5\u00a0loss at α 0.5",
      "after barrier 0.25\u00a0loss at α 0.5",
    ]);
    const paper = new Paper(spec, store);
    expect(picture.under(0.7, 0, paper)!.row).toBe(1);
    expect(texts(picture, spec, store, null, 1)).toEqual([
      "α 0.5",
      "before 4\u00a0loss",
      "after 1.75\u00a0loss",
    ]);
    expect(picture.walk!("ArrowUp", false, 1, store, null)).toBe(2);
  });

  it("over copies has their steps to the right", () => {
    const copies = { ...spec, lines: [spec.lines[0]!], dims: ["snapshot"], coords: { snapshot: [0, 1, 2] } };
    const rows = {
      "s/before": [
        [3, 2, NaN_],
        [3, 2, 1],
      ],
      "s/steps": [
        [0, 40, NaN_],
        [0, 40, 90],
      ],
    };
    const both = stored([50, 100], rows);
    const paper = new Paper({ ...copies, steps: "s/steps" }, both);
    const picture = pictureOf(paper.spec);
    picture.label(paper);
    expect([...(paper.drawn(picture).x0 as Float64Array)]).toEqual([0, 40, 90]);
    expect([...(paper.drawn(picture, 60).x0 as Float64Array)]).toEqual([0, 40]);
    expect(paper.model("x_axis").axis_label).toBe("step of the copy");
    expect(texts(picture, paper.spec, both, null, 2)).toEqual(["copy of step 90", "1\u00a0loss"]);
    const plain = new Paper(copies, both);
    expect([...(plain.drawn(pictureOf(copies)).x0 as Float64Array)]).toEqual([0, 1, 2]);
  });
});

describe("a matrix", () => {
  const spec = plane({
    kind: "matrix",
    dims: ["layer", "layer_other"],
    coords: { layer: ["a", "b", "new"], layer_other: ["a", "b", "new"] },
    sizes: [3, 3],
  });
  const row = [1, 0.5, NaN_, 0.25, 1, NaN_, NaN_, NaN_, NaN_];
  const store = stored([0], { "s/loss": [row] });

  it("has its first row on top and leaves out what was not measured", () => {
    const paper = new Paper(spec, store);
    const picture = pictureOf(spec);
    expect(paper.image(picture)).toEqual([0.25, 1, 1, 0.5]);
    expect(paper.source("values").data).toMatchObject({
      x: [0.5, 1.5, 0.5, 1.5],
      y: [1.5, 1.5, 0.5, 0.5],
      text: ["1", "0.5", "0.25", "1"],
    });
    expect([...(paper.model("y_axis").major_label_overrides as Map<number, string>)]).toEqual([
      [1.5, "a"],
      [0.5, "b"],
    ]);
    expect(texts(picture, spec, store, 0, picture.under(1.2, 1.7, paper)!.row)).toEqual([
      "step 0",
      "a, b",
      "0.5\u00a0loss",
    ]);
    expect(picture.under(2.5, 0.5, paper)!.row).toBeNull();
    expect(picture.walk!("ArrowDown", false, 0, store, null)).toBe(3);
    expect(picture.walk!("ArrowRight", true, 3, store, null)).toBe(4);
    expect(picture.walk!("ArrowRight", true, 4, store, null)).toBe(4);
  });

  it("of copies is labelled with their steps", () => {
    const copies = {
      ...spec,
      dims: ["snapshot", "other"],
      coords: { snapshot: [0, 1, 2], other: [0, 1, 2] },
    };
    const both = stored([100], { "s/loss": [row], "s/steps": [[0, 75, NaN_]] });
    const paper = new Paper({ ...copies, steps: "s/steps" }, both);
    const picture = pictureOf(paper.spec);
    paper.image(picture);
    expect([...(paper.model("x_axis").major_label_overrides as Map<number, string>)]).toEqual([
      [0.5, "0"],
      [1.5, "75"],
    ]);
    expect(texts(picture, paper.spec, both, null, 1)).toEqual(["copy 0, copy 75", "0.5\u00a0loss"]);
  });
});

describe("a trajectory", () => {
  const spec = plane({
    kind: "trajectory",
    units: "param",
    dims: ["snapshot", "pc"],
    coords: { snapshot: [0, 1, 2], pc: [1, 2] },
    sizes: [3, 2],
    steps: "s/steps",
  });
  const store = stored([50, 100], {
    "s/loss": [
      [4, 2, 0, 0, NaN_, NaN_],
      [8, 4, 3, 1, 0, 0],
    ],
    "s/steps": [
      [0, 50, NaN_],
      [0, 50, 100],
    ],
  });

  it("goes from the first copy to the newest, with one scale on both axes", () => {
    const paper = new Paper(spec, store);
    const picture = pictureOf(spec);
    expect(paper.drawn(picture)).toMatchObject({ x: [8, 3, 0], y: [4, 1, 0], order: [0, 0.5, 1] });
    expect(paper.source("first").data).toEqual({ x: [8], y: [4] });
    expect(paper.source("newest").data).toEqual({ x: [0], y: [0] });
    const [x, y] = [paper.range("x_range"), paper.range("y_range")];
    expect(x.end - x.start).toBeCloseTo(y.end - y.start);
    expect([x.start < 0, x.end > 8]).toEqual([true, true]);
    expect(paper.drawn(picture, 50)).toMatchObject({ x: [4, 0], y: [2, 0] });
  });

  it("tells of the nearest copy", () => {
    const paper = new Paper(spec, store);
    const picture = pictureOf(spec);
    paper.drawn(picture);
    expect(picture.under(2.5, 2, paper)!.row).toBe(1);
    expect(texts(picture, spec, store, 100, 1)).toEqual(["step 100", "copy of step 50", "(3, 1)\u00a0param"]);
    expect(texts(picture, spec, store, null)[0]).toBe("3 copies");
    expect(picture.walk!("ArrowDown", false, 1, store, null)).toBe(0);
  });
});

describe("a surface", () => {
  it("turns and comes back, and shows the row in force", () => {
    const spec = plane({ kind: "surface", coords: { alpha: [-1, 0, 1], beta: [-1, 1] } });
    const store = stored([0, 10], { "s/loss": [ROW, ROW.map((x) => x ** 2)] });
    const paper = new Paper(spec, store);
    const picture = pictureOf(spec);
    const first = paper.drawn(picture);
    expect([...(first.value as number[])].sort((a, b) => a - b)).toEqual([7.5, 21.5]);
    picture.turn!(40, 10);
    const turned = paper.drawn(picture);
    expect(turned.xs).not.toEqual(first.xs);
    picture.restore!();
    expect(paper.drawn(picture)).toEqual(first);
    expect([...(paper.drawn(picture, 0).value as number[])].sort()).toEqual([2.5, 4.5]);
    expect(texts(picture, spec, store, 0)).toEqual(["step 0", "3 × 2"]);
  });
});

describe("levels beside a bar", () => {
  it("are written as shortly as in Python", () => {
    expect([0, 0.002, 2.5, 50_000, 1e14, 2.5e5, -1e-7].map(written)).toEqual([
      "0",
      "0.002",
      "2.5",
      "50000",
      "1e14",
      "2.5e5",
      "−1e−7",
    ]);
  });
});

describe("words at a barrier", () => {
  it("stay inside the frame", () => {
    const spec = plane({ kind: "profile", dims: ["alpha"], coords: { alpha: [0, 0.01, 1] } });
    const paper = new Paper(spec, stored([0], { "s/loss": [[1, 3, 1]] }));
    paper.drawn(pictureOf(spec));
    const { left, x, text } = paper.source("marks").data;
    expect([x![0], text![0]]).toEqual([0.01, "barrier 2"]);
    const { start, end } = paper.range("x_range");
    expect(left![0]).toBeCloseTo(start + ((9 * 6.2) / 2 / 300) * (end - start));
  });
});

describe("a field over steps", () => {
  const names = ["conv", "norm", "head"];
  const spec = {
    id: "s/loss",
    kind: "heatmap",
    units: "",
    lines: names.map((label, column) => ({ ...line, label, column, key: "s/loss" })),
  } as unknown as PanelSpec;

  it("has no row for a label that never has a value", () => {
    const store = stored([0, 10], {
      "s/loss": [
        [1, NaN_, 3],
        [2, NaN_, 4],
      ],
    });
    const paper = new Paper(spec, store);
    const picture = pictureOf(spec);
    picture.label(paper);
    expect(paper.model("rows").ticks).toEqual([2.5, 1.5, 0.5]);
    const image = paper.image(picture);
    expect([new Set(image.slice(0, 480)), new Set(image.slice(480))]).toEqual([
      new Set([3, 4]),
      new Set([1, 2]),
    ]);
    expect([...(paper.model("y_axis").major_label_overrides as Map<number, string>)]).toEqual([
      [1.5, "conv"],
      [0.5, "head"],
    ]);
    expect(paper.range("y_range").end).toBe(2);
    expect([1.7, 0.2].map((y) => picture.under(0, y, paper)!.row)).toEqual([0, 2]);
    expect([
      picture.walk!("ArrowDown", false, 0, store, null),
      picture.walk!("ArrowUp", false, 2, store, 0),
    ]).toEqual([2, 0]);
    expect(texts(picture, spec, store, null)).toEqual(["largest 4 in head"]);
  });

  it("has a row for each label while none has a value, and for one that comes late", () => {
    const none = stored([0], { "s/loss": [[NaN_, NaN_, NaN_]] });
    const late = stored([0, 1], {
      "s/loss": [
        [1, NaN_, NaN_],
        [1, NaN_, 2],
      ],
    });
    for (const [store, rows] of [
      [none, 3],
      [late, 2],
    ] as const) {
      const paper = new Paper(spec, store);
      paper.drawn(pictureOf(spec));
      expect(paper.range("y_range").end).toBe(rows);
    }
  });

  it("of boundaries tells by name who is trained", () => {
    const told = { ...spec, training: "s/loss" };
    const store = stored([0, 10, 20], {
      "s/loss": [
        [1, NaN_, NaN_],
        [0, 1, NaN_],
        [0, 0, NaN_],
      ],
    });
    const picture = pictureOf(told);
    expect(texts(picture, told, store, 15)).toEqual(["step 10", "norm"]);
    expect(texts(picture, told, store, null)).toEqual(["no task is being trained"]);
  });
});
