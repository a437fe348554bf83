import type { Bokeh, BokehModel, Layer, PlotView, Range, Source } from "./bokeh";
import type { Figure, Picture, Under } from "./picture";
import type { Ends } from "./plane";
import type { Store } from "./store";
import { applyTheme, shade, themeOf } from "./theme";
import type { Line, PanelSpec, Scale } from "./types";

const [LOWEST, TALLEST] = [260, 440]; // of what is as high as wide, in pixels
const LARGE = [420, 720]; // of an enlarged panel
const SHARE = 0.75; // of the window's height that an enlarged panel may take
const TICK = 70; // pixels of the step axis to a label

/** What is asked of a figure now. */
export interface Wanted {
  weight: number;
  /** First and last step of the run. */
  all: Ends;
  /** Steps in view; null for all. */
  window: Ends | null;
  /** Whether the axes are to stay, for the reader points at them. */
  still: boolean;
  pinned: string | null;
}

/** What a figure tells of. */
export interface Told {
  /** Something else is to be drawn. */
  changed(): void;
  painted(): void;
  /** The reader moved the axis of steps. */
  looked(window: Ends): void;
}

/** One figure on the page: a picture draws in it what the store holds; it keeps its axes, unless the reader zoomed. */
export class Plot implements Figure {
  weight = 0;
  all: Ends = [0, 1];
  window: Ends | null = null;
  step: number | null = null;
  zoomed = false;
  free = true;
  freeSteps = true;
  pinned: string | null = null;
  ink = "";
  /** Why there is nothing to see. */
  hint = "";
  private view: PlotView | null = null;
  private clear: () => void = () => {};
  private models = new Map<string, BokehModel>();
  private setting = false;
  private dark = false;
  private drawnIn = "";
  private drawnOf = "";
  private large = false;
  private usualHeight = 0;

  constructor(
    public spec: PanelSpec,
    readonly scale: Scale,
    readonly store: Store,
    private picture: Picture,
    private readonly told: Told,
  ) {}

  async embed(bokeh: Bokeh, figure: unknown, element: HTMLElement, panel: HTMLElement): Promise<void> {
    const manager = await bokeh.embed.embed_item(figure, element);
    this.view = manager.roots[0]!;
    this.clear = () => manager.clear();
    this.view.canvas_view.events_el.removeAttribute("tabindex"); // the panel around it has the focus
    for (const model of this.view.model.document.all_models)
      if (model.name) this.models.set(model.name, model);
    this.usualHeight = this.view.model.height;
    this.model("x_range").change.connect(() => this.panned());
    this.model("y_range").change.connect(() => this.moved());
    this.view.repainted.connect(() => {
      this.thinTicks();
      if (this.picture.tall && this.drawnIn !== this.size()) this.told.changed();
      this.told.painted();
    });
    if (this.picture.tall) this.fitHeight();
    this.picture.label(this);
    this.paint(panel);
  }

  /** Show other labels. */
  adopt(spec: PanelSpec, picture: Picture): void {
    [this.spec, this.picture, this.drawnOf] = [spec, picture, ""];
    if (this.view) picture.label(this);
  }

  get ready(): boolean {
    return this.view !== null;
  }

  get frame(): { width: number; height: number } {
    const { width, height } = this.view!.frame.bbox;
    return { width, height };
  }

  remove(): void {
    this.view = null;
    this.clear();
  }

  /** Take on the page's colours. */
  paint(panel: HTMLElement): void {
    if (!this.view) return;
    const theme = themeOf(panel);
    this.dark = theme.dark;
    this.ink = theme.ink;
    applyTheme(this.view.model.document.all_models, theme);
    this.stale();
  }

  /** Draw what is known now, unless that is drawn already. */
  draw({ weight, all, window, still, pinned }: Wanted): void {
    if (!this.view) return;
    const other = String(window) !== String(this.window);
    [this.weight, this.all, this.window, this.pinned] = [weight, all, window, pinned];
    this.freeSteps = !still || window !== null || other;
    this.free = !this.zoomed && (!still || other);
    if (this.picture.tall) this.fitHeight();
    this.drawnIn = this.size();
    const of = this.inputs();
    if (of === this.drawnOf && !this.picture.isOther?.(this.store, this.step)) return;
    this.drawnOf = of;
    this.setting = true;
    this.hint = this.picture.draw(this);
    this.setting = false;
  }

  /** Draw anew, for a reason that is not in the data. */
  stale(): void {
    this.drawnOf = "";
  }

  /** Show all again. */
  unzoom(): void {
    this.zoomed = false;
    this.picture.restore?.();
    this.stale();
    this.told.changed();
  }

  /** Make it large, or as usual. */
  enlarge(large: boolean): void {
    this.large = large;
    if (!this.view) return;
    if (this.picture.tall) this.fitHeight();
    else this.view.model.setv({ height: large ? Math.max(this.usualHeight, this.most()) : this.usualHeight });
  }

