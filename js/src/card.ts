import type { Bokeh } from "./bokeh";
import { button, element } from "./dom";
import { drag } from "./drag";
import { whole } from "./format";
import { Plot } from "./panel";
import { explanation, type Picture } from "./picture";
import { pictureOf } from "./pictures";
import { stepsOf } from "./reading";
import type { Store } from "./store";
import type { Description, PanelSpec, Scale } from "./types";

const TURN = 12; // pixels that an arrow key stands for
const STILL = 4; // pixels that a pointer may move in a click

/** What a card tells the Board. */
export interface Host {
  /** Draw me when there is time. */
  dirty(card: Card): void;
  /** The task that the reader keeps in front. */
  readonly pinned: string | null;
  /** Keep a task in front, or no longer. */
  pin(task: string): void;
  /** The reader points at a step, or at none. */
  point(step: number | null): void;
  /** A figure was painted. */
  painted(): void;
}

/** A panel on the Board: its title, the number now, its figure, and the step under the reader's pointer. */
export class Card {
  readonly root: HTMLElement;
  visible = true;
  private readonly now = element("span", { class: "nbtk-now" });
  private readonly box = element("div", { class: "nbtk-plot" });
  private readonly cursor = element("div", { class: "nbtk-cursor", hidden: "" });
  private readonly hint = element("div", { class: "nbtk-hint" });
  private readonly reset: HTMLButtonElement;
  private readonly toggle: HTMLButtonElement;
  private picture: Picture;
  private plot: Plot | null = null;
  private scale: Scale;
  private chosen = false;
  private row: number | null = null;
  private pointed = Number.NEGATIVE_INFINITY;
  private shownText = "";
  private disposed = false;

  constructor(
    public spec: PanelSpec,
    private readonly store: Store,
    private readonly host: Host,
  ) {
    this.picture = pictureOf(spec);
    this.scale = spec.forms[spec.scale] ? spec.scale : "linear";
    const title = element(
      "div",
      { class: "nbtk-title", role: "heading", "aria-level": "4", title: explanation(spec, this.picture) },
      spec.title,
    );
    this.reset = button("↺", "show all again", () => this.unzoom());
    this.reset.hidden = true;
    this.toggle = button("log", `logarithmic scale of ${spec.title}`, () => this.flip());
    this.toggle.hidden = Object.keys(spec.forms).length < 2;
    this.toggle.setAttribute("aria-pressed", String(this.scale === "log"));
    const tools = element("span", { class: "nbtk-tools" }, this.reset, this.toggle);
    this.root = element(
      "section",
      {
        class: `nbtk-panel${this.picture.tall ? " nbtk-tall" : ""}${this.picture.wide ? " nbtk-wide" : ""}${this.picture.turn ? " nbtk-turns" : ""}`,
        tabindex: "0",
        "aria-label": spec.title,
        "data-panel": spec.id,
      },
      element("header", {}, title, this.now, tools),
      element("div", { class: "nbtk-stage" }, this.box, this.cursor, this.hint),
    );
    this.listen();
  }

  /** Draw the figure of this panel, new for each scale. */
  async embed(bokeh: Bokeh, figures: Description["figures"]): Promise<void> {
    this.figures = figures;
    this.bokeh = bokeh;
    await this.build();
  }

  private bokeh: Bokeh | null = null;
  private figures: Description["figures"] = {};

  private async build(): Promise<void> {
    const form = this.spec.forms[this.scale];
    if (!this.bokeh || !form) return;
    const old = this.plot;
    const plot = new Plot(
      this.spec,
      this.scale,
      this.store,
      this.picture,
      () => this.changed(),
      () => this.host.painted(),
    );
    const place = element("div");
    this.box.append(place);
    while (!place.isConnected && !this.disposed) await nextFrame(); // BokehJS draws only what is on the page
    if (this.disposed) return;
    try {
      await plot.embed(this.bokeh, this.figures[form], place, this.root);
    } catch (error) {
      if (!this.disposed) throw error;
    }
    if (this.disposed) return plot.remove();
    old?.remove();
    while (this.box.firstChild !== place) this.box.firstChild!.remove();
    this.plot = plot;
    this.reset.hidden = true;
    this.host.dirty(this);
  }

  /** Go on with other labels in the same figure; whether that is possible. */
  adopt(spec: PanelSpec): boolean {
    const same = (one: PanelSpec) => JSON.stringify([one.kind, one.title, one.units, one.forms]);
    if (same(spec) !== same(this.spec)) return false;
    this.spec = spec;
    this.picture = pictureOf(spec);
    this.row = null;
    this.plot?.adopt(spec, this.picture);
    this.host.dirty(this);
    return true;
  }

  draw(weight: number, span: [number, number]): void {
    this.suit();
    // A reader's pointer holds the axes; one that was left there does not.
    this.plot?.draw(weight, span, performance.now() - this.pointed < 2500, this.host.pinned);
    this.hint.textContent = this.plot?.hint ?? "";
  }

  /** Take the scale that suits the values, until the reader chooses one. */
  private suit(): void {
    const wanted = this.chosen ? undefined : this.picture.suits?.(this.store);
    if (!wanted || wanted === this.scale || !this.spec.forms[wanted]) return;
    this.setScale(wanted);
  }

  paint(): void {
    this.plot?.paint(this.root);
    this.host.dirty(this); // names at the ends of curves carry their colours in their data
  }

