import { describe, expect, it } from "vitest";
import { pictureOf } from "../src/pictures";
import { taskOf, transferOf } from "../src/transfer";
import { line, NaN_, Paper, plane, stored, texts } from "./paper";

describe("a matrix of tasks", () => {
  const spec = plane({
    kind: "matrix",
    dims: ["task_trained", "task_evaluated"],
    coords: { task_trained: ["a", "b"], task_evaluated: ["a", "b", "c"] },
    sizes: [2, 3],
    ends: [0, 1],
    units: "",
    lines: [{ ...line, key: "s/loss", error: { key: "s/error", column: 0 } }],
  });
  const row = [0.996, 0.25, 0.5, 0.896, 0.75, 0.5];
  const store = stored([10, 20], {
    "s/loss": [[...row.slice(0, 3), NaN_, NaN_, NaN_], row],
    "s/error": [row, row.map((one) => one / 100)],
  });

  it("has room for what is to come, and fixed colours", () => {
    const paper = new Paper(spec, store);
    const picture = pictureOf(spec);
    expect(paper.image(picture)).toEqual([NaN_, NaN_, NaN_, ...row.slice(3), ...row.slice(0, 3)]);
    expect(paper.model("colours")).toMatchObject({ low: 0, high: 1 });
    expect(paper.source("values").data.text).toEqual(["1.00", "0.25", "0.50", "0.90", "0.75", "0.50"]);
    expect([...(paper.model("y_axis").major_label_overrides as Map<number, string>).values()]).toEqual([
      "a",
      "b",
      "",
    ]);
    picture.label(paper);
    expect([paper.model("y_axis").axis_label, paper.model("x_axis").axis_label]).toEqual([
      "after training",
      "evaluated on",
    ]);
    expect(paper.image(picture, 10).slice(3, 6)).toEqual([NaN_, NaN_, NaN_]);
  });

  it("says what it amounts to, and each value with its error", () => {
    const picture = pictureOf(spec);
    expect(texts(picture, spec, store, null)).toEqual(["ACC 0.823", "BWT −0.1"]);
    expect(texts(picture, spec, store, 10)).toEqual(["step 10", "ACC 0.996"]);
    expect(texts(picture, spec, store, null, 3)).toEqual(["a after b", "0.896 ± 0.009"]);
    expect(texts(picture, spec, store, null, 7)).toEqual(["b after more training", "NaN"]);
  });

  it("frames the column of the task in front", () => {
    const paper = new Paper(spec, store);
    const picture = pictureOf(spec);
    expect([picture.pins!(0), picture.pins!(4), picture.pins!(7)]).toEqual(["a", "b", "b"]);
    paper.pinned = "b";
    paper.image(picture);
    expect(paper.source("pinned").data).toEqual({ left: [1], right: [2], bottom: [0], top: [3] });
    paper.pinned = null;
    paper.image(picture);
    expect(paper.source("pinned").data).toEqual({ left: [], right: [], bottom: [], top: [] });
  });

  it("of cosines frames rows, is pale around zero and tells the worst conflict", () => {
    const cosines = plane({
      kind: "matrix",
      dims: ["task_evaluated", "task_other"],
      coords: { task_evaluated: ["a", "b"], task_other: ["a", "b"] },
      sizes: [2, 2],
      ends: [-1, 1],
      units: "",
    });
    const both = stored([0], { "s/loss": [[1, -0.25, -0.25, 1]] });
    const paper = new Paper(cosines, both);
    const picture = pictureOf(cosines);
    paper.pinned = "a";
    paper.image(picture);
    expect(paper.source("pinned").data).toEqual({ left: [0], right: [2], bottom: [1], top: [2] });
    expect(paper.source("values").data).toMatchObject({
      text: ["1.00", "−0.25", "−0.25", "1.00"],
      color: ["#FFFFFF", "#222222", "#222222", "#FFFFFF"],
    });
    expect(texts(picture, cosines, both, null)).toEqual(["2 × 2", "−0.25 to 1", "most opposed: a, b"]);
    const layers = plane({ kind: "matrix", dims: ["layer", "layer_other"] });
    expect(pictureOf(layers).pins!(0)).toBeNull();
  });

  it("is summed up over first visits, as far as it is filled", () => {
    const rows = [
      [0.9, 0.1],
      [0.7, 0.8],
      [0.95, 0.6],
      [NaN_, NaN_],
    ];
    const value = (i: number, j: number) => rows[i]![j]!;
    const found = transferOf(value, ["a", "b", "a (2)", "b (2)"], ["a", "b"])!;
    expect(found.average).toBeCloseTo(0.775, 12);
    expect(found.backward).toBeCloseTo(-0.2, 12);
    expect(transferOf(value, ["a"], ["a", "b"])).toEqual({ average: 0.9, backward: NaN_ });
    expect(transferOf(() => NaN_, ["a"], ["a"])).toBeNull();
    expect([taskOf("b (2)", ["b"]), taskOf("b (2)", ["b", "b (2)"]), taskOf("x", ["b"])]).toEqual([0, 1, -1]);
  });
});

