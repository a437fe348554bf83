import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Pace } from "../src/pace";

/** Drawings that take so many ms each, a part of them in each frame; when each part began. */
function drawn(parts: number, ms: number) {
  const times: number[] = [];
  let left = 0;
  const pace: Pace = new Pace(() => {
    times.push(performance.now());
    if (!left) left = parts;
    busy += ms;
    return --left > 0;
  });
  return { pace, times };
}

let busy = 0;

beforeEach(() => {
  busy = 0;
  vi.useFakeTimers({
    toFake: ["setTimeout", "clearTimeout", "requestAnimationFrame", "cancelAnimationFrame"],
  });
  const clock = { now: 0 };
  vi.spyOn(performance, "now").mockImplementation(() => clock.now + busy);
  advance = (ms) => {
    for (let i = 0; i < ms; i++) {
      clock.now++;
      vi.advanceTimersByTime(1);
    }
  };
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

let advance: (ms: number) => void = () => {};

it("spreads a drawing over frames and draws at once again when it was quick", () => {
  const { pace, times } = drawn(4, 1);
  pace.ask();
  pace.ask();
  advance(100);
  expect(times.length).toBe(4);
  const apart = times.slice(1).map((time, i) => time - times[i]!);
  for (const one of apart) expect(one).toBeGreaterThan(10); // a frame
  pace.ask();
  advance(20);
  expect(times.length).toBe(5);
});

it("rests four times as long as a slow drawing took, its painting included", () => {
  const { pace, times } = drawn(1, 20);
  pace.ask();
  advance(17);
  busy += 10; // BokehJS paints
  pace.painted();
  const over = performance.now();
  pace.ask();
  advance(400);
  expect(times.length).toBe(2);
  expect(times[1]! - over).toBeGreaterThanOrEqual(120 - 2);
  expect(times[1]! - over).toBeLessThan(120 + 40);
});

it("stops", () => {
  const { pace, times } = drawn(3, 1);
  pace.ask();
  advance(20);
  pace.stop();
  advance(200);
  expect(times.length).toBe(1);
});
