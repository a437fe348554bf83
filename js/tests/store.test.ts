import { describe, expect, it } from "vitest";
import { floats, fromBase64, unpack } from "../src/messages";
import { Block, LIMIT, Store } from "../src/store";
import type { Head } from "../src/types";
import { golden } from "./golden";

const status = { step: 1, steps_per_second: null, elapsed: null, share: null, state: "watching", notes: [] };

function message(op: Head["op"], seq: number, steps: number[], width = 1) {
  const x = Float64Array.from(steps);
  const y = Float64Array.from({ length: steps.length * width }, (_, i) => i);
  return { head: { op, seq, status, series: [{ key: "a/a", x: 0, y: 1, width }] }, buffers: [x, y] };
}

describe("messages", () => {
  it("are read as Python packed them", () => {
    const { bytes } = golden<{ bytes: string }>("widget/golden_message.json");
    const { head, buffers } = unpack(new Uint8Array(Buffer.from(bytes, "hex")))!;
    expect([head.op, head.seq, head.status.share]).toEqual(["reset", 4, 0.25]);
    const [loss, norm] = head.series;
    expect([loss!.key, norm!.key, norm!.width]).toEqual(["loss/loss", "norm/norm", 2]);
    expect([...buffers[loss!.y]!]).toEqual([2.5, Number.NaN, 0.5]);
    expect([...buffers[norm!.x]!]).toEqual([0, 1, 2]);
    expect([...buffers[norm!.y]!]).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("need not lie at a multiple of eight", () => {
    const bytes = new Uint8Array(19);
    bytes.set(new Uint8Array(Float64Array.of(1.5, -2).buffer), 3);
    expect([...floats(new DataView(bytes.buffer, 3, 16))]).toEqual([1.5, -2]);
    expect([...fromBase64("AQID")]).toEqual([1, 2, 3]);
    expect(unpack(new Uint8Array(0))).toBeNull();
  });
});

describe("the store", () => {
  it("takes what follows on and refuses what comes after a gap", () => {
    const store = new Store();
    expect(store.apply(message("append", 5, [0]))).toBe(false);
    expect(store.apply(message("reset", 5, [0, 1]))).toBe(true);
    expect(store.apply(message("append", 6, [2]))).toBe(true);
    expect(store.apply(message("append", 8, [4]))).toBe(false);
    expect([...store.get("a/a")!.x()]).toEqual([0, 1, 2]);
    expect(store.apply(message("reset", 9, [0, 1, 2, 3, 4]))).toBe(true);
    expect(store.get("a/a")!.rows).toBe(5);
  });

  it("asks anew when rows have become wider", () => {
    const store = new Store();
    store.apply(message("reset", 1, [0], 2));
    expect(store.apply(message("append", 2, [1], 3))).toBe(false);
  });

  it("stays bounded and keeps the spike, the first and the last", () => {
    const block = new Block(1);
    const rows = 5000;
    for (let start = 0; start < 3 * LIMIT; start += rows) {
      const x = Float64Array.from({ length: rows }, (_, i) => start + i);
      block.append(
        x,
        x.map((step) => (step === 77_777 ? 1e6 : Math.sin(step))),
      );
      expect(block.rows).toBeLessThanOrEqual(LIMIT + rows);
    }
    const x = block.x();
    const spike = x.indexOf(77_777);
    expect(block.column(0)[spike]).toBe(1e6);
    expect(x[0]).toBe(0);
    expect(x[block.rows - 1]).toBeGreaterThanOrEqual(3 * LIMIT - 1);
    expect(x.every((step, i) => i === 0 || step > x[i - 1]!)).toBe(true);
  });

  it("thins a wide field by whole rows", () => {
    const width = 400;
    const block = new Block(width);
    for (let start = 0; start < 12_000; start += 1000) {
      const x = Float64Array.from({ length: 1000 }, (_, i) => start + i);
      block.append(
        x,
        Float64Array.from({ length: 1000 * width }, (_, i) => start + Math.floor(i / width)),
      );
    }
    expect(block.rows * width).toBeLessThanOrEqual(2 ** 22);
    const x = block.x();
    expect(x[block.rows - 1]).toBe(11_999);
    for (const i of [0, 7, block.rows - 1]) expect(block.row(i)[width - 1]).toBe(x[i]);
  });
});
