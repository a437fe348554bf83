import type { Bokeh } from "./bokeh";
import { Card, type Host, stepText } from "./card";
import { PLENTY } from "./curves";
import { button, element } from "./dom";
import { Pace } from "./pace";
import type { Session } from "./session";
import { StatusLine } from "./status";
import { STYLE } from "./style";
import { onThemeChange } from "./theme";
import type { PanelSpec } from "./types";

const SMOOTHING = 1 / 3; // of the slider, which gives a weight of 0.9

/** Weight of the moving average for a place of the slider: 0, then 0.9 at a third, 0.99, 0.999. */
export const weightOf = (place: number): number => 1 - 10 ** (-3 * place);

/** The Board on the page: status line, tools, and a grid of panels that are drawn while in sight. */
export class Board implements Host {
  readonly root = element("div", { class: "nbtk-board", role: "region", "aria-label": "training run" });
  private readonly status = new StatusLine();
  /** For those who walk along the steps by keyboard and listen. */
  private readonly pointed = element("span", { class: "nbtk-pointed", "aria-live": "polite" });
  private readonly chips = element("div", { class: "nbtk-chips", role: "group", "aria-label": "panels" });
  private readonly chooser = button("", "choose the panels shown", () => this.choose());
  private readonly grid = element("div", { class: "nbtk-grid" });
  private readonly cards = new Map<string, Card>();
  private readonly choice = new Map<string, boolean>();
  private readonly pending = new Set<Card>();
  private readonly pace = new Pace(() => this.drawAll());
  private readonly sight: IntersectionObserver;
  private readonly ends: (() => void)[] = [];
  private weight = weightOf(SMOOTHING);
  private step: number | null = null;
  pinned: string | null = null;
  private bokeh: Bokeh | null = null;

  constructor(
    private readonly session: Session,
    loading: Promise<Bokeh>,
  ) {
    const style = element("style", {}, STYLE);
    const top = element(
      "div",
      { class: "nbtk-top" },
      this.status.root,
      this.pointed,
      element("div", { class: "nbtk-tools" }, this.slider(), this.chooser),
    );
    this.root.append(style, top, this.status.notes, this.chips, this.grid);
    this.choose();
    this.sight = new IntersectionObserver((entries) => this.seen(entries), { rootMargin: "100px" });
    this.ends.push(
      session.onData(() => this.refresh()),
      session.onPanels(() => this.arrange()),
      onThemeChange(() => this.repaint()),
      () => this.sight.disconnect(),
      () => this.pace.stop(),
    );
    this.arrange();
    this.refresh();
    loading.then(
      (bokeh) => this.start(bokeh),
      (error) => this.grid.replaceChildren(`The figures could not be loaded: ${error}`),
    );
  }

  dispose(): void {
    for (const end of this.ends) end();
    for (const card of this.cards.values()) card.dispose();
    this.root.remove();
  }

  dirty(card: Card): void {
    this.pending.add(card);
    this.pace.ask();
  }

  painted(): void {
    this.pace.painted();
    if (this.step !== null) for (const card of this.cards.values()) card.mark(this.step);
  }

  point(at: number | null): void {
    const [first, last] = this.session.span();
    const step = at === null ? null : Math.min(last, Math.max(first, at));
    this.step = step;
    this.pointed.textContent = step === null ? "" : stepText(step);
    for (const card of this.cards.values()) card.mark(step);
  }

  pin(task: string): void {
    this.pinned = this.pinned === task ? null : task;
    this.pointed.textContent = this.pinned === null ? "no task in front" : `${task} in front`;
    for (const card of this.cards.values()) this.dirty(card);
  }

  private start(bokeh: Bokeh): void {
    this.bokeh = bokeh;
    for (const card of this.cards.values()) void card.embed(bokeh, this.session.description.figures);
  }

