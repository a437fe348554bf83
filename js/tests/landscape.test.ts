import { describe, expect, it } from "vitest";
import { pictureOf } from "../src/pictures";
import { Store } from "../src/store";
import { NaN_, Paper, plane, ROW, stored, texts } from "./paper";

describe("a landscape", () => {
  const store = stored([0, 10], { "s/loss": [ROW, ROW.map((x) => 10 * x)] });

  it("has alpha to the right and beta upwards, two pixels to a cell", () => {
    const paper = new Paper(plane(), store);
    const picture = pictureOf(plane());
    picture.label(paper);
    const [low, high] = [
      [10, 10, 30, 30, 50, 50],
      [20, 20, 40, 40, 60, 60],
    ];
    expect(paper.image(picture)).toEqual([...low, ...low, ...high, ...high]);
    expect(paper.source("data").data).toMatchObject({ x: [-1.5], y: [-2], dw: [3], dh: [4] });
    // One unit is as long to the right as upwards.
    const [x, y] = [paper.range("x_range"), paper.range("y_range")];
    expect([x.start, x.end, y.start, y.end]).toEqual([-2, 2, -2, 2]);
    expect([paper.model("colours").low, paper.model("colours").high]).toEqual([1, 60]);
  });

  it("follows the step", () => {
    const paper = new Paper(plane(), store);
    const picture = pictureOf(plane());
    paper.image(picture);
    expect(picture.isOther!(store, null)).toBe(false);
    expect(picture.isOther!(store, 5)).toBe(true);
    expect(paper.image(picture, 5)[0]).toBe(1);
    expect(picture.isOther!(store, 5)).toBe(false);
  });

  it("tells exactly what is under the pointer, and nothing outside", () => {
    const paper = new Paper(plane(), store);
    const picture = pictureOf(plane());
    paper.image(picture);
    const told = (a: number, b: number) => texts(picture, plane(), store, 0, picture.under(a, b, paper)!.row);
    expect(told(-0.9, 0.4)).toEqual(["step 0", "α −1", "β 1", "2\u00a0loss"]);
    expect(told(0.45, -1.9)).toEqual(["step 0", "α 0", "β −1", "3\u00a0loss"]);
    expect(told(0.55, -0.1)).toEqual(["step 0", "α 1", "β −1", "5\u00a0loss"]);
    expect(picture.under(1.6, 0, paper)!.row).toBeNull();
    expect(picture.under(0, 2.1, paper)!.row).toBeNull();
  });

  it("names what is not finite and what is missing", () => {
    const odd = stored([0], { "s/loss": [[1, 2, Number.POSITIVE_INFINITY, NaN_, 5, 6]] });
    const paper = new Paper(plane(), odd);
    const picture = pictureOf(plane());
    const image = paper.image(picture);
    expect(image.slice(0, 6)).toEqual([1, 1, NaN_, NaN_, 5, 5]);
    expect(paper.source("infinite").data).toEqual({ left: [-0.5], right: [0.5], bottom: [-2], top: [0] });
    expect(texts(picture, plane(), odd, null, picture.under(0, -1, paper)!.row).at(-1)).toBe("∞, not finite");
    expect(texts(picture, plane(), odd, null, picture.under(0, 1, paper)!.row).at(-1)).toBe(
      "NaN, or not evaluated",
    );
  });

  it("says how far it is while it is being measured", () => {
    const five = { alpha: [-1, -0.5, 0, 0.5, 1], beta: [-1, -0.5, 0, 0.5, 1] };
    const spec = plane({ coords: five, sizes: [5, 5] });
    const coarse = Array.from({ length: 25 }, (_, k) => (k % 2 || Math.floor(k / 5) % 2 ? NaN_ : k + 1));
    const under = stored([], {}, { step: 40, rows: { "s/loss": [coarse] } });
    const picture = pictureOf(spec);
    expect(texts(picture, spec, under, null)).toEqual([
      "step 40",
      "centre 13\u00a0loss",
      "5 × 5, 3 × 3 so far",
    ]);
    const paper = new Paper(spec, under);
    expect(new Set(paper.image(picture))).toEqual(new Set([1, 3, 5, 11, 13, 15, 21, 23, 25]));
    expect(paper.source("data").data).toMatchObject({ x: [-1.25], dw: [2.5] });
    coarse[1] = 2;
    const more = stored([], {}, { step: 40, rows: { "s/loss": [coarse] } });
    expect(texts(picture, spec, more, null).at(-1)).toBe("5 × 5, 3 × 4 so far");
    const done = stored([40], { "s/loss": [coarse] });
    expect(texts(picture, spec, done, null)).toEqual(["centre 13\u00a0loss", "3 × 4"]);
  });

  it("is logarithmic where all is positive, and says why nothing is seen", () => {
    const picture = pictureOf(plane());
    expect(picture.suits!(store)).toBe("log");
    const zero = stored([0], { "s/loss": [[0, -1, -2, -3, -4, -5]] });
    expect(picture.suits!(zero)).toBe("linear");
    expect(picture.draw(new Paper(plane(), zero, "log"))).toBe("no positive value for a logarithmic scale");
    expect(picture.draw(new Paper(plane(), zero))).toBe("");
    expect(picture.draw(new Paper(plane(), new Store()))).toBe("nothing measured");
  });

  it("draws the path of its own row, and its newest point", () => {
    const spec = plane({ path: { key: "s/path", components: 3 } });
    const way = [0.5, 0.25, 9, NaN_, NaN_, 9, -0.5, 0.125, 9];
    const paper = new Paper(
      spec,
      stored([0, 10], { "s/loss": [ROW, ROW], "s/path": [way.map((x) => 2 * x), way] }),
    );
    const picture = pictureOf(spec);
    paper.image(picture);
    expect(paper.source("path").data).toEqual({ x: [0.5, -0.5], y: [0.25, 0.125] });
    expect(paper.source("newest").data).toEqual({ x: [-0.5], y: [0.125] });
    paper.image(picture, 3);
    expect(paper.source("newest").data).toEqual({ x: [-1], y: [0.25] });
  });

  it("is walked through by keys", () => {
    const picture = pictureOf(plane());
    const walk = (key: string, shift: boolean, row: number | null) =>
      picture.walk!(key, shift, row, store, null);
    expect(walk("ArrowRight", false, 2)).toBeUndefined(); // along the steps
    expect(walk("ArrowUp", false, null)).toBe(2);
    expect(walk("ArrowRight", true, 2)).toBe(4);
    expect(walk("ArrowRight", true, 4)).toBe(4);
    expect(walk("ArrowUp", false, 2)).toBe(3);
    expect(walk("ArrowLeft", true, 3)).toBe(1);
  });
});
