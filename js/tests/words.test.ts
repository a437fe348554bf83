import { describe, expect, it } from "vitest";
import { duration, number, short, whole } from "../src/format";
import { pictureOf } from "../src/pictures";
import { GONE, StatusLine } from "../src/status";
import { Store } from "../src/store";
import type { PanelSpec, Status } from "../src/types";
import { stored } from "./paper";

const status: Status = {
  step: 12_345,
  steps_per_second: 412.3,
  elapsed: 75,
  share: 0.041,
  state: "watching",
  name: "generator",
  notes: ["loss is NaN from step 9", "budget is kept by measuring less"],
};

describe("numbers", () => {
  it("carry what a reader can use", () => {
    expect(number(0.0123456789)).toBe("0.012346");
    expect(number(1.5e-7, 3)).toBe("1.50e−7");
    expect(number(-2)).toBe("−2");
    expect(number(Number.NaN)).toBe("NaN");
    expect(whole(1_234_567)).toBe("1\u2009234\u2009567");
    expect([duration(9.87), duration(75), duration(3725)]).toEqual(["9.9 s", "1:15 min", "1:02:05 h"]);
    expect(short("blocks.11.attention.weight", 10)).toBe("…weight");
    expect(short("attention_output_weight", 10)).toBe("…ut_weight");
    expect(short("short", 10)).toBe("short");
  });
});

describe("the status line", () => {
  it("says step, rate, time, share and state, and alarms apart", () => {
    const line = new StatusLine();
    line.show(status, false);
    expect([...line.root.querySelectorAll(".nbtk-facts span")].map((one) => one.textContent)).toEqual([
      "step 12\u2009345",
      "412 steps/s",
      "1:15 min",
      "4.1 % measuring",
      "training",
      "run generator",
    ]);
    expect([...line.notes.children].map((one) => one.textContent)).toEqual([
      "loss is NaN from step 9",
      "budget is kept by measuring less",
    ]);
  });

  it("does not claim to train without a kernel", () => {
    const line = new StatusLine();
    line.show(status, true);
    expect(line.root.textContent).toContain(GONE);
    expect(line.root.textContent).not.toContain("training");
    line.show({ ...status, state: "paused" }, true);
    expect(line.root.textContent).not.toContain("paused");
    line.show({ ...status, state: "stopped" }, true);
    expect(line.root.textContent).toContain("stopped");
  });
});

describe("readings", () => {
  const line = { key: "a/a", column: 0, label: "0.weight", color: "#111111" };
  const lines = [line, { ...line, column: 1, label: "0.bias" }];
  const store = new Store();
  const series = [{ key: "a/a", x: 0, y: 1, width: 2 }];
  const buffers = [Float64Array.of(0, 10, 20), Float64Array.of(1, 2, 0.123456789, Number.NaN, 5, 6)];
  store.apply({ head: { op: "reset", seq: 1, status, series }, buffers });
  const spec = (kind: string) => ({ kind, units: "loss", lines }) as PanelSpec;
  const texts = (kind: string, step: number | null, row: number | null = null) =>
    pictureOf(spec(kind))
      .read(lines, store, step, row)
      .map((one) => one.text);

  it("are of the last sample of a curve at or before a step, as in every panel", () => {
    expect(texts("curves", null)).toEqual(["0.weight 5", "0.bias 6"]);
    expect(texts("curves", 19)).toEqual(["step 10", "0.weight 0.123457", "0.bias NaN"]);
    expect(texts("heatmap", 19)[0]).toBe("step 10");
    expect([texts("curves", -1), texts("heatmap", -1)]).toEqual([[], []]);
    expect(texts("curves", 11)).toEqual(["step 10", "0.weight 0.123457", "0.bias NaN"]);
  });

  it("are of the row under the pointer, else of the largest", () => {
    expect(texts("heatmap", 12, 1)).toEqual(["step 10", "NaN in 0.bias"]);
    expect(texts("heatmap", 12)).toEqual(["step 10", "largest 0.123457\u00a0loss in 0.weight"]);
    expect(texts("heatmap", null)).toEqual(["largest 6\u00a0loss in 0.bias"]);
  });

  it("are of the runs that had begun, and end with a digit of the error where they are several", () => {
    const store = stored([0, 10, 20], {
      "a/a": [[0.0851584], [0.0851584], [5]],
      "a/e": [[0.069], [1e-6], [2]],
    });
    const series = [{ key: "b/b", x: 0, y: 1, width: 1 }];
    store.apply({
      head: { op: "append", seq: 2, status, series },
      buffers: [Float64Array.of(20), Float64Array.of(7)],
    });
    const [a, b] = [line, { ...line, error: null, key: "b/b", label: "late" }];
    const both = [{ ...a, label: "early", error: { key: "a/e", column: 0 } }, b];
    const told = (lines: typeof both) =>
      [10, 19, 20, 5, -1].map((step) =>
        pictureOf({ ...spec("curves"), lines })
          .read(lines, store, step, null)
          .map((one) => one.text),
      );
    expect(told(both)).toEqual([
      ["step 10", "early 0.0851584 ± 1.0e−6"],
      ["step 10", "early 0.0851584 ± 1.0e−6"],
      ["step 20", "early 5 ± 2", "late 7"],
      ["step 0", "early 0.0852 ± 0.069"],
      [],
    ]);
    const three = [b, b, { ...a, error: null, key: "a/a" }];
    expect(told(three)[0]).toEqual(["step 10", "0.weight 0.08516"]);
    expect(told([...both].reverse())[0]).toEqual(["step 10", "early 0.0851584 ± 1.0e−6"]);
  });

  it("tell the error, and where the value stands to its line", () => {
    const place = { key: "a/a", column: 1 };
    const against = (edge: number) => {
      const one = { ...line, error: place, line: edge };
      return pictureOf({ ...spec("curves"), lines: [one] })
        .read([one], store, null, null)
        .map((part) => part.text);
    };
    expect(against(4.6)).toEqual(["5 ± 6\u00a0loss, about 4.6"]);
    expect(against(4.5)).toEqual(["5 ± 6\u00a0loss, above 4.5"]);
    expect(against(5.4)).toEqual(["5 ± 6\u00a0loss, about 5.4"]);
    expect(against(6)).toEqual(["5 ± 6\u00a0loss, below 6"]);
    expect(against(5)).toEqual(["5 ± 6\u00a0loss"]);
    const gap = { ...line, error: place, line: { ...place, label: "edge" } };
    expect(
      pictureOf({ ...spec("curves"), lines: [gap] })
        .read([gap], store, 10, null)
        .map((part) => part.text),
    ).toEqual([
      "step 10",
      "0.123457\u00a0loss", // neither error nor line was measured there
    ]);
    const edge = { ...line, line: { ...place, label: "edge of stability" } };
    const told = pictureOf({ ...spec("curves"), lines: [edge] }).read([edge], store, null, null);
    expect(told.map((part) => part.text)).toEqual(["5\u00a0loss, below the edge of stability 6"]);
    const named = [edge, { ...lines[1]!, line: edge.line }];
    const both = pictureOf({ ...spec("curves"), lines: named }).read(named, store, null, null);
    expect(both.at(-1)!.text).toBe("edge of stability 6");
    const two = [gap, lines[1]!].map((one) => ({ ...one, line: 7 }));
    expect(
      pictureOf({ ...spec("curves"), lines: two })
        .read(two, store, null, null)
        .map((part) => part.text),
    ).toEqual(["0.weight 5 ± 6", "0.bias 6", "line 7"]);
  });
});
