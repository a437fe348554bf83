import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Board } from "../src/board";
import { Closer } from "../src/closer";
import { Reader } from "../src/reader";
import { Session } from "../src/session";
import { LIMIT, Store } from "../src/store";
import type { Head, PanelSpec, RangeHead } from "../src/types";
import { Easel } from "./easel";
import { line, status } from "./paper";

const LAST = 1_000_000;
const RATIO = 100; // of the rows there are to those sent
const KEY = "a/a";

/** Every so many steps, with values that tell the step. */
const stepsOf = (from: number, to: number, by: number) =>
  Float64Array.from({ length: Math.floor((to - from) / by) + 1 }, (_, i) => from + by * i);
const one = (more: object = {}) => [{ key: KEY, x: 0, y: 0, width: 1, ...more }];
const whole = (seq = 1, more: object = { thin: true }) => ({
  head: { op: "reset", seq, status: { ...status, step: LAST }, series: one(more) } as Head,
  buffers: [stepsOf(0, LAST, RATIO)],
});
const range = (from: number, to: number, more: object = {}): RangeHead => ({
  ...{ op: "rows", from, to, series: one(more) },
});
const ascends = (x: Float64Array) => x.every((step, i) => i === 0 || step > x[i - 1]!);

describe("rows of a range", () => {
  let store: Store;
  beforeEach(() => {
    store = new Store();
    store.apply(whole());
  });
  const look = (from: number, to: number, by = 1, more: object = {}) =>
    store.look(range(from, to, more), [stepsOf(from, to, by)]);

  it("stand in for those of the whole, to the step", () => {
    const before = store.get(KEY)!.stamp;
    look(50_000, 50_250);
    const block = store.get(KEY)!;
    expect(block.stamp).not.toBe(before);
    expect(block.rows).toBe(LAST / RATIO + 1 - 3 + 251);
    expect([...block.x().subarray(499, 502)]).toEqual([49_900, 50_000, 50_001]);
    expect([...block.x().subarray(749, 753)]).toEqual([50_249, 50_250, 50_300, 50_400]);
    expect(block.column(0)).toEqual(block.x());
    store.forget();
    expect(store.get(KEY)!.stamp).toBe(before);
  });

  it("are asked for where the whole has too few to fill a picture", () => {
    expect(store.lacks(KEY, 0, LAST)).toBe(false);
    expect(store.lacks(KEY, 0, 0.9 * LAST)).toBe(false);
    expect(store.lacks(KEY, 50_000, 51_000)).toBe(true);
    expect(store.lacks("b/b", 50_000, 51_000)).toBe(false);
    look(49_500, 51_500);
    expect(store.lacks(KEY, 50_000, 51_000)).toBe(false);
    expect(store.lacks(KEY, 51_000, 52_000)).toBe(true);
    look(40_000, 60_000, 10, { thin: true });
    expect(store.lacks(KEY, 45_000, 55_000)).toBe(false);
    expect(store.lacks(KEY, 50_000, 51_000)).toBe(true);
    store.apply(whole(2, {}));
    expect(store.lacks(KEY, 50_000, 51_000)).toBe(false);
  });

  it("are taken once with rows that follow, and go with a message of everything", () => {
    look(LAST - 50, LAST + 50);
    const rows = store.get(KEY)!.rows;
    store.apply({
      head: { ...whole().head, op: "append", seq: 2 },
      buffers: [stepsOf(LAST + 51, LAST + 60, 1)],
    });
    expect(store.get(KEY)!.rows).toBe(rows + 10);
    store.apply(whole(3));
    expect(store.get(KEY)!.rows).toBe(LAST / RATIO + 1);
  });

  it("stay whole when the block they belong to is halved", () => {
    look(50_000, 51_000);
    for (let seq = 2, from = LAST + 1; seq < 40; seq++, from += 10_000)
      store.apply({ head: { ...whole().head, op: "append", seq }, buffers: [stepsOf(from, from + 9999, 1)] });
    const block = store.get(KEY)!;
    expect(block.rows).toBeLessThan(LIMIT + 12_000);
    const at = block.at(50_000);
    expect([...block.x().subarray(at, at + 1001)]).toEqual([...stepsOf(50_000, 51_000, 1)]);
    expect(ascends(block.x())).toBe(true);
    expect(block.x().at(-1)).toBe(LAST + 380_000);
  });

  it("that make no sense are left out", () => {
    const before = store.get(KEY)!.stamp;
    store.look(range(0, 10, { width: 2 }), [stepsOf(0, 10, 1)]);
    store.look(range(0, 10, { key: "b/b" }), [stepsOf(0, 10, 1)]);
    store.look(range(0, 10), [new Float64Array(0)]);
    expect([store.get(KEY)!.stamp, store.get("b/b")]).toEqual([before, undefined]);
  });
});

