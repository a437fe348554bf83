import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Board } from "../src/board";
import { Session } from "../src/session";
import type { Description, PanelSpec } from "../src/types";
import { Easel } from "./easel";
import { line, status } from "./paper";

const panels = (ids: string): PanelSpec[] =>
  [...ids].map(
    (id) =>
      ({
        ...{ id, group: id, kind: "curves", title: `panel ${id}`, units: "", definition: "", reference: "" },
        ...{ scale: "linear", smooth: false, shown: true, forms: { linear: "f" } },
        lines: [{ ...line, key: `${id}/${id}` }],
      }) as PanelSpec,
  );
const described = (ids: string) => JSON.stringify({ panels: panels(ids), figures: {} } satisfies Description);

/** A session with rows at 0, 10 ... 100 in each panel. */
function session(ids: string, layout = "", name = "sgd"): Session {
  const made = new Session();
  made.layout = layout;
  made.describe(described(ids));
  const steps = Float64Array.from({ length: 11 }, (_, i) => 10 * i);
  const series = [...ids].map((id) => ({ key: `${id}/${id}`, x: 0, y: 0, width: 1 }));
  const now = { ...status, step: 100, name };
  made.take({ head: { op: "reset", seq: 1, status: now, series }, buffers: [steps] });
  return made;
}