  private refresh(): void {
    this.status.show(this.session.status, this.session.gone);
    for (const card of this.cards.values()) this.pending.add(card);
    this.pace.ask();
  }

  private drawAll(): void {
    const span = this.session.span();
    for (const card of this.pending) {
      if (!card.visible) continue;
      this.pending.delete(card);
      card.draw(this.weight, span);
      card.mark(this.step);
    }
  }

  private seen(entries: IntersectionObserverEntry[]): void {
    for (const entry of entries) {
      const card = [...this.cards.values()].find((one) => one.root === entry.target);
      if (card) card.visible = entry.isIntersecting;
    }
    this.pace.ask();
  }

  private repaint(): void {
    // The page sets its variables after it has marked itself dark or light.
    setTimeout(() => {
      for (const card of this.cards.values()) card.paint();
    }, 50);
  }

  /** Cards for the panels that are to be shown, in their order; those that stay are left alone. */
  private arrange(): void {
    const { panels, figures } = this.session.description;
    // A panel that was shown stays until the reader hides it.
    const wanted = panels.filter(
      (spec) => this.choice.get(spec.id) ?? (spec.shown || this.cards.has(spec.id)),
    );
    for (const [id, card] of this.cards) {
      const spec = wanted.find((one) => one.id === id);
      if (spec && (sameCurves(spec, card.spec) || card.adopt(spec))) continue;
      this.sight.unobserve(card.root);
      this.pending.delete(card);
      card.dispose();
      this.cards.delete(id);
    }
    wanted.forEach((spec, i) => {
      let card = this.cards.get(spec.id);
      if (!card) {
        card = new Card(spec, this.session.store, this);
        this.cards.set(spec.id, card);
        if (this.bokeh) void card.embed(this.bokeh, figures);
        this.sight.observe(card.root);
      }
      if (this.grid.children[i] !== card.root)
        this.grid.insertBefore(card.root, this.grid.children[i] ?? null);
    });
    this.chips.replaceChildren(...panels.map((spec) => this.chip(spec, wanted.includes(spec))));
    this.chooser.textContent = `panels ${wanted.length} of ${panels.length}`;
  }

  /** Open the list of panels, or close it. */
  private choose(): void {
    this.chips.hidden = !this.chips.hidden;
    this.chooser.setAttribute("aria-expanded", String(!this.chips.hidden));
  }

  private chip(spec: PanelSpec, on: boolean): HTMLButtonElement {
    const chip = button(spec.title, `${on ? "hide" : "show"} ${spec.title}`, () => {
      this.choice.set(spec.id, !on);
      this.arrange();
      this.refresh();
      const same = [...this.chips.children].find((one) => (one as HTMLElement).dataset.chip === spec.id);
      (same as HTMLElement | undefined)?.focus();
    });
    chip.setAttribute("aria-pressed", String(on));
    chip.dataset.chip = spec.id;
    return chip;
  }

  private slider(): HTMLElement {
    const range = { type: "range", min: "0", max: "1", step: "0.01", value: String(SMOOTHING) };
    const input = element("input", { ...range, "aria-label": "smoothing" });
    const value = element("output", {}, this.weight.toFixed(3));
    input.addEventListener("input", () => {
      this.weight = weightOf(Number(input.value));
      value.textContent = this.weight.toFixed(3);
      this.refresh();
    });
    const meaning = `Weight of the exponential moving average, for curves of ${PLENTY} samples or more; the faint line is as measured`;
    return element("label", { class: "nbtk-slider", title: meaning }, "smoothing ", input, value);
  }
}

function sameCurves(one: PanelSpec, other: PanelSpec): boolean {
  return (
    one.lines.length === other.lines.length &&
    gridOf(one) === gridOf(other) &&
    one.lines.every((line, i) => line.label === other.lines[i]!.label)
  );
}

const gridOf = ({ sizes, dims, coords, path, steps }: PanelSpec) =>
  JSON.stringify([sizes, dims, coords, path, steps]);
