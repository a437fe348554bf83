import type { Bokeh } from "./bokeh";
import { button, element } from "./dom";
import { whole } from "./format";
import { Plot } from "./panel";
import { read, stepsOf } from "./reading";
import type { Store } from "./store";
import type { Description, PanelSpec, Scale } from "./types";

/** What a card tells the Board. */
export interface Host {
  /** Draw me when there is time. */
  dirty(card: Card): void;
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
  private plot: Plot | null = null;
  private scale: Scale;
  private row: number | null = null;
  private pointed = Number.NEGATIVE_INFINITY;
  private shownText = "";
  private disposed = false;

  constructor(
    readonly spec: PanelSpec,
    private readonly store: Store,
    private readonly host: Host,
  ) {
    this.scale = spec.forms[spec.scale] ? spec.scale : "linear";
    const title = element(
      "div",
      { class: "nbtk-title", role: "heading", "aria-level": "4", title: explanation(spec) },
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
      { class: "nbtk-panel", tabindex: "0", "aria-label": spec.title, "data-panel": spec.id },
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
      () => this.zoomed(),
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

  draw(weight: number, span: [number, number]): void {
    // A reader's pointer holds the axes; one that was left there does not.
    this.plot?.draw(this.store, weight, span, performance.now() - this.pointed < 2500);
    this.hint.textContent = this.plot?.hint ?? "";
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
    const readings = read(this.spec, this.plot?.lines() ?? this.spec.lines, this.store, step, this.row);
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

  private leave(): void {
    this.pointed = Number.NEGATIVE_INFINITY;
    this.row = null;
    this.at = null;
    this.host.point(null);
    this.host.dirty(this);
  }

  private at: number | null = null;

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
      ...(this.spec.kind === "heatmap" && { ArrowUp: here, ArrowDown: here }),
    };
    if (!(event.key in moves) || last < 0) return;
    const to = moves[event.key]!;
    this.at = to === null ? null : steps[Math.min(last, Math.max(0, to))]!;
    if (to === null) this.row = null;
    else if (event.key === "ArrowUp") this.walk(-1);
    else if (event.key === "ArrowDown") this.walk(1);
    this.host.point(this.at);
    event.preventDefault();
    event.stopPropagation();
  }

  /** To the row above or below; from none to the first. */
  private walk(by: number): void {
    const last = this.spec.lines.length - 1;
    this.row = this.row === null ? 0 : Math.min(last, Math.max(0, this.row + by));
  }

  /** All of it again, at once, wherever the pointer is. */
  private unzoom(): void {
    this.pointed = Number.NEGATIVE_INFINITY;
    this.plot?.unzoom();
  }

  private zoomed(): void {
    this.reset.hidden = !this.plot?.zoomed;
    this.host.dirty(this);
  }

  private flip(): void {
    this.scale = this.scale === "log" ? "linear" : "log";
    this.toggle.setAttribute("aria-pressed", String(this.scale === "log"));
    void this.build();
  }
}

const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));

function explanation(spec: PanelSpec): string {
  return (
    [spec.definition, spec.reference && `Source: ${spec.reference}`].filter(Boolean).join("\n\n") ||
    spec.title
  );
}

/** What the Board says of a step pointed at. */
export const stepText = (step: number): string => `step ${whole(step)}`;
