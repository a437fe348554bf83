import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RunsPanel } from "../src/lab/panel";
import type { Listing } from "../src/lab/runs";
import { take } from "../src/lab/scope";
import { written } from "../src/lab/verbs";
import { entry, page, run, setUp, stored, tearDown } from "./front";

beforeEach(setUp);
afterEach(tearDown);

const texts = (root: Element, what: string) => [...root.querySelectorAll(what)].map((one) => one.textContent);

describe("the page's modules", () => {
  it("are those in use, else the newest, and may be missing", async () => {
    const versions = { "1.9.0": entry({ v: 9 }), "1.10.0": entry({ v: 10 }), "1.2.0-rc.1": entry({ v: 2 }) };
    expect(await take({ m: versions }, "m")).toEqual({ v: 10 });
    expect(await take({ m: { ...versions, "1.0.0": entry({ v: 0 }, true) } }, "m")).toEqual({ v: 0 });
    expect(await take({}, "m")).toBeNull();
  });
});

describe("the list of runs", () => {
  const listing: Listing = { live: [run], stored: [stored], complete: true };
  const choices = { live: vi.fn(async () => {}), stored: vi.fn(async () => {}) };

  it("names each run with its state, and what is chosen", async () => {
    const panel = new RunsPanel(async () => listing, choices);
    await panel.refresh();
    expect(texts(panel.root, "li b")).toEqual(["a", "b"]);
    const [live, kept] = texts(panel.root, "li small");
    expect(live).toBe("training · step 1\u2009234 · n.ipynb");
    expect(kept).toContain("cut off · step 7 · runs/b c/é.zarr");
    for (const chosen of panel.root.querySelectorAll("button")) chosen.click();
    expect(choices.live).toHaveBeenCalledWith(run);
    expect(choices.stored).toHaveBeenCalledWith(stored);
  });

  it("has first what is being trained", async () => {
    const ended = { ...run, name: "ended", state: "finished", boards: ["e"] };
    const panel = new RunsPanel(async () => ({ ...listing, live: [ended, run], stored: [] }), choices);
    await panel.refresh();
    expect(texts(panel.root, "li b")).toEqual(["a", "ended"]);
  });

  it("reads names as text", async () => {
    const hostile = '<img src=x onerror="alert(1)">';
    const panel = new RunsPanel(async () => ({ ...listing, live: [{ ...run, name: hostile }] }), choices);
    await panel.refresh();
    expect(panel.root.querySelector("img")).toBeNull();
    expect(texts(panel.root, "li b")[0]).toBe(hostile);
  });

  it("keeps the focus while rows come, change and go", async () => {
    let now = listing;
    const panel = new RunsPanel(async () => now, choices);
    document.body.append(panel.root);
    await panel.refresh();
    const button = panel.root.querySelector("button")!;
    button.focus();
    now = {
      ...listing,
      live: [
        { ...run, boards: ["new"], kernel: "x" },
        { ...run, step: 1235 },
      ],
    };
    await panel.refresh();
    expect(document.activeElement).toBe(button);
    expect(
      texts(panel.root, "li small")
        .slice(0, 2)
        .map((one) => one!.split(" · ")[1]),
    ).toEqual(["step 1\u2009234", "step 1\u2009235"]);
    now = { ...listing, live: [] };
    await panel.refresh();
    expect(texts(panel.root, "li b")).toEqual(["b"]);
  });

  it("asks while it is in sight, and says why it can not", async () => {
    const ask = vi.fn(async (): Promise<Listing> => listing);
    const panel = new RunsPanel(ask, choices);
    page.seen(true);
    await vi.advanceTimersByTimeAsync(6500);
    expect(ask).toHaveBeenCalledTimes(3);
    page.seen(false);
    ask.mockRejectedValueOnce(new Error("no server"));
    await vi.advanceTimersByTimeAsync(10_000);
    const times = ask.mock.calls.length;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(ask).toHaveBeenCalledTimes(times);
    ask.mockRejectedValueOnce(new Error("no server"));
    await panel.refresh();
    expect(panel.root.querySelector("[role=status]")!.textContent).toBe("no server");
    await panel.refresh();
    expect(panel.root.querySelector("[role=status]")!.textContent).toBe("");
  });

  it("tells what became of a choice", async () => {
    const failing = { ...choices, live: async () => Promise.reject(new Error("it has no Board")) };
    const panel = new RunsPanel(async () => listing, failing);
    await panel.refresh();
    panel.root.querySelector("button")!.click();
    expect(panel.root.querySelector("[role=status]")!.textContent).toBe("opening a …");
    await vi.advanceTimersByTimeAsync(0);
    expect(panel.root.querySelector("[role=status]")!.textContent).toBe("it has no Board");
  });
});

describe("lines of the palette", () => {
  it("come with the reader's part selected", () => {
    const { text, from, to } = written("%landscape measure [sharpness]");
    expect([text, text.slice(from, to)]).toEqual(["%landscape measure sharpness", "sharpness"]);
    expect(written("%landscape list")).toEqual({ text: "%landscape list", from: 15, to: 15 });
  });
});
