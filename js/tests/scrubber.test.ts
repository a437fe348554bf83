import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Reader } from "../src/reader";
import { type Hands, Scrubber } from "../src/scrubber";
import { Session } from "../src/session";
import { status } from "./paper";

/** A session with rows at 0, 10 ... 100 and a Board that does as the strip asks. */
function strip() {
  const session = new Session();
  const steps = Float64Array.from({ length: 11 }, (_, i) => 10 * i);
  const series = [{ key: "a/a", x: 0, y: 0, width: 1 }];
  session.take({ head: { op: "reset", seq: 1, status: { ...status, step: 100 }, series }, buffers: [steps] });
  const reader = new Reader(() => session.span());
  const shown: (number | null)[] = [];
  const board = { inSight: true };
  const hands: Hands = {
    hold: (step) => {
      reader.hold(step);
      shown.push(reader.held);
      scrubber.show();
    },
    look: (window) => {
      reader.look(window);
      scrubber.show();
    },
    inSight: () => board.inSight,
  };
  const scrubber: Scrubber = new Scrubber(session, reader, hands);
  const find = (name: string) =>
    scrubber.root.querySelector<HTMLInputElement>(`[aria-label="${name}"]`) as HTMLInputElement;
  const press = (name: string, key: string, more: object = {}) =>
    find(name).dispatchEvent(new KeyboardEvent("keydown", { key, cancelable: true, bubbles: true, ...more }));
  return { session, reader, scrubber, shown, board, find, press };
}

describe("the strip of steps", () => {
  it("follows now until a step is held", () => {
    const { session, reader, scrubber, find } = strip();
    const slider = find("step shown");
    expect(slider.getAttribute("aria-valuetext")).toBe("now, step 100");
    expect([slider.min, slider.max, slider.value]).toEqual(["0", "100", "100"]);
    expect(find("back to now").disabled).toBe(true);
    session.status = { ...status, step: 200 };
    scrubber.show();
    expect(slider.value).toBe("200");
    reader.hold(50);
    scrubber.show();
    expect(slider.getAttribute("aria-valuetext")).toBe("step 50");
    expect(scrubber.root.textContent).toContain("showing step 50");
    session.status = { ...status, step: 300 };
    scrubber.show();
    expect([slider.value, slider.max]).toEqual(["50", "300"]);
    find("back to now").click();
    expect([reader.held, slider.value]).toEqual([null, "300"]);
  });

  it("goes to the record at or before the place of the handle", () => {
    const { reader, find } = strip();
    find("step shown").value = "47.3";
    find("step shown").dispatchEvent(new Event("input"));
    expect(reader.held).toBe(40);
  });

  it.each([
    ["ArrowLeft", {}, 90],
    ["ArrowLeft", { shiftKey: true }, 0],
    ["PageDown", {}, 90],
    ["Home", {}, 0],
    ["End", {}, 100],
  ])("walks along the records: %s", (key, more, step) => {
    const { reader, press } = strip();
    press("step shown", key, more);
    expect(reader.held).toBe(step);
  });

  it("leaves keys of the browser alone", () => {
    const { reader, press } = strip();
    expect(press("step shown", "ArrowLeft", { altKey: true })).toBe(true);
    expect(press("step shown", "a")).toBe(true);
    expect(reader.held).toBe(null);
  });

  it("chooses the steps in view by its two handles", () => {
    const { reader, press, find } = strip();
    press("first step in view", "ArrowRight");
    press("last step in view", "ArrowLeft", { shiftKey: false });
    press("last step in view", "PageDown");
    expect(reader.window).toEqual([10, 80]);
    expect(find("last step in view").getAttribute("aria-valuenow")).toBe("80");
    press("first step in view", "End");
    expect(reader.window).toEqual([79, 80]); // they do not cross
    find("show all steps").click();
    expect(reader.window).toBe(null);
    expect(find("show all steps").disabled).toBe(true);
  });
});

describe("the player", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("shows every record in eight seconds and stops at the end", () => {
    const { shown, scrubber, find, reader } = strip();
    find("play the recorded steps").click();
    expect(find("stop playing")).toBeTruthy();
    vi.advanceTimersByTime(7900);
    expect(scrubber.player.playing).toBe(true);
    vi.advanceTimersByTime(200);
    expect(scrubber.player.playing).toBe(false);
    expect([...new Set(shown)]).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
    expect(shown.length).toBeLessThanOrEqual(162); // twenty a second
    expect(reader.held).toBe(100);
    vi.advanceTimersByTime(5000);
    expect(shown.at(-1)).toBe(100);
    expect(find("play the recorded steps")).toBeTruthy();
  });

  it("goes on from the step held, and within the steps in view", () => {
    const { reader, shown, find } = strip();
    reader.look([20, 60]);
    reader.hold(50);
    find("play the recorded steps").click();
    vi.advanceTimersByTime(9000);
    expect([...new Set(shown)]).toEqual([50, 60]);
    find("play the recorded steps").click(); // from the end anew
    expect(shown.at(-1)).toBe(20);
  });

  it("waits while nobody can see it", () => {
    const { shown, board, find } = strip();
    find("play the recorded steps").click();
    vi.advanceTimersByTime(1000);
    board.inSight = false;
    const before = shown.length;
    vi.advanceTimersByTime(60_000);
    expect(shown.length).toBe(before);
    board.inSight = true;
    vi.advanceTimersByTime(100);
    expect(shown.at(-1)).toBe(10);
  });

  it("jumps where little motion is wanted", () => {
    vi.stubGlobal("matchMedia", (query: string) => ({ matches: query.includes("reduced-motion") }));
    const { shown, find } = strip();
    find("play the recorded steps").click();
    vi.advanceTimersByTime(9000);
    expect(shown).toEqual([0, 10, 20, 30, 50, 60, 70, 80, 100]);
  });

  it("stops for the reader", () => {
    const { shown, find, press, scrubber } = strip();
    find("play the recorded steps").click();
    vi.advanceTimersByTime(3000);
    press("step shown", "ArrowRight");
    expect(scrubber.player.playing).toBe(false);
    const count = shown.length;
    vi.advanceTimersByTime(9000);
    expect(shown.length).toBe(count);
  });
});
