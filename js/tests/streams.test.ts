import { describe, expect, it } from "vitest";
import { deepest, episodesOf, type Gap, gapsOf } from "../src/episodes";
import { pictureOf } from "../src/pictures";
import type { PanelSpec } from "../src/types";
import { golden } from "./golden";
import { NaN_, Paper, stored, texts } from "./paper";

interface Told {
  name: string;
  steps: number[];
  values: (number | null)[][];
  training: (number | null)[][];
  episodes: { task: number; begin: number; first: number; last: number }[];
  gaps: Gap[];
}

const column = (rows: (number | null)[][], i: number) =>
  Float64Array.from(rows, (row) => row[i] ?? Number.NaN);

describe("episodes and gaps", () => {
  const streams = golden<Told[]>("panels/golden_streams.json");

  it.each(streams.map((one) => [one.name, one] as const))("of a stream are as in Python: %s", (_, told) => {
    const found = episodesOf(
      told.steps,
      told.training.map((row) => row.indexOf(1)),
    );
    expect(found).toEqual(told.episodes);
    const curves = told.values[0]!.map((_, i) => column(told.values, i));
    const gaps = gapsOf(told.steps, curves, found);
    expect(gaps.length).toBe(told.gaps.length);
    gaps.forEach((gap, k) => {
      const { x, y, ...rest } = told.gaps[k]!;
      expect(gap).toMatchObject(rest);
      for (const [one, other] of [
        [gap.x, x],
        [gap.y, y],
      ] as const) {
        expect(one.length).toBe(other.length);
        one.forEach((value, i) => {
          expect(value).toBeCloseTo(other[i]!, 9);
        });
      }
    });
  });

  it("are found at all", () => {
    expect(streams.map((one) => one.gaps.length > 2)).toContain(true);
    expect(streams.some((one) => one.episodes.length === 0)).toBe(true);
    expect(deepest([])).toBeNull();
  });
});

const TASKS = ["first", "second"];
const gapSpec = {
  id: "g/accuracy",
  kind: "gap",
  units: "",
  training: "g/training",
  lines: TASKS.map((label, i) => ({
    key: "g/accuracy",
    column: i,
    label,
    color: `#${i}`,
    error: { key: "g/error", column: i },
  })),
} as unknown as PanelSpec;
const STEPS = [5, 10, 11, 12, 15];
const ROWS = {
  "g/accuracy": [
    [0.5, 0.1],
    [0.9, 0.1],
    [0.8, 0.2],
    [0.6, 0.4],
    [0.85, 0.8],
  ],
  "g/error": STEPS.map(() => [0.01, 0.02]),
  "g/training": [
    [1, 0],
    [0, 1],
    [0, 1],
    [0, 1],
    [0, 1],
  ],
};

