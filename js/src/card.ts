import type { Bokeh } from "./bokeh";
import { CardTools } from "./cardtools";
import { element } from "./dom";
import { whole } from "./format";
import { Marks } from "./marks";
import { Plot } from "./panel";
import { explanation, type Picture } from "./picture";
import { pictureOf } from "./pictures";
import type { Ends } from "./plane";
import { Pointing } from "./pointing";
import type { Reader } from "./reader";
import type { Reading } from "./reading";
import { saveImage } from "./saving";
import type { Store } from "./store";
import { themeOf } from "./theme";
import type { Command, Description, PanelSpec, Scale } from "./types";

const LETTER = 6.3; // pixels
const AT_STEP = 16; // letters more of a reading at a step than now
const MARGIN = 1.1;

/** What the reader may do with a card among others. */
export interface Arrangement {
  enlarge(card: Card, large: boolean): void;
  hide(card: Card): void;
  /** Change places with the card so many places further on. */
  shift(card: Card, by: number): void;
  /** Take the place of another card. */
  place(card: Card, at: Card): void;
}

/** What a card tells the Board, and asks of it. */
export interface Host {
  readonly reader: Reader;
  /** The task that the reader keeps in front. */
  readonly pinned: string | null;
  readonly commands: Command[];
  /** Of the run, in the names of images. */
  readonly runName: string;
  /** Draw me when there is time. */
  dirty(card: Card): void;
  /** A figure was painted. */
  painted(card: Card): void;
  /** Keep a task in front, or no longer. */
  pin(task: string): void;
  /** The reader points at a step, or at none. */
  point(step: number | null): void;
  /** Keep a step that all panels show, or go back to now. */
  hold(step: number | null): void;
  /** Show some steps only, or all. */
  look(window: Ends | null): void;
  readonly grid: Arrangement;
}

/** A panel on the Board: its title, the number now, its figure, and the steps pointed at and held. */
export class Card {
  readonly root: HTMLElement;
  readonly box = element("div", { class: "nbtk-plot" });
  readonly stage: HTMLElement;
  readonly header: HTMLElement;
  visible = true;
  large = false;
  scale: Scale;
  picture: Picture;
  plot: Plot | null = null;
  private readonly now = element("span", { class: "nbtk-now" });
  private readonly cursor = element("div", { class: "nbtk-cursor", hidden: "" });
  private readonly kept = element("div", { class: "nbtk-kept", hidden: "" }, element("span"));
  private readonly marks = new Marks();
  private readonly hint = element("div", { class: "nbtk-hint" });
  private readonly tools: CardTools;
  private readonly pointing: Pointing;
  private chosen = false;
  private shownText = "";
  /** Up to this width the reading keeps its second line. */
  private twoAt = 0;
  private disposed = false;
  private bokeh: Bokeh | null = null;
  private figures: Description["figures"] = {};

  constructor(
    public spec: PanelSpec,
    readonly store: Store,
    readonly host: Host,
  ) {
    this.picture = pictureOf(spec);
    this.scale = spec.forms[spec.scale] ? spec.scale : "linear";
    const { tall, wide, turn, alongSteps } = this.picture;
    const title = element(
      "div",
      { class: "nbtk-title", role: "heading", "aria-level": "4", title: explanation(spec, this.picture) },
      spec.title,
    );
    this.tools = new CardTools(this);
    this.header = element("header", {}, title, this.now, this.tools.root);
    const lines = [this.marks.root, this.cursor, this.kept];
    this.stage = element("div", { class: "nbtk-stage" }, this.box, ...lines, this.hint);
    const kinds = { tall, wide, turns: turn, along: alongSteps };
    const classes = Object.entries(kinds).map(([name, is]) => (is ? ` nbtk-${name}` : ""));
    this.root = element(
      "section",
      {
        class: `nbtk-panel${classes.join("")}`,
        tabindex: "0",
        "aria-label": spec.title,
        "data-panel": spec.id,
      },
      this.header,
      this.stage,
    );
    this.pointing = new Pointing(this, this.kept.firstElementChild as HTMLElement);
  }

  /** Draw the figure of this panel, new for each scale. */
  async embed(bokeh: Bokeh, figures: Description["figures"]): Promise<void> {
    this.figures = figures;
    this.bokeh = bokeh;
    await this.build();
  }

