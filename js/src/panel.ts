import type { Bokeh, BokehModel, PlotView, Range, Source } from "./bokeh";
import type { Figure, Picture, Under } from "./picture";
import type { Store } from "./store";
import { applyTheme, shade, themeOf } from "./theme";
import type { Line, PanelSpec, Scale } from "./types";

const [LOWEST, TALLEST] = [260, 440]; // of what is as high as wide, in pixels
const TICK = 70; // pixels of the step axis to a label

/** One figure on the page: a picture draws in it what the store holds; it keeps its axes, unless the reader zoomed. */
export class Plot implements Figure {
  weight = 0;
  all: [number, number] = [0, 1];
  step: number | null = null;
  zoomed = false;
  free = true;
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

  constructor(
    public spec: PanelSpec,
    readonly scale: Scale,
    readonly store: Store,
    private picture: Picture,
    private readonly onChange: () => void,
    private readonly onPaint: () => void,
  ) {}

  async embed(bokeh: Bokeh, figure: unknown, element: HTMLElement, panel: HTMLElement): Promise<void> {
    const manager = await bokeh.embed.embed_item(figure, element);
    this.view = manager.roots[0]!;
    this.clear = () => manager.clear();
    this.view.canvas_view.events_el.removeAttribute("tabindex"); // the panel around it has the focus
    for (const model of this.view.model.document.all_models)
      if (model.name) this.models.set(model.name, model);
    for (const range of ["x_range", "y_range"]) this.model(range).change.connect(() => this.moved());
    this.view.repainted.connect(() => {
      this.thinTicks();
      if (this.picture.tall && this.drawnIn !== this.size()) this.onChange();
      this.onPaint();
    });
    if (this.picture.tall) this.fitHeight();
    this.picture.label(this);
    this.paint(panel);
  }

  /** Show other labels. */
  adopt(spec: PanelSpec, picture: Picture): void {
    [this.spec, this.picture] = [spec, picture];
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
  }

  /** Draw what is known now, the steps `all` on the axis that panels share; `still` leaves the axes as they are. */
  draw(weight: number, all: [number, number], still: boolean, pinned: string | null): void {
    if (!this.view) return;
    this.pinned = pinned;
    [this.weight, this.all, this.free] = [weight, all, !this.zoomed && !still];
    this.drawnIn = this.size();
    if (this.picture.tall) this.fitHeight();
    this.setting = true;
    this.hint = this.picture.draw(this);
    this.setting = false;
  }

  /** Show all again. */
  unzoom(): void {
    this.zoomed = false;
    this.picture.restore?.();
    this.onChange();
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
    const height = Math.round(Math.min(TALLEST, Math.max(LOWEST, frame.bbox.width + besides)));
    if (frame.bbox.width > 0 && besides > 0 && Math.abs(height - model.height) > 2) model.setv({ height });
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
    this.onChange();
  }
}