  /** The figure as an image. */
  image(kind: "png" | "svg"): Layer | null {
    return this.view?.export(kind) ?? null;
  }

  /** Take the step that the reader points at; whether there is something else to draw for it. */
  follow(step: number | null): boolean {
    this.step = step;
    return this.picture.isOther?.(this.store, step) ?? false;
  }

  /** Where a step is drawn, in pixels of the figure; null outside the frame. */
  place(step: number): { left: number; top: number; height: number } | null {
    if (!this.view || !this.picture.alongSteps) return null;
    const { start, end } = this.range("x_range");
    const { left, top, width, height } = this.view.frame.bbox;
    if (step < start || step > end) return null;
    return { left: left + ((step - start) / (end - start)) * width, top, height };
  }

  /** Of all of the figure, in pixels. */
  get width(): number {
    return this.view?.bbox.width ?? 0;
  }

  /** The frame in pixels of the figure. */
  get bounds(): { left: number; top: number; width: number; height: number } | null {
    return this.view?.frame.bbox ?? null;
  }

  /** The step at a pixel of the figure, also beside the frame; undefined where there are no steps. */
  stepAt(x: number): number | undefined {
    if (!this.view || !this.picture.alongSteps) return undefined;
    const { start, end } = this.range("x_range");
    const { left, width } = this.view.frame.bbox;
    return start + ((x - left) / width) * (end - start);
  }

  /** What is under a place in the figure; null outside the frame. */
  under(x: number, y: number): Under | null {
    if (!this.view) return null;
    const { left, top, width, height } = this.view.frame.bbox;
    const across = (x - left) / width;
    const up = 1 - (y - top) / height;
    if (across < 0 || across > 1 || up < 0 || up > 1) return null;
    const along = (name: string, share: number) => {
      const { start, end } = this.range(name);
      return start + share * (end - start);
    };
    return this.picture.under(along("x_range", across), along("y_range", up), this);
  }

  find = (name: string): BokehModel | undefined => this.models.get(name);

  model = (name: string): BokehModel => this.models.get(name)!;

  source = (name: string): Source => this.models.get(name) as Source;

  range = (name: string): Range => this.models.get(name) as Range;

  span(name: string, [start, end]: [number, number]): void {
    const range = this.range(name);
    if (range.start !== start || range.end !== end) range.setv({ start, end });
  }

  lines(): Line[] {
    return this.spec.lines.map((line) => ({ ...line, color: this.tint(line.color) }));
  }

  tint(color: string): string {
    return shade(color, this.dark);
  }

  private size(): string {
    return this.view ? Object.values(this.frame).map(Math.round).join() : "";
  }

  /** As high as the frame is wide, within limits. */
  private fitHeight(): void {
    const { model, frame } = this.view!;
    const besides = model.height - frame.bbox.height;
    const height = Math.round(Math.min(this.most(), Math.max(LOWEST, frame.bbox.width + besides)));
    if (frame.bbox.width > 0 && besides > 0 && Math.abs(height - model.height) > 2) model.setv({ height });
  }

  /** As high as it may be. */
  private most(): number {
    if (!this.large) return TALLEST;
    return Math.max(LOWEST, Math.min(LARGE[this.picture.tall ? 1 : 0]!, SHARE * innerHeight));
  }

  /** All that a drawing depends on, besides the step; a row that is being measured is always another. */
  private inputs(): string {
    const { alongSteps } = this.picture;
    const stamps = keysOf(this.spec).map((key) =>
      this.store.draft(key) ? ++drafts : (this.store.get(key)?.stamp ?? 0),
    );
    const { weight, all, window, free, freeSteps, pinned, drawnIn } = this;
    const along = alongSteps ? [all, freeSteps] : [];
    return JSON.stringify([stamps, weight, along, window, free, pinned, drawnIn]);
  }

  /** As many labels on the step axis as have room. */
  private thinTicks(): void {
    if (!this.view) return;
    const ticks = Math.min(8, Math.max(2, Math.round(this.view.frame.bbox.width / TICK)));
    const ticker = this.models.get("x_ticks") as (BokehModel & { desired_num_ticks: number }) | undefined;
    if (ticker && ticker.desired_num_ticks !== ticks) ticker.setv({ desired_num_ticks: ticks });
  }

  private moved(): void {
    if (this.setting) return;
    this.zoomed = true;
    this.stale();
    this.told.changed();
  }

  /** The axis of steps is one for all panels. */
  private panned(): void {
    if (this.setting) return;
    const { start, end } = this.range("x_range");
    this.stale();
    if (this.picture.alongSteps) this.told.looked([start, end]);
    else this.moved();
  }
}

let drafts = 0;

/** All that a panel is drawn from. */
export function keysOf({ lines, path, training, steps }: PanelSpec): string[] {
  const of = lines.flatMap(({ key, error, line }) => [
    key,
    error?.key,
    line && typeof line === "object" ? line.key : null,
  ]);
  return [...new Set([...of, path?.key, training, steps].filter((key) => typeof key === "string"))];
}