describe("singular values of layers", () => {
  const spec = plane({
    kind: "scree",
    units: "param",
    dims: ["layer", "index"],
    coords: { layer: ["in", "out"], index: [0, 1, 2] },
    sizes: [2, 3],
    colors: ["#0", "#1"],
  });
  const store = stored([0, 10], {
    "s/loss": [
      [1, 0.5, 0.25, 2, 1, NaN_],
      [8, 4, 2, 4, 1, NaN_],
    ],
  });

  it("are curves of the step in force, named at their ends", () => {
    const paper = new Paper(spec, store, "log");
    const picture = pictureOf(spec);
    expect(paper.drawn(picture)).toMatchObject({
      xs: [
        [0, 1, 2],
        [0, 1],
      ],
      ys: [
        [8, 4, 2],
        [4, 1],
      ],
      color: ["#0", "#1"],
    });
    expect(paper.source("ends").data).toMatchObject({ x: [1, 2], text: ["out", "in"], color: ["#1", "#0"] });
    const { start, end } = paper.range("y_range");
    expect([start > 0 && start < 0.25, end > 8]).toEqual([true, true]);
    expect(paper.drawn(picture, 5).ys![1]).toEqual([2, 1]);
    expect([picture.isOther!(store, 5), picture.isOther!(store, 10)]).toEqual([false, true]);
    picture.label(paper);
    expect([paper.model("x_axis").axis_label, paper.model("y_axis").axis_label]).toEqual(["index", "param"]);
  });

  it("are read at the sample nearest in sight", () => {
    const paper = new Paper(spec, store, "log");
    const picture = pictureOf(spec);
    paper.drawn(picture);
    const { start, end } = paper.range("y_range");
    const share = (Math.log(4) - Math.log(start)) / (Math.log(end) - Math.log(start));
    const place = picture.under(0.9, start + share * (end - start), paper)!.row!;
    expect(texts(picture, spec, store, null, place)).toEqual(["in", "index 1", "4\u00a0param"]);
    expect(texts(picture, spec, store, null)).toEqual(["largest 8\u00a0param in in"]);
    expect(picture.walk!("ArrowDown", false, place, store, null)).toBe(4);
    expect(picture.walk!("ArrowRight", true, place, store, null)).toBe(2);
    expect(picture.walk!("ArrowRight", false, place, store, null)).toBeUndefined();
    expect(picture.draw(new Paper(spec, stored([], {})))).toBe("nothing measured");
  });
});

describe("a training on the side", () => {
  it("lies over its own steps", () => {
    const spec = plane({ kind: "profile", dims: ["probe_step"], coords: { probe_step: [0, 10, 50] } });
    const store = stored([100], { "s/loss": [[2, 1.5, 1]] });
    const paper = new Paper(spec, store);
    const picture = pictureOf(spec);
    const data = paper.drawn(picture);
    expect([...(data.x0 as Float64Array)]).toEqual([0, 10, 50]);
    expect([...(data.chord0 as Float64Array)]).toEqual([NaN_, NaN_, NaN_]);
    picture.label(paper);
    expect(paper.model("x_axis").axis_label).toBe("step of the probe");
    expect(texts(picture, spec, store, null, 1)).toEqual(["step of the probe 10", "1.5\u00a0loss"]);
  });
});
