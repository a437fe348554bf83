import { describe, expect, it } from "vitest";
import { exported, StatusLine } from "../src/status";

const status = { step: 3, steps_per_second: null, elapsed: null, share: null, state: "", notes: [] };

describe("a page", () => {
  it("says that it was made while the training went on, not that it goes on", () => {
    const words = (state: string) => exported({ ...status, state }).state;
    expect(["watching", "paused", "finished", "saved", "failed"].map(words)).toEqual([
      "exported while training",
      "exported while paused",
      "finished",
      "saved",
      "failed",
    ]);
    expect(exported(null)).toBeNull();
  });

  it("says it in the status line", () => {
    const line = new StatusLine();
    line.show(exported({ ...status, state: "watching" }), false);
    expect(line.root.textContent).toContain("exported while training");
  });
});

describe("the status line", () => {
  it("says why the kernel can not be reached", () => {
    const line = new StatusLine();
    line.show({ ...status, state: "watching" }, "its notebook is closed");
    expect(line.root.textContent).toContain("its notebook is closed");
    expect(line.root.textContent).not.toContain("training");
  });
});
