import type { Bokeh } from "./bokeh";
import { type Card, stepText } from "./card";
import { Chooser } from "./chooser";
import { Closer } from "./closer";
import { Cockpit } from "./cockpit";
import { element } from "./dom";
import { Grid, type Owner } from "./grid";
import { Pace } from "./pace";
import { keysOf } from "./panel";
import type { Ends } from "./plane";
import { Reader } from "./reader";
import { Scrubber } from "./scrubber";
import type { Session } from "./session";
import { keepKeys } from "./shortcuts";
import { Smoothing } from "./smoothing";
import { StatusLine } from "./status";
import { STYLE } from "./style";
import { onThemeChange } from "./theme";
import type { Command, PanelSpec } from "./types";

const SHARE = 4; // ms of a frame for filling figures; their painting comes on top

/** The Board on the page: status line, tools, and a grid of panels that are drawn while in sight. */
export class Board implements Owner {
  readonly root = element("div", { class: "nbtk-board", role: "region", "aria-label": "training run" });
  readonly reader: Reader;
  readonly grid: Grid;
  pinned: string | null = null;
  private readonly status = new StatusLine();
  private readonly cockpit: Cockpit;
  /** For those who walk along the steps and move panels by keyboard, and listen. */
  private readonly said = element("span", { class: "nbtk-pointed", "aria-live": "polite" });
  private readonly chooser = new Chooser(
    (spec, on) => this.choose(spec, on),
    () => this.resetLayout(),
  );
  private readonly smoothing = new Smoothing(() => this.refresh());
  private readonly scrubber: Scrubber;
  private readonly closer: Closer;
  private readonly pending = new Set<Card>();
  private batch: Card[] = [];
  private readonly pace = new Pace(() => this.drawSome());
  private readonly ends: (() => void)[] = [];
  private recalled = false;

  constructor(
    private readonly session: Session,
    loading: Promise<Bokeh>,
  ) {
    this.reader = new Reader(() => session.span());
    this.grid = new Grid(session, this);
    this.cockpit = new Cockpit(session, (step, group) => this.go(step, group));
    this.scrubber = new Scrubber(session, this.reader, {
      hold: (step) => this.show(step),
      look: (window) => this.look(window),
      inSight: () => this.grid.all().some((card) => card.visible),
    });
    this.closer = new Closer(session, this.reader, () => this.inSight());
    const tools = element("div", { class: "nbtk-tools" }, this.smoothing.root, this.chooser.opener);
    const top = element("div", { class: "nbtk-top" }, this.status.root, this.said, tools);
    const strips = [this.status.notes, this.cockpit.root, this.chooser.root, this.scrubber.root];
    this.root.append(element("style", {}, STYLE), top, ...strips, this.grid.root);
    this.root.addEventListener("keydown", (event) => this.escape(event));
    this.ends.push(
      keepKeys(this.root),
      session.onData(() => this.refresh()),
      session.onPanels(() => this.grid.arrange()),
      onThemeChange(() => this.repaint()),
      () => this.pace.stop(),
      () => this.closer.dispose(),
      () => this.scrubber.dispose(),
      () => this.cockpit.dispose(),
      () => this.grid.dispose(),
    );
    this.grid.arrange();
    this.refresh();
    loading.then(
      (bokeh) => this.grid.start(bokeh),
      (error) => this.grid.root.replaceChildren(`The figures could not be loaded: ${error}`),
    );
  }

  dispose(): void {
    for (const end of this.ends) end();
    this.root.remove();
  }

  get commands(): Command[] {
    return this.session.commands;
  }

  get runName(): string {
    return this.session.status?.name ?? "";
  }

  say(text: string): void {
    this.said.textContent = text;
  }

  dirty(card: Card): void {
    this.pending.add(card);
    this.pace.ask();
  }

  dropped(card: Card): void {
    this.pending.delete(card);
  }

  painted(card: Card): void {
    this.pace.painted();
    card.standLines();
  }

  arranged(panels: PanelSpec[], shown: PanelSpec[]): void {
    this.chooser.show(panels, shown);
  }