  private async build(): Promise<void> {
    const form = this.spec.forms[this.scale];
    if (!this.bokeh || !form) return;
    const old = this.plot;
    const plot = new Plot(this.spec, this.scale, this.store, this.picture, {
      changed: () => this.changed(),
      painted: () => this.host.painted(this),
      looked: (window) => this.host.look(window),
    });
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
    plot.enlarge(this.large);
    this.tools.show();
    this.host.dirty(this);
  }

  /** Go on with other labels in the same figure; whether that is possible. */
  adopt(spec: PanelSpec): boolean {
    const same = (one: PanelSpec) => JSON.stringify([one.kind, one.title, one.units, one.forms]);
    if (same(spec) !== same(this.spec)) return false;
    this.spec = spec;
    this.picture = pictureOf(spec);
    this.pointing.row = null;
    this.plot?.adopt(spec, this.picture);
    this.host.dirty(this);
    return true;
  }

  draw(weight: number, all: Ends): void {
    this.suit();
    const { reader, pinned } = this.host;
    // A reader's pointer holds the axes; one that was left there does not.
    const still = this.pointing.isFresh();
    this.plot?.draw({ weight, all, window: reader.window, still, pinned });
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

  /** Show the step that the reader points at, in whichever panel, or holds, and the values there. */
  mark(): void {
    const { step } = this.host.reader;
    if (this.plot?.follow(step)) this.host.dirty(this);
    this.standLines();
    const lines = this.plot?.lines() ?? this.spec.lines;
    const readings = this.picture.read(lines, this.store, step, this.pointing.row);
    const width = Math.round(this.plot?.width ?? 0);
    const text = readings.map((reading) => reading.text + reading.color).join() + this.spec.id + width;
    if (text === this.shownText) return;
    this.shownText = text;
    this.makeRoom(readings, width, step === null);
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

  /** A second line for readings that are, or at a step would be, longer than one; it stays, lest panels jump. */
  private makeRoom(readings: Reading[], width: number, now: boolean): void {
    const letters = readings.reduce((sum, { text, color }) => sum + text.length + (color ? 4 : 2), 0);
    const long = width > 0 && LETTER * (letters + (now ? AT_STEP : 0)) > width;
    if (!long && width <= this.twoAt) return;
    this.twoAt = long ? width * MARGIN : 0;
    this.root.classList.toggle("nbtk-two", long);
  }

  /** The steps pointed at and held, and the marks of commands, where the axis has them. */
  standLines(): void {
    const { pointed, held } = this.host.reader;
    this.stand(this.cursor, pointed === held ? null : pointed);
    this.stand(this.kept, held);
    this.marks.show(this.host.commands, (at) => this.plot?.place(at) ?? null);
  }

  private stand(line: HTMLElement, step: number | null): void {
    const place = step === null ? null : this.plot?.place(step);
    line.hidden = !place;
    if (!place) return;
    line.style.transform = `translate(${place.left}px, ${place.top}px)`;
    line.style.height = `${place.height}px`;
  }

  /** Large, or as usual. */
  enlarge(large: boolean): void {
    this.large = large;
    this.root.classList.toggle("nbtk-large", large);
    this.plot?.enlarge(large);
    this.tools.show();
  }

  /** All of it again, at once, wherever the pointer is. */
  unzoom(): void {
    this.pointing.forget();
    this.plot?.unzoom();
    this.host.look(null);
  }

  flip(): void {
    this.chosen = true;
    this.setScale(this.scale === "log" ? "linear" : "log");
  }

  save(kind: "png" | "svg"): void {
    const { step, held } = this.host.reader;
    const image = this.plot?.image(kind);
    if (!image) return;
    const at = held === null ? null : (this.plot?.place(held) ?? null);
    const words = { title: this.spec.title, reading: this.now.innerText, run: this.host.runName };
    void saveImage(image, { ...words, step: step ?? this.host.reader.last(), at, theme: themeOf(this.root) });
  }

  private changed(): void {
    this.tools.show();
    this.host.dirty(this);
  }

  private setScale(scale: Scale): void {
    this.scale = scale;
    this.tools.show();
    void this.build();
  }
}

const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));

/** What the Board says of a step pointed at. */
export const stepText = (step: number): string => `step ${whole(step)}`;
