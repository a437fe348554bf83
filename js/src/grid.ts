import type { Bokeh } from "./bokeh";
import { Card, type Host } from "./card";
import { element } from "./dom";
import { Layout } from "./layout";
import { movable } from "./moving";
import type { Session } from "./session";
import type { PanelSpec } from "./types";

const QUIET = 300; // ms without a change, after which the layout is kept

/** What the grid tells the Board. */
export interface Owner extends Host {
  /** Words for those who listen. */
  say(text: string): void;
  /** Other panels are shown, or in another order. */
  arranged(panels: PanelSpec[], shown: PanelSpec[]): void;
  dropped(card: Card): void;
}

/** The panels in the order and sizes that the reader gave them, and the memory of that. */
export class Grid {
  readonly root = element("div", { class: "nbtk-grid" });
  layout: Layout;
  private readonly cards = new Map<string, Card>();
  private readonly sight: IntersectionObserver;
  private keeping: ReturnType<typeof setTimeout> | undefined;
  private bokeh: Bokeh | null = null;

  constructor(
    private readonly session: Session,
    private readonly owner: Owner,
  ) {
    this.layout = new Layout(session.layout);
    this.sight = new IntersectionObserver((entries) => this.seen(entries), { rootMargin: "100px" });
  }

  dispose(): void {
    this.sight.disconnect();
    this.keepNow();
    for (const card of this.cards.values()) card.dispose();
  }

  start(bokeh: Bokeh): void {
    this.bokeh = bokeh;
    for (const card of this.cards.values()) void card.embed(bokeh, this.session.description.figures);
  }

  all(): Card[] {
    return [...this.cards.values()];
  }

  /** The cards in their order. */
  get shown(): Card[] {
    return this.layout
      .arranged(this.session.description.panels)
      .flatMap(({ id }) => this.cards.get(id) ?? []);
  }

  enlarge(card: Card, large: boolean): void {
    if (large) this.layout.wide.add(card.spec.id);
    else this.layout.wide.delete(card.spec.id);
    card.enlarge(large);
    this.keep();
    card.root.scrollIntoView({ block: "nearest" });
    this.owner.say(`${card.spec.title} ${large ? "enlarged" : "as usual"}`);
  }

  hide(card: Card): void {
    const at = this.shown.indexOf(card);
    this.choose(card.spec, false);
    (this.shown[at] ?? this.shown[at - 1])?.root.focus({ preventScroll: true });
    this.owner.say(`${card.spec.title} hidden; the list of panels shows it again`);
  }

  /** Change places with the card so many places further on. */
  shift(card: Card, by: number): void {
    const at = this.shown[this.shown.indexOf(card) + by];
    if (at) this.place(card, at);
  }

  /** Take the place of another card. */
  place(card: Card, at: Card): void {
    const { shown } = this;
    const [from, to] = [shown.indexOf(card), shown.indexOf(at)];
    const before = to > from ? shown[to + 1] : at;
    this.layout.move(this.session.description.panels, card.spec.id, before?.spec.id ?? null);
    this.arrange();
    this.keep();
    this.owner.say(`${card.spec.title} is at place ${to + 1} of ${shown.length}`);
  }

  choose(spec: PanelSpec, on: boolean): void {
    this.layout.hidden.set(spec.id, !on);
    this.arrange();
    this.keep();
  }

  /** The usual panels in the usual order and size. */
  reset(): void {
    this.layout = new Layout();
    for (const { id, shown } of this.session.description.panels) if (!shown) this.layout.hidden.set(id, true); // nobody asks for those shown only because they were
    this.arrange();
    this.layout.hidden.clear();
    for (const card of this.cards.values()) card.enlarge(false);
    this.keep();
  }

  /** Cards for the panels that are to be shown, in their order; those that stay are left alone. */
  arrange(): void {
    const { panels } = this.session.description;
    // A panel that was shown stays until the reader hides it.
    const wanted = this.layout
      .arranged(panels)
      .filter((spec) => !this.layout.isHidden(spec, this.cards.has(spec.id)));
    const page = this.root.getRootNode() as Document | ShadowRoot;
    const focused = page.activeElement as HTMLElement | null;
    for (const [id, card] of this.cards) {
      const spec = wanted.find((one) => one.id === id);
      if (spec && (sameCurves(spec, card.spec) || card.adopt(spec))) continue;
      this.sight.unobserve(card.root);
      this.owner.dropped(card);
      card.dispose();
      this.cards.delete(id);
    }
    wanted.forEach((spec, i) => {
      const card = this.cards.get(spec.id) ?? this.make(spec);
      if (this.root.children[i] !== card.root)
        this.root.insertBefore(card.root, this.root.children[i] ?? null);
    });
    // What is moved on the page loses the focus.
    if (focused && focused !== page.activeElement && this.root.contains(focused))
      focused.focus({ preventScroll: true });
    this.owner.arranged(panels, wanted);
  }

  private make(spec: PanelSpec): Card {
    const card = new Card(spec, this.session.store, this.owner);
    this.cards.set(spec.id, card);
    movable(card, () => this.shown);
    card.enlarge(this.layout.wide.has(spec.id));
    if (this.bokeh) void card.embed(this.bokeh, this.session.description.figures);
    this.sight.observe(card.root);
    return card;
  }

  private seen(entries: IntersectionObserverEntry[]): void {
    for (const entry of entries) {
      const card = this.all().find((one) => one.root === entry.target);
      if (!card) continue;
      card.visible = entry.isIntersecting;
      if (!card.visible) continue;
      card.mark();
      this.owner.dirty(card);
    }
  }

  /** Keep the layout once nothing has changed for a while. */
  keep(): void {
    clearTimeout(this.keeping);
    this.keeping = setTimeout(() => this.keepNow(), QUIET);
  }

  private keepNow(): void {
    if (this.keeping === undefined) return;
    clearTimeout(this.keeping);
    this.keeping = undefined;
    this.session.keepLayout(this.layout.text());
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