describe("who looks closer", () => {
  let session: Session;
  let reader: Reader;
  let closer: Closer;
  let sent: { op: string; keys: string[]; from: number; to: number }[];
  const view = async (from: number, to: number) => {
    reader.look([from, to]);
    closer.look();
    await vi.advanceTimersByTimeAsync(200);
  };
  const answer = (more: object = {}) => {
    const { from, to } = sent.at(-1)!;
    session.look(range(from, to, more), [stepsOf(from, to, 1)]);
    closer.look();
  };

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    session = new Session();
    sent = [];
    session.send = (content) => sent.push(content as (typeof sent)[0]);
    session.take(whole());
    reader = new Reader(() => session.span());
    closer = new Closer(session, reader, () => [KEY, "b/b"]);
  });
  afterEach(() => {
    closer.dispose();
    vi.useRealTimers();
  });

  it("is shown the rows there are, with some on both sides, and asks for them once", async () => {
    await view(50_000, 51_000);
    expect(sent).toEqual([{ op: "rows", keys: [KEY], from: 49_750, to: 51_250 }]);
    for (let times = 0; times < 3; times++) {
      closer.look();
      await vi.advanceTimersByTimeAsync(10_000);
    }
    expect(sent.length).toBe(1); // without an answer too
    answer();
    expect(session.store.get(KEY)!.at(51_000) - session.store.get(KEY)!.at(50_000)).toBe(1000);
    await view(50_100, 50_900);
    await view(50_200, 51_200);
    expect(sent.length).toBe(1);
    await view(50_600.5, 51_600.5);
    expect(sent.at(-1)).toEqual({ op: "rows", keys: [KEY], from: 50_350, to: 51_851 });
  });

  it("is asked for once the view has come to rest, and one question after the other", async () => {
    for (let from = 0; from < 10; from++) {
      reader.look([1000 * from, 1000 * from + 900]);
      closer.look();
      await vi.advanceTimersByTimeAsync(50);
    }
    expect(sent.length).toBe(0);
    await vi.advanceTimersByTimeAsync(200);
    expect(sent.map(({ from }) => from)).toEqual([8775]);
    await view(100_000, 101_000);
    expect(sent.length).toBe(1);
    answer();
    await vi.advanceTimersByTimeAsync(200);
    expect(sent.map(({ from }) => from)).toEqual([8775, 99_750]);
  });

  it("sees the shape again when all is in view, and rows are let go of", async () => {
    const before = session.store.get(KEY)!.stamp;
    await view(50_000, 51_000);
    answer();
    await view(500_000, 501_000); // the other range is out of view
    expect(session.store.get(KEY)!.stamp).toBe(before);
    answer();
    reader.look(null);
    closer.look();
    expect(session.store.get(KEY)!.stamp).toBe(before);
    await vi.advanceTimersByTimeAsync(1000);
    expect(sent.length).toBe(2);
  });

  it("asks again after a message of everything", async () => {
    await view(50_000, 51_000);
    answer();
    session.take(whole(2));
    closer.look();
    await vi.advanceTimersByTimeAsync(200);
    expect(sent.length).toBe(2);
  });

  it.each([
    ["on a page without a kernel", () => (session.send = null)],
    ["after the kernel", () => (session.gone = true)],
    ["while nothing can arrive", () => (session.status = { ...status, deaf: "a cell runs" })],
    ["where all rows are there", () => session.take(whole(2, {}))],
  ])("asks nothing %s", async (_, set) => {
    set();
    await view(50_000, 51_000);
    expect(sent).toEqual([]);
  });

  it("goes on where a kernel has just gone", async () => {
    session.send = () => {
      throw new Error("Cannot send");
    };
    await view(50_000, 51_000);
    expect(session.store.get(KEY)!.rows).toBe(LAST / RATIO + 1);
  });
});

describe("a Board that is zoomed", () => {
  it("draws the rows there are in all panels in sight, and the shape again", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "requestAnimationFrame", "performance"] });
    const sight = { observe() {}, unobserve() {}, disconnect() {} };
    vi.stubGlobal(
      "IntersectionObserver",
      vi.fn(function Sight() {
        return sight;
      }),
    );
    const spec = {
      ...{ id: "a", group: "a", kind: "curves", title: "a", units: "", definition: "", reference: "" },
      ...{ scale: "linear", smooth: false, shown: true, forms: { linear: "f" } },
      lines: [{ ...line, key: KEY }],
    } as PanelSpec;
    const session = new Session();
    const sent: { from: number; to: number }[] = [];
    session.send = (content) => sent.push(content as (typeof sent)[0]);
    session.describe(JSON.stringify({ panels: [spec], figures: {} }));
    session.take(whole());
    const easel = new Easel();
    const board = new Board(session, Promise.resolve(easel));
    document.body.append(board.root);
    await vi.advanceTimersByTimeAsync(300);
    const drawn = () => {
      const { x0 } = easel.figures[0]!.get("data")!.data as { x0: Float64Array };
      return [...x0].filter((step) => step >= 50_000 && step <= 50_300);
    };
    board.look([50_000, 50_300]);
    await vi.advanceTimersByTimeAsync(300);
    expect(drawn()).toEqual([50_000, 50_100, 50_200, 50_300]);
    expect(sent).toEqual([{ op: "rows", keys: [KEY], from: 49_925, to: 50_375 }]);
    session.look(range(49_925, 50_375), [stepsOf(49_925, 50_375, 1)]);
    await vi.advanceTimersByTimeAsync(300);
    expect(drawn()).toEqual([...stepsOf(50_000, 50_300, 1)]);
    board.look(null);
    await vi.advanceTimersByTimeAsync(300);
    expect(sent.length).toBe(1);
    expect(session.store.get(KEY)!.rows).toBe(LAST / RATIO + 1);
    board.dispose();
    document.body.replaceChildren();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });
});
