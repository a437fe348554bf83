import { describe, expect, it } from "vitest";
import type { Range, Source } from "../src/bokeh";
import { fillEnds, namesOf } from "../src/ends";
import type { Scale } from "../src/types";

const LINE = 13;
const ABOVE = 8;
const range = (start: number, end: number) => ({ start, end }) as Range;

/** A frame of 300 by 100 pixels over 300 steps and values from 0 to 100, or from 1 to e. */
const frame = (scale: Scale = "linear") => ({
  ...{ width: 300, height: 100, x: range(0, 300), scale },
  y: scale === "log" ? range(1, Math.E) : range(0, 100),
});

/** Where names are written for curves of values at steps; the middle of each, in pixels from below. */
function written(curves: Record<string, [number, number][]>, scale: Scale = "linear") {
  const lines = Object.keys(curves).map((label) => ({ key: "a/a", column: 0, label, color: label }));
  const source = { data: {} } as Source;
  Object.values(curves).forEach((points, i) => {
    source.data[`x${i}`] = Float64Array.from(points, ([x]) => x);
    source.data[`smooth${i}`] = Float64Array.from(points, ([, y]) => y);
  });
  const ends = { data: {} } as Source;
  fillEnds(ends, source, namesOf(lines), frame(scale));
  const { text, x, y } = ends.data as { text: string[]; x: number[]; y: number[] };
  const up = (value: number) => (scale === "log" ? 100 * Math.log(value) : value);
  return Object.fromEntries(text.map((name, i) => [name, { x: x[i]!, up: up(y[i]!) + ABOVE }]));
}

type Curves = Record<string, [number, number][]>;
const LETTER = 6.2;

/** Names that cover a curve or another name, with what they cover. */
function covering(curves: Curves, scale: Scale = "linear"): string[] {
  const told = Object.entries(written(curves, scale));
  const up = (value: number) => (scale === "log" ? 100 * Math.log(value) : value);
  const inside = (name: string, { x, up: middle }: { x: number; up: number }, at: number, height: number) =>
    at > x - LETTER * name.length && at < x && Math.abs(height - middle) < LINE / 2;
  const found: string[] = [];
  for (const [name, place] of told) {
    for (const [label, points] of Object.entries(curves))
      for (let k = 1; k < points.length; k++)
        for (let part = 0; part <= 1; part += 0.01) {
          const [[a, from], [b, to]] = [points[k - 1]!, points[k]!];
          const height = up(from) + part * (up(to) - up(from));
          if (inside(name, place, a + part * (b - a), height)) found.push(`${name} over ${label}`);
        }
    for (const [other, { x, up: middle }] of told)
      if (other < name && x > place.x - LETTER * name.length && x - LETTER * other.length < place.x)
        if (Math.abs(middle - place.up) < LINE - 1e-9) found.push(`${name} over the name ${other}`);
  }
  return [...new Set(found)];
}

describe("the names at the ends of curves", () => {
  it("are written just above the last sample of a flat curve", () => {
    expect(
      written({
        flat: [
          [0, 50],
          [200, 50],
        ],
      }),
    ).toEqual({ flat: { x: 200, up: 50 + ABOVE } });
  });

  it.each([
    [
      "falls",
      [
        [0, 90],
        [200, 90],
        [300, 40],
      ],
    ],
    [
      "rises",
      [
        [0, 10],
        [200, 10],
        [300, 60],
      ],
    ],
    [
      "falls by a step",
      [
        [0, 90],
        [290, 90],
        [291, 10],
        [300, 10],
      ],
    ],
  ] as [string, [number, number][]][])("cover no part of a curve that %s to its end", (_, points) => {
    expect(covering({ "12345678": points })).toEqual([]);
    const log = points.map(([x, y]): [number, number] => [x, Math.exp(y / 100)]);
    expect(covering({ "12345678": log }, "log")).toEqual([]);
  });

  it("cover no other curve, which may have no sample behind them, and no other name", () => {
    expect(
      covering({
        short: [
          [0, 50],
          [200, 50],
        ],
        long: [
          [0, 58],
          [300, 58],
        ],
      }),
    ).toEqual([]);
    const flat = (y: number): [number, number][] => [
      [0, y],
      [300, y],
    ];
    expect(covering({ one: flat(50), two: flat(50), six: flat(51) })).toEqual([]);
    expect(
      covering({
        "a longer name": [
          [0, 90],
          [300, 20],
        ],
        "the name of another": [
          [0, 80],
          [300, 24],
        ],
      }),
    ).toEqual([]);
  });

  it("stand at the end of their curve, or not far before it where there is no room", () => {
    const told = written({
      falls: [
        [0, 90],
        [200, 90],
        [300, 40],
      ],
      short: [
        [0, 5],
        [150, 20],
      ],
    });
    expect(told.short!.x).toBe(150);
    expect(told.falls!.x).toBeGreaterThan(200);
  });

  it("stay in the frame and apart where every place covers something", () => {
    const all = [5, 20, 35, 50, 65, 80, 95];
    const wild = (y: number) =>
      Array.from({ length: 301 }, (_, x): [number, number] => [x, x % 2 ? y : 99 - y]);
    const places = Object.values(written(Object.fromEntries(all.map((y) => [`at ${y}`, wild(y)]))));
    const heights = places.map(({ up }) => up).sort((a, b) => a - b);
    for (let i = 1; i < heights.length; i++)
      expect(heights[i]! - heights[i - 1]!).toBeGreaterThan(LINE - 1e-6);
    expect(heights.at(-1)! - ABOVE + LINE).toBeLessThanOrEqual(100);
    expect(places.every(({ x }) => x === 300)).toBe(true);
  });

  it("are cut to the frame, and left out of a curve without a value on the axis", () => {
    const name = "a name of a curve that has far more letters than there is room for";
    expect(
      Object.keys(
        written({
          [name]: [
            [0, 1],
            [300, 1],
          ],
        }),
      )[0],
    ).toHaveLength(48);
    expect(
      written(
        {
          none: [
            [0, -1],
            [300, 0],
          ],
        },
        "log",
      ),
    ).toEqual({});
  });
});