describe("the Board", () => {
  let easel: Easel;
  let board: Board;

  const show = async (from: Session) => {
    easel = new Easel();
    board = new Board(from, Promise.resolve(easel));
    document.body.append(board.root);
    await vi.advanceTimersByTimeAsync(100);
    return board;
  };
  const card = (id: string) => board.root.querySelector<HTMLElement>(`[data-panel="${id}"]`)!;
  const order = () => [...board.grid.root.children].map((one) => (one as HTMLElement).dataset.panel).join("");
  const press = (on: HTMLElement, key: string, more: object = {}) =>
    on.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
  const named = (name: string) =>
    board.root.querySelector<HTMLButtonElement>(`button[aria-label="${name}"]`)!;
  const said = () => board.root.querySelector(".nbtk-pointed")!.textContent;
  const pointer = (on: HTMLElement, type: string, x: number, y = 50, more: object = {}) =>
    on.dispatchEvent(
      new MouseEvent(type, { clientX: x, clientY: y, bubbles: true, cancelable: true, ...more }),
    );
  const kept = (from: Session) => JSON.parse(from.layout || "{}") as Record<string, unknown>;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "requestAnimationFrame", "performance"] });
    vi.stubGlobal(
      "IntersectionObserver",
      class {
        observe() {}
        unobserve() {}
        disconnect() {}
      },
    );
    Element.prototype.scrollIntoView = () => {};
  });
  afterEach(() => {
    board.dispose();
    document.body.replaceChildren();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("holds the step of a click in all panels, until Escape", async () => {
    await show(session("ab"));
    const plot = card("a").querySelector<HTMLElement>(".nbtk-plot")!;
    pointer(plot, "pointerdown", 150);
    pointer(plot, "click", 150, 50, { detail: 1 });
    expect(board.reader.held).toBe(50);
    expect(card("b").querySelector<HTMLElement>(".nbtk-kept")!.hidden).toBe(false);
    expect(card("b").querySelector(".nbtk-now")!.textContent).toContain("step 50");
    expect(said()).toBe("showing step 50");
    press(card("b"), "Escape");
    expect(board.reader.held).toBe(null);
    expect(card("a").querySelector<HTMLElement>(".nbtk-kept")!.hidden).toBe(true);
    expect(said()).toBe("back to now");
  });

  it("does not take a drag for a click, nor a press beside the frame", async () => {
    await show(session("a"));
    const plot = card("a").querySelector<HTMLElement>(".nbtk-plot")!;
    pointer(plot, "pointerdown", 150);
    pointer(plot, "click", 190, 50, { detail: 1 });
    pointer(plot, "pointerdown", 20);
    pointer(plot, "click", 20, 50, { detail: 1 });
    expect(board.reader.held).toBe(null);
  });

  it("shows the step held again when the pointer leaves", async () => {
    await show(session("ab"));
    board.hold(30);
    board.point(70);
    expect(card("b").querySelector(".nbtk-now")!.textContent).toContain("step 70");
    board.point(null);
    expect(card("b").querySelector(".nbtk-now")!.textContent).toContain("step 30");
  });

  it("does nothing to the step held by a double click, which shows all", async () => {
    await show(session("a"));
    board.hold(20);
    board.look([10, 40]);
    const plot = card("a").querySelector<HTMLElement>(".nbtk-plot")!;
    for (const [type, detail] of [
      ["click", 1],
      ["click", 2],
      ["dblclick", 2],
    ] as const) {
      pointer(plot, "pointerdown", 200);
      pointer(plot, type, 200, 50, { detail });
    }
    expect([board.reader.held, board.reader.window]).toEqual([20, null]);
  });

  it("selects the steps of a drag with Shift for all panels", async () => {
    await show(session("ab"));
    const plot = card("a").querySelector<HTMLElement>(".nbtk-plot")!;
    let seen = false;
    plot.addEventListener("pointerdown", () => {
      seen = true;
    });
    const inner = plot.firstElementChild as HTMLElement;
    pointer(inner, "pointerdown", 70, 50, { shiftKey: true });
    expect(seen).toBe(false); // BokehJS would draw a box
    pointer(document.body, "pointermove", 170);
    expect(card("a").querySelector<HTMLElement>(".nbtk-selection")!.style.width).toBe("100px");
    pointer(document.body, "pointerup", 170);
    // Frames go from -1 to 101, with 200 pixels.
    const [from, to] = board.reader.window!;
    expect([from, to].map((one) => Math.round(one))).toEqual([9, 60]);
    await vi.advanceTimersByTimeAsync(300);
    for (const figure of easel.figures) {
      expect([figure.get("x_range")!.start, figure.get("x_range")!.end]).toEqual([from, to]);
    }
  });

  it("walks by keys from the step held, and Enter holds or lets go", async () => {
    await show(session("a"));
    card("a").focus();
    press(card("a"), "Home");
    press(card("a"), "ArrowRight");
    press(card("a"), "Enter");
    expect(board.reader.held).toBe(10);
    card("a").blur();
    card("a").focus();
    press(card("a"), "ArrowRight");
    expect(board.reader.step).toBe(20);
    press(card("a"), "Enter");
    expect(board.reader.held).toBe(20);
    press(card("a"), "Enter");
    expect(board.reader.held).toBe(null);
  });

  it("moves a panel by Alt and arrows, says so, and keeps the focus and the order", async () => {
    const one = session("abc");
    await show(one);
    card("c").focus();
    press(card("c"), "ArrowLeft", { altKey: true });
    press(card("c"), "ArrowUp", { altKey: true });
    expect(order()).toBe("cab");
    expect(document.activeElement).toBe(card("c"));
    expect(said()).toBe("panel c is at place 1 of 3");
    press(card("c"), "ArrowLeft", { altKey: true });
    expect(order()).toBe("cab");
    press(card("c"), "ArrowRight", { altKey: true });
    expect(order()).toBe("acb");
    await vi.advanceTimersByTimeAsync(400);
    expect(kept(one).order).toEqual(["a", "c", "b"]);
  });

  it("marks no text on the way of a panel that is carried", async () => {
    await show(session("ab"));
    const prevented = () =>
      !card("b").dispatchEvent(new Event("selectstart", { bubbles: true, cancelable: true }));
    expect(prevented()).toBe(false);
    pointer(card("a").querySelector<HTMLElement>("header")!, "pointerdown", 10);
    expect(prevented()).toBe(true);
    pointer(document.body, "pointerup", 10);
    expect(prevented()).toBe(false);
  });

  it("gives a reading that is longer than its panel a second line, before a step is held", async () => {
    const one = session("ab");
    one.description.panels[1]!.units = "units that are as long as this";
    await show(one);
    const two = () => ["a", "b"].map((id) => card(id).classList.contains("nbtk-two"));
    expect(two()).toEqual([false, true]);
    board.hold(30);
    expect(two()).toEqual([false, true]);
    expect(card("b").querySelector(".nbtk-now")!.textContent).toMatch(/step 30.*units that/);
  });

  it("hides, enlarges and remembers, in the next view too", async () => {
    const one = session("abc");
    await show(one);
    named("hide this panel: panel b").click();
    named("enlarge panel a").click();
    expect(order()).toBe("ac");
    expect(document.activeElement).toBe(card("c"));
    expect(card("a").classList.contains("nbtk-large")).toBe(true);
    expect(easel.figures[0]!.get("plot")!.height).toBeGreaterThan(200);
    board.look([20, 50]);
    board.dispose(); // keeps what it has not kept yet
    await show(one);
    expect(order()).toBe("ac");
    expect(card("a").classList.contains("nbtk-large")).toBe(true);
    expect(easel.figures[0]!.get("plot")!.height).toBeGreaterThan(200);
    expect(board.reader.window).toEqual([20, 50]);
    named("reset layout").click();
    expect(order()).toBe("abc");
    expect(board.reader.window).toBe(null);
    expect(card("a").classList.contains("nbtk-large")).toBe(false);
    expect(easel.figures[0]!.get("plot")!.height).toBe(200);
    await vi.advanceTimersByTimeAsync(400);
    expect(kept(one)).toEqual({ order: [], hidden: {}, wide: [], range: null, run: null });
  });

  it("keeps the order but not the steps in view for another run", async () => {
    const one = session("ab");
    await show(one);
    board.look([20, 50]);
    press(card("b"), "ArrowLeft", { altKey: true });
    board.dispose();
    await show(session("ab", one.layout, "adam"));
    expect(order()).toBe("ba");
    expect(board.reader.window).toBe(null);
  });

  it("gives a panel that appears later its usual place", async () => {
    const one = session("ac");
    await show(one);
    press(card("c"), "ArrowLeft", { altKey: true });
    one.describe(described("abc"));
    expect(order()).toBe("cab");
  });

  it("goes to a panel and a step, and shows it if it is hidden", async () => {
    await show(session("ab"));
    named("hide this panel: panel b").click();
    board.go(40, "b");
    expect(order()).toBe("ab");
    expect(board.reader.held).toBe(40);
    expect(document.activeElement).toBe(card("b"));
    board.go(60, null);
    expect(board.reader.held).toBe(60);
  });

  it("keeps plain keys from JupyterLab, and leaves it those with Ctrl", async () => {
    await show(session("a"));
    let taken = false;
    // JupyterLab listens on the document, before what has the focus.
    const lab = () => {
      taken = !card("a").hasAttribute("data-lm-suppress-shortcuts");
    };
    document.addEventListener("keydown", lab, { capture: true });
    const keys = [
      ["x", {}],
      ["ArrowUp", { altKey: true }],
      ["s", { ctrlKey: true }],
      ["Enter", { shiftKey: true }],
    ] as const;
    const theirs = keys.map(([key, more]) => {
      press(card("a"), key, more);
      return taken;
    });
    document.removeEventListener("keydown", lab, { capture: true });
    expect(theirs).toEqual([false, false, true, true]);
  });

  it("has one stop for the Tab key in the tools of a card, and arrows between them", async () => {
    await show(session("a"));
    const tools = card("a").querySelector<HTMLElement>("[role=toolbar]")!;
    const stops = () => [...tools.querySelectorAll("button")].filter((one) => one.tabIndex === 0);
    expect(stops().length).toBe(1);
    stops()[0]!.focus();
    press(stops()[0]!, "ArrowRight");
    expect(document.activeElement).toBe(named("enlarge panel a"));
    expect(stops()).toEqual([named("enlarge panel a")]);
    press(stops()[0]!, "ArrowLeft");
    press(stops()[0]!, "ArrowLeft");
    expect(document.activeElement).toBe(named("hide this panel: panel a"));
    expect(board.reader.step).toBe(null); // the arrows were not the card's
  });
});