  /** The reader points at a step, or at none. */
  point(step: number | null): void {
    const before = this.reader.pointed;
    this.reader.point(step);
    const { pointed } = this.reader;
    if (pointed !== before) this.say(pointed === null ? "" : stepText(pointed));
    this.mark();
  }

  /** Keep a step that all panels show, or go back to now. */
  hold(step: number | null): void {
    this.scrubber.player.stop();
    const before = this.reader.held;
    this.show(step);
    const { held } = this.reader;
    if (held !== before) this.say(held === null ? "back to now" : `showing ${stepText(held)}`);
  }

  /** Show some steps only, or all. */
  look(window: Ends | null): void {
    if (!this.reader.look(window)) return;
    this.grid.layout.range = this.reader.window;
    this.grid.layout.run = this.runName;
    this.grid.keep();
    this.refresh();
  }

  pin(task: string): void {
    this.pinned = this.pinned === task ? null : task;
    this.say(this.pinned === null ? "no task in front" : `${task} in front`);
    for (const card of this.grid.all()) this.dirty(card);
  }

  /** Hold a step and bring a panel of a group of the record into view. */
  go(step: number, group: string | null): void {
    const panel = this.session.description.panels.find((spec) => spec.group === group);
    const card = () => this.grid.shown.find((one) => one.spec.group === group);
    if (panel && !card()) this.choose(panel, true);
    this.hold(step);
    card()?.root.scrollIntoView({ block: "nearest" });
    card()?.root.focus({ preventScroll: true });
  }

  /** Draw the panels out of sight too: paper shows them all. */
  drawEverything(): void {
    for (const card of this.grid.all()) this.draw(card);
  }

  private refresh(): void {
    this.recall();
    this.status.show(this.session.status, this.session.gone);
    this.cockpit.show();
    this.scrubber.show();
    for (const card of this.grid.all()) this.pending.add(card);
    this.pace.ask();
  }

  /** Draw some of what waits; whether more of it is left for the next frame. */
  private drawSome(): boolean {
    if (!this.batch.length) this.batch = [...this.pending].filter((card) => card.visible);
    const end = performance.now() + SHARE;
    while (this.batch.length) {
      const card = this.batch.shift()!;
      if (this.pending.delete(card)) this.draw(card);
      if (performance.now() > end) break;
    }
    if (this.batch.length) return true;
    if ([...this.pending].some((card) => card.visible)) this.pace.ask();
    this.closer.look();
    return false;
  }

  /** Keys of what is drawn along the steps. */
  private inSight(): string[] {
    const cards = this.grid.all().filter((card) => card.visible && card.picture.alongSteps);
    return [...new Set(cards.flatMap((card) => keysOf(card.spec)))];
  }

  private draw(card: Card): void {
    card.draw(this.smoothing.weight, this.session.span());
    card.mark();
  }

  /** Show a step in all panels until another is, or now. */
  private show(step: number | null): void {
    this.reader.hold(step);
    this.mark();
  }

  /** The step pointed at and held, in the panels that can be seen. */
  private mark(): void {
    this.scrubber.show();
    for (const card of this.grid.all()) if (card.visible) card.mark();
  }

  private escape(event: KeyboardEvent): void {
    if (event.key !== "Escape" || (this.reader.held === null && !this.scrubber.player.playing)) return;
    this.hold(null);
    event.preventDefault();
    event.stopPropagation();
  }

  private repaint(): void {
    // The page sets its variables after it has marked itself dark or light.
    setTimeout(() => {
      for (const card of this.grid.all()) card.paint();
    }, 50);
  }

  private choose(spec: PanelSpec, on: boolean): void {
    this.grid.choose(spec, on);
    this.refresh();
  }

  private resetLayout(): void {
    this.grid.reset();
    this.look(null);
    this.refresh();
  }

  /** The steps that were in view of this run; of another run they mean nothing. */
  private recall(): void {
    if (this.recalled || this.session.store.first() === null) return;
    this.recalled = true;
    const { layout } = this.grid;
    const [first, last] = this.session.span();
    const [from, to] = layout.range ?? [0, -1];
    if (layout.run === this.runName && from >= first && to <= last) this.reader.look(layout.range);
    else layout.range = null;
  }
}