  dispose(): void {
    this.disposed = true;
    this.plot?.remove();
    this.root.remove();
  }

  /** Show the step that the reader points at, in whichever panel, and the values there. */
  mark(step: number | null): void {
    if (this.plot?.follow(step)) this.host.dirty(this);
    const place = step === null ? null : this.plot?.place(step);
    this.cursor.hidden = !place;
    if (place) {
      this.cursor.style.transform = `translate(${place.left}px, ${place.top}px)`;
      this.cursor.style.height = `${place.height}px`;
    }
    const lines = this.plot?.lines() ?? this.spec.lines;
    const readings = this.picture.read(lines, this.store, step, this.row);
    const text = readings.map((reading) => reading.text + reading.color).join() + this.spec.id;
    if (text === this.shownText) return;
    this.shownText = text;
    this.now.title = readings.map((reading) => reading.text).join("  "); // it may be cut
    this.now.replaceChildren(
      ...readings.flatMap(({ text, color }) => {
        const part = element("span", {}, text);
        if (color) part.style.setProperty("--nbtk-line", color);
        if (color) part.className = "nbtk-line";
        return [part, " "];
      }),
    );
  }

  private listen(): void {
    this.box.addEventListener("pointermove", (event) => this.point(event));
    this.box.addEventListener("pointerleave", () => this.leave());
    this.box.addEventListener("dblclick", () => this.unzoom());
    this.box.addEventListener("pointerdown", (event) => this.grip(event));
    this.box.addEventListener("click", (event) => this.click(event));
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("focusout", () => this.leave());
  }

  private point(event: PointerEvent): void {
    const box = this.box.getBoundingClientRect();
    const under = this.plot?.under(event.clientX - box.left, event.clientY - box.top);
    this.pointed = performance.now();
    this.row = under?.row ?? null;
    // Over a spectrum there are no steps; it goes on showing the one that the keyboard chose.
    if (under?.step !== null) this.at = under ? Math.round(under.step) : null;
    this.host.point(this.at);
  }

  /** Keep the task under the pointer in front; a drag is no click. */
  private click(event: MouseEvent): void {
    const [x, y] = this.gripped;
    if (Math.hypot(event.clientX - x, event.clientY - y) < STILL) this.pin();
  }

  private pin(): boolean {
    const task = this.row === null ? null : (this.picture.pins?.(this.row) ?? null);
    if (task !== null) this.host.pin(task);
    return task !== null;
  }

  private leave(): void {
    this.pointed = Number.NEGATIVE_INFINITY;
    this.row = null;
    this.at = null;
    this.host.point(null);
    this.host.dirty(this);
  }

  private at: number | null = null;
  private gripped: [number, number] = [0, 0];

  /** Arrow keys walk along the samples and the rows; Home and End go to the ends, Escape back to now. */
  private key(event: KeyboardEvent): void {
    if (event.target !== this.root) return;
    const steps = stepsOf(this.spec, this.store);
    const last = steps.length - 1;
    const here = this.at === null ? last + 1 : steps.findIndex((step) => step >= this.at!);
    const moves: Record<string, number | null> = {
      ArrowLeft: Math.max(0, (here < 0 ? last + 1 : here) - (event.shiftKey ? 10 : 1)),
      ArrowRight: Math.min(last, here + (event.shiftKey ? 10 : 1)),
      Home: 0,
      End: last,
      Escape: null,
    };
    const row = this.picture.walk?.(event.key, event.shiftKey, this.row, this.store, this.at);
    if (event.key === "Enter" && this.pin()) this.pointed = performance.now();
    else if (this.turned(event.key)) this.host.dirty(this);
    else if (last >= 0 && row !== undefined) {
      this.row = row;
      this.at ??= this.picture.alongSteps ? steps[last]! : null;
      this.host.point(this.at);
    } else if (last >= 0 && event.key in moves) {
      const to = moves[event.key]!;
      this.at = to === null ? null : steps[Math.min(last, Math.max(0, to))]!;
      if (to === null) this.row = null;
      this.host.point(this.at);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Turn the picture by an arrow key, if it can be turned. */
  private turned(key: string): boolean {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
    if (!by || !this.picture.turn) return false;
    this.picture.turn(TURN * by[0]!, TURN * by[1]!);
    return true;
  }

  /** Where the pointer went down; a picture that can be turned turns with it. */
  private grip(event: PointerEvent): void {
    this.gripped = [event.clientX, event.clientY];
    const { turn } = this.picture;
    if (turn && event.button === 0) drag(event, (right, up) => this.turn(right, up));
  }

  private turn(right: number, up: number): void {
    this.picture.turn?.(right, up);
    this.host.dirty(this);
  }

  /** All of it again, at once, wherever the pointer is. */
  private unzoom(): void {
    this.pointed = Number.NEGATIVE_INFINITY;
    this.plot?.unzoom();
  }

  private changed(): void {
    this.reset.hidden = !this.plot?.zoomed;
    this.host.dirty(this);
  }

  private flip(): void {
    this.chosen = true;
    this.setScale(this.scale === "log" ? "linear" : "log");
  }

  private setScale(scale: Scale): void {
    this.scale = scale;
    this.toggle.setAttribute("aria-pressed", String(this.scale === "log"));
    void this.build();
  }
}

const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));

/** What the Board says of a step pointed at. */
export const stepText = (step: number): string => `step ${whole(step)}`;
