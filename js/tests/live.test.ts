import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Live, type Model } from "../src/live";
import type { Head } from "../src/types";

const status = { step: 1, steps_per_second: null, elapsed: null, share: null, state: "watching", notes: [] };

/** A widget model without a kernel behind it. */
class FakeModel implements Model {
  sent: unknown[] = [];
  listeners = new Map<string, (...args: unknown[]) => void>();
  asset = {
    comm_live: true,
    get: () => "",
    on: (_: string, call: () => void) => (this.changed = call),
    off: () => {},
  };
  changed = () => {};
  widget_manager = { get_model: async () => this.asset };

  get(name: string): unknown {
    return name === "snapshot" ? null : "";
  }
  send(content: unknown): void {
    this.sent.push(content);
  }
  on(event: string, callback: (...args: never[]) => void): void {
    this.listeners.set(event, callback as (...args: unknown[]) => void);
  }
  off(event: string): void {
    this.listeners.delete(event);
  }
  receive(op: Head["op"], seq: number, steps: number[]): void {
    const bytes = new DataView(Float64Array.from(steps).buffer);
    const series = [{ key: "a/a", x: 0, y: 1, width: 1 }];
    this.listeners.get("msg:custom")!({ op, seq, status, series }, [bytes, bytes]);
  }
}

describe("a run followed live", () => {
  let model: FakeModel;
  let live: Live;

  beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(URL, "createObjectURL").mockReturnValue("data:text/javascript,export default {}");
    vi.spyOn(URL, "revokeObjectURL").mockReturnValue();
    model = new FakeModel();
    live = new Live(model);
  });
  afterEach(() => {
    live.dispose();
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  it("asks for everything at first, and again until it comes", () => {
    expect(model.sent).toEqual([{ op: "hello" }]);
    vi.advanceTimersByTime(1001);
    expect(model.sent.length).toBe(2);
    model.receive("reset", 1, [0]);
    vi.advanceTimersByTime(60_000);
    expect(model.sent.length).toBe(2);
  });

  it("asks once after a gap and drops what it cannot place", () => {
    model.receive("reset", 1, [0]);
    model.receive("append", 3, [2]);
    model.receive("append", 4, [3]);
    expect(model.sent.length).toBe(2);
    expect([...live.session.store.get("a/a")!.x()]).toEqual([0]);
    model.receive("reset", 5, [0, 1, 2, 3, 4]);
    expect(live.session.store.get("a/a")!.rows).toBe(5);
  });

  it("tells when the kernel is gone", async () => {
    await vi.advanceTimersByTimeAsync(1);
    expect(live.session.gone).toBe(false);
    model.asset.comm_live = false;
    model.changed();
    expect(live.session.gone).toBe(true);
  });

  it("leaves no listener behind", () => {
    live.dispose();
    expect(model.listeners.size).toBe(0);
  });
});
