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

  traits: Record<string, unknown> = { snapshot: null };
  saved = 0;

  get(name: string): unknown {
    return name in this.traits ? this.traits[name] : "";
  }
  set(name: string, value: unknown): void {
    this.traits[name] = value;
  }
  save_changes(): void {
    this.saved++;
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

  it("passes a word on to the kernel", () => {
    live.session.send!({ op: "command" });
    expect(model.sent.at(-1)).toEqual({ op: "command" });
  });

  it("tells when a word does not reach the kernel, or the widget is closed", () => {
    let told = 0;
    live.session.onData(() => told++);
    const send = model.send;
    model.send = () => {
      throw new Error("Cannot send");
    };
    expect(() => live.session.send!({ op: "command" })).toThrow("Cannot send");
    expect([live.session.gone, told]).toEqual([true, 1]);
    model.send = send;
    live.session.gone = "its notebook is closed";
    live.end();
    expect([live.session.gone, told, model.listeners.size]).toEqual(["its notebook is closed", 2, 0]);
    live.session.gone = false;
    live.end();
    expect(live.session.gone).toBe(true);
  });

  it("tells of acknowledgements, and takes them for no rows", () => {
    const answers: unknown[] = [];
    live.session.onAck((ack) => answers.push(ack));
    const ack = { op: "ack", id: "a", state: "done", text: "paused" };
    model.listeners.get("msg:custom")!(ack, []);
    model.listeners.get("msg:custom")!({ op: "of a later version" }, []);
    expect(answers).toEqual([ack]);
    expect(live.session.status).toBeNull();
  });

  it("keeps the log and the findings until a message has others, and none where a file has none", () => {
    const command = { step: 3, what: "lr", text: "0.1 -> 0.05" };
    const tell = (op: Head["op"], seq: number, more: object) =>
      model.listeners.get("msg:custom")!({ op, seq, status, series: [], ...more }, []);
    tell("reset", 1, { commands: [command], findings: [{ rule: "spike" }] });
    tell("append", 2, {});
    expect(live.session.commands).toEqual([command]);
    expect(live.session.findings.length).toBe(1);
    tell("append", 3, { commands: [command, command], findings: [] });
    expect(live.session.commands.length).toBe(2);
    expect(live.session.findings).toEqual([]);
    tell("reset", 4, {});
    expect(live.session.commands).toEqual([]);
  });

  it("takes what can be asked for from the widget, and makes nothing of what it can not read", () => {
    const change = (value: unknown) => {
      model.traits.controls = value;
      model.listeners.get("change:controls")!();
      return live.session.controls;
    };
    expect(live.session.controls).toBeNull();
    expect(change('{"groups": 2, "instruments": [{"name": "loss"}]}')?.groups).toBe(2);
    expect(change("{}")).toEqual({ groups: 1, instruments: [] });
    for (const text of ["", "{", "null", undefined, 7]) expect(change(text)).toBe(null);
  });

  it("keeps the arrangement of panels in the widget, and on the page where there is no kernel", () => {
    live.session.keepLayout("{}");
    expect([model.traits.arrangement, model.saved]).toEqual(["{}", 1]);
    model.save_changes = () => {
      throw new Error("no kernel");
    };
    live.session.keepLayout('{"wide":[]}');
    expect(live.session.layout).toBe('{"wide":[]}');
    model.traits.arrangement = "of another tab";
    model.listeners.get("change:arrangement")!();
    expect(live.session.layout).toBe("of another tab");
  });

  it("leaves no listener behind", () => {
    live.dispose();
    expect(model.listeners.size).toBe(0);
  });
});
