import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BEGUN } from "../src/begun";
import { CLOSED } from "../src/lab/tab";
import { VERBS } from "../src/lab/verbs";
import { boards, Front, page, run, setUp, stored, tearDown } from "./front";

beforeEach(setUp);
afterEach(tearDown);

describe("the extension", () => {
  it("offers each verb", async () => {
    const front = await new Front().start();
    expect(front.added.map(([, area]) => area)).toEqual(["left"]);
    const offered = front.items.map((item) => item.command);
    expect(offered).toEqual([
      "nbtoolkit:runs",
      "nbtoolkit:cell",
      ...VERBS.map((verb) => `nbtoolkit:${verb.name}`),
    ]);
    for (const verb of VERBS) expect(verb.line).toMatch(RegExp(`^%landscape ${verb.name}\\b`));
  });

  it("does with less where a front end has less", async () => {
    const front = new Front();
    for (const name of ["notebook", "apputils", "launcher", "application", "ui-components"])
      delete front.modules[`@jupyterlab/${name}`];
    await front.start();
    expect(front.added).toHaveLength(1);
    expect([...front.commands.keys()]).toEqual(["nbtoolkit:runs"]);
  });

  it("opens the Board of a run beside its notebook, once", async () => {
    const told = boards("u1", "u2");
    const front = await new Front().start();
    page.seen(true);
    await vi.advanceTimersByTimeAsync(0);
    for (let i = 0; i < 2; i++) {
      front.side.querySelector("button")!.click();
      await vi.advanceTimersByTimeAsync(0);
    }
    expect(front.added.slice(1).map(([, ...where]) => where)).toEqual([
      ["main", { mode: "split-right", ref: "panel" }],
    ]);
    const tab = front.added[1]![0];
    expect([tab.id, front.active, tab.node.textContent]).toEqual(["u2", "u2", "the Board"]);
    tab.gone();
    expect(told.disposed).toBe(1);
    front.side.querySelector("button")!.click();
    await vi.advanceTimersByTimeAsync(0);
    expect(front.added).toHaveLength(3);
  });

  it("lets a tab follow the run again when its notebook was closed and opened", async () => {
    const before = boards("u1");
    const front = await new Front().start();
    page.seen(true);
    await vi.advanceTimersByTimeAsync(0);
    const choose = () => front.side.querySelector("button")!.click();
    choose();
    await vi.advanceTimersByTimeAsync(0);
    const tab = front.added[1]![0];
    front.panel.closed();
    expect([before.session.gone, before.session.told]).toEqual([CLOSED, 1]);
    const after = boards("u1");
    dispatchEvent(new CustomEvent(BEGUN, { detail: "u1" }));
    expect([before.disposed, after.shown, tab.node.childElementCount]).toEqual([1, [after.session], 1]);
    dispatchEvent(new CustomEvent(BEGUN, { detail: "of another Board" }));
    choose();
    await vi.advanceTimersByTimeAsync(0);
    expect([after.shown.length, front.added.length, front.active]).toEqual([1, 2, "u1"]);
    front.panel.closed();
    expect([before.session.told, after.session.gone]).toEqual([1, CLOSED]);
    tab.gone();
    dispatchEvent(new CustomEvent(BEGUN, { detail: "u1" }));
    expect([after.disposed, after.shown.length]).toEqual([1, 1]);
  });

  it("shows a run as it is on the page now, though nobody told", async () => {
    boards("u1");
    const front = await new Front().start();
    page.seen(true);
    await vi.advanceTimersByTimeAsync(0);
    for (let i = 0; i < 2; i++) {
      const told = boards("u1");
      front.side.querySelector("button")!.click();
      await vi.advanceTimersByTimeAsync(0);
      expect(told.shown).toEqual([told.session]);
    }
    expect(front.added).toHaveLength(2);
  });

  it("opens the notebook where the line to the kernel is cut", async () => {
    const cut = () => {
      throw new Error("Cannot send");
    };
    const before = boards("u1");
    before.session.send = cut;
    const front = await new Front().start();
    page.seen(true);
    await vi.advanceTimersByTimeAsync(0);
    await front.do("nbtoolkit:pause");
    expect(front.source).toBe("%landscape pause");
    front.side.querySelector("button")!.click();
    await vi.advanceTimersByTimeAsync(500);
    expect(front.executed.at(-1)).toEqual(["docmanager:open", { path: "n.ipynb" }]);
    expect([before.session.gone, before.shown]).toEqual([true, []]);
    const after = boards("u1");
    await vi.advanceTimersByTimeAsync(300);
    expect(after.shown).toEqual([after.session]);
  });

  it("opens the notebook of a run that is not on the page, and waits for its Board", async () => {
    const front = await new Front().start();
    page.seen(true);
    await vi.advanceTimersByTimeAsync(0);
    front.side.querySelector("button")!.click();
    await vi.advanceTimersByTimeAsync(1000);
    expect(front.executed).toEqual([["docmanager:open", { path: "n.ipynb" }]]);
    boards("u1");
    await vi.advanceTimersByTimeAsync(300);
    expect(front.active).toBe("u1");
    delete (globalThis as { nbtoolkit?: unknown }).nbtoolkit;
    front.side.querySelector("button")!.click();
    await vi.advanceTimersByTimeAsync(11_000);
    expect(front.side.querySelector("[role=status]")!.textContent).toContain("run %landscape show");
  });

  it("opens a stored run in a notebook beside it", async () => {
    const front = new Front();
    const name = 'q"\\\n.zarr';
    front.answers.runs = { live: [], stored: [{ ...stored, path: `a/b/${name}` }], complete: true };
    await front.start();
    page.seen(true);
    await vi.advanceTimersByTimeAsync(0);
    front.side.querySelector("button")!.click();
    await vi.advanceTimersByTimeAsync(0);
    const [[path, model]] = front.saved as [Front["saved"][0]];
    expect(path).toBe("a/b/Untitled.ipynb");
    expect(model.content.cells[0]!.source).toBe(
      'import nbtoolkit\n\nnbtoolkit.show(nbtoolkit.open_run("q\\"\\\\\\n.zarr"))',
    );
    expect(front.executed.map(([id]) => id)).toEqual(["docmanager:open", "notebook:run-cell"]);
  });

  it("writes a verb's line below, or sends the command where a loop runs on the page", async () => {
    const front = await new Front().start();
    await front.do("nbtoolkit:measure");
    expect(front.source).toBe("%landscape measure sharpness");
    expect(front.selection).toEqual({ start: { line: 0, column: 19 }, end: { line: 0, column: 28 } });
    await front.do("nbtoolkit:pause");
    expect(front.source).toBe("%landscape pause");
    const told = boards("u1");
    front.source = "";
    await front.do("nbtoolkit:pause");
    await front.do("nbtoolkit:advance");
    expect(told.sent).toMatchObject([
      { op: "command", what: "pause" },
      { op: "command", what: "advance", steps: 1 },
    ]);
    expect(new Set(told.sent.map((one) => (one as { id: string }).id)).size).toBe(2);
    expect(front.source).toBe("");
    front.answers.runs = { live: [{ ...run, notebook: "other.ipynb" }], stored: [], complete: true };
    await front.do("nbtoolkit:stop");
    expect(front.source).toBe("%landscape stop");
    expect(told.sent).toHaveLength(2);
  });

  it("puts the magic on top of a cell, once", async () => {
    const front = await new Front().start();
    front.source = "for i in range(3): pass";
    await front.do("nbtoolkit:cell");
    await front.do("nbtoolkit:cell");
    expect(front.source).toBe("%%landscape\nfor i in range(3): pass");
  });

  it("has a card for each companion, which opens a copy", async () => {
    const front = new Front();
    front.answers.companions = [{ name: "02.ipynb", title: "The edge" }];
    await front.start();
    expect(front.cards).toMatchObject([{ command: "nbtoolkit:companion", args: { title: "The edge" } }]);
    await front.do("nbtoolkit:companion", { ...front.cards[0]!.args, cwd: "folder" });
    expect(front.executed).toEqual([["docmanager:open", { path: "copy.ipynb" }]]);
  });

  it("says what to do where the server does not know it", async () => {
    const front = new Front();
    front.answers = {};
    await front.start();
    page.seen(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(front.side.querySelector("[role=status]")!.textContent).toContain(
      "jupyter server extension enable nbtoolkit.lab",
    );
  });
});