describe("the gaps of a stream", () => {
  const store = stored(STEPS, ROWS);

  it("lie between level and curve, with a line where a task begins", () => {
    const paper = new Paper(gapSpec, store);
    paper.all = [0, 15];
    const data = paper.drawn(pictureOf(gapSpec));
    expect(data.xs).toEqual([STEPS, STEPS, [5, 10], [10, 11, 12, 15]]);
    expect(data.ys![3]).toEqual([0.1, 0.2, 0.4, 0.8]);
    expect(data.color).toEqual(["#0", "#1", "#0", "#1"]);
    expect(data.alpha).toEqual([1, 1, 1, 1]);
    expect((data.width as number[])[2]).toBeGreaterThan((data.width as number[])[0]!);
    const gaps = paper.source("gaps").data;
    expect(gaps).toMatchObject({ back: [0.85], start: [10.5], end: [15], color: ["#0"] });
    expect(gaps.xs).toEqual([[10.5, 11, 12, 15]]);
    expect(gaps.ys).toEqual([[0.85, 0.8, 0.6, 0.85]]);
    expect(paper.source("worst").data).toEqual({ x: [12], y: [0.6], color: ["#0"] });
    expect(paper.source("boundaries").data).toMatchObject({ x: [5, 10], text: ["first", "second"] });
    expect(paper.source("ends").data).toMatchObject({ x: [15, 15], text: ["second", "first"] });
    expect(paper.range("x_range").end).toBeGreaterThan(15); // room for the names
    const { start, end } = paper.range("y_range");
    expect([start < -0.02, start > -0.1, end > 1]).toEqual([true, true, true]); // for names at 0 and at the top
  });

  it("are told in words", () => {
    const picture = pictureOf(gapSpec);
    expect(texts(picture, gapSpec, store, null)).toEqual([
      "mean of 2 tasks 0.825",
      "worst dip: first 0.9 → 0.6 → 0.85, lowest 2 steps after second began",
    ]);
    expect(texts(picture, gapSpec, store, 11)).toEqual(["step 11", "first 0.8 ± 0.01", "second 0.2 ± 0.02"]);
    expect(texts(picture, gapSpec, store, 11, 1)).toEqual(["step 11", "second 0.2 ± 0.02"]);
  });

  it("are not where nothing comes back", () => {
    const forgotten = [0.5, 0.9, 0.5, 0.3, 0.31].map((first, i) => [first, i / 10]);
    const lost = stored(STEPS, { ...ROWS, "g/accuracy": forgotten });
    const paper = new Paper(gapSpec, lost);
    const picture = pictureOf(gapSpec);
    paper.drawn(picture);
    expect([paper.source("gaps").data.back, paper.source("worst").data.x]).toEqual([[], []]);
    expect(texts(picture, gapSpec, lost, null)).toEqual(["mean of 2 tasks 0.355", "no gap"]);
    paper.pinned = "second"; // nothing was trained after it
    paper.drawn(picture);
    expect(texts(picture, gapSpec, lost, null)).toEqual(["second 0.4"]);
    paper.pinned = "first";
    paper.drawn(picture);
    expect(texts(picture, gapSpec, lost, null)).toEqual(["first 0.31", "no gap"]);
  });

  it("lie on marked samples where these are few", () => {
    const paper = new Paper(
      gapSpec,
      stored(STEPS, { "g/accuracy": ROWS["g/accuracy"].map((row, i) => (i === 1 ? [NaN_, 0.1] : row)) }),
    );
    const picture = pictureOf(gapSpec);
    paper.drawn(picture);
    const few = paper.source("dots").data;
    expect([few.x, few.y]).toEqual([
      [5, 11, 12, 15, ...STEPS],
      [0.5, 0.8, 0.6, 0.85, 0.1, 0.1, 0.2, 0.4, 0.8],
    ]);
    paper.pinned = "second";
    paper.drawn(picture);
    expect(new Set((paper.source("dots").data.alpha as number[]).slice(0, 4))).toEqual(new Set([0.15]));
    const steps = [...Array(200).keys()];
    const dense = new Paper(gapSpec, stored(steps, { "g/accuracy": steps.map(() => [0, 1]) }));
    dense.drawn(pictureOf(gapSpec));
    expect(dense.source("dots").data.x).toEqual([]);
  });

  it("of the task in front are shown alone, with its error", () => {
    const paper = new Paper(gapSpec, store);
    const picture = pictureOf(gapSpec);
    paper.pinned = "second";
    expect(paper.drawn(picture).alpha).toEqual([0.15, 1, 0.15, 1]);
    expect(paper.source("gaps").data.back).toEqual([]);
    expect(paper.source("ends").data.text).toEqual(["second"]);
    expect([...(paper.source("band").data.y as number[])].slice(0, 2)).toEqual([
      0.12000000000000001, 0.12000000000000001,
    ]);
    expect(texts(picture, gapSpec, store, null)).toEqual(["second 0.8"]);
    paper.pinned = "first";
    paper.drawn(picture);
    expect(paper.source("gaps").data.back).toEqual([0.85]);
    expect(texts(picture, gapSpec, store, null)).toEqual([
      "first 0.85",
      "worst dip: 0.9 → 0.6 → 0.85, lowest 2 steps after second began",
    ]);
    paper.pinned = "a layer"; // of another panel
    expect(paper.drawn(picture).alpha).toEqual([1, 1, 1, 1]);
    expect(paper.source("band").data).toEqual({ x: [], y: [] });
  });

  it("are pinned by the curve under the pointer", () => {
    const paper = new Paper(gapSpec, store);
    const picture = pictureOf(gapSpec);
    paper.drawn(picture);
    expect(picture.under(12.4, 0.41, paper)).toEqual({ step: 12.4, row: 1 });
    expect(picture.under(12.4, 0.5, paper)!.row).toBeNull();
    expect(picture.pins!(1)).toBe("second");
    expect(picture.walk!("ArrowDown", false, null, store, null)).toBe(0);
    expect(picture.walk!("ArrowDown", false, 1, store, null)).toBe(1);
  });

  it("need to know what is trained: else there are plain curves", () => {
    const unknown = stored(STEPS, { ...ROWS, "g/training": STEPS.map(() => [NaN_, NaN_]) });
    const paper = new Paper(gapSpec, unknown);
    const picture = pictureOf(gapSpec);
    expect(paper.drawn(picture).xs).toEqual([STEPS, STEPS]);
    expect(paper.source("boundaries").data.x).toEqual([]);
    expect(texts(picture, gapSpec, unknown, null)).toEqual(["mean of 2 tasks 0.825", "no boundaries told"]);
    const nothing = new Paper(gapSpec, stored([], {}));
    expect(picture.draw(nothing)).toBe("nothing measured");
  });

  it("of many tasks are not all shaded at once, and names do not run into each other", () => {
    const count = 9;
    const steps = [...Array(3 * count).keys()];
    const spec = {
      ...gapSpec,
      lines: [...Array(count).keys()].map((i) => ({
        ...gapSpec.lines[0]!,
        column: i,
        label: `task number ${i}`,
      })),
    };
    const rows = {
      "g/accuracy": steps.map((step) => [...Array(count).keys()].map((i) => ((step * (i + 7)) % 10) / 10)),
      "g/training": steps.map((step) =>
        [...Array(count).keys()].map((i) => Number(Math.floor(step / 3) === i)),
      ),
    };
    const paper = new Paper(spec, stored(steps, rows));
    paper.all = [0, steps.length];
    const picture = pictureOf(spec);
    paper.drawn(picture);
    expect(paper.source("gaps").data.back!.length).toBe(1);
    expect(paper.source("ends").data.text).toEqual([]);
    const named = (paper.source("boundaries").data.text as string[]).filter(Boolean);
    expect([named[0], named.length < count]).toEqual(["task number 0", true]);
    paper.pinned = "task number 1";
    paper.drawn(picture);
    expect(paper.source("ends").data.text).toEqual(["task number 1"]);
  });
});
