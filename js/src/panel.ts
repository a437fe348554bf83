import type { Bokeh, BokehModel, PlotView, Range, Source } from "./bokeh";
import { fillCurves, fillEnds, headroom, margins, type Window } from "./curves";
import { fillField, limits, span } from "./field";
import { number, short } from "./format";
import type { Store } from "./store";
import { applyTheme, shade, themeOf } from "./theme";
import type { Line, PanelSpec, Scale } from "./types";

const LABELLED = 11;
const TICK = 70; // pixels of the step axis to a label

/** One figure on the page: it draws what the store holds and keeps its axes, unless the reader zoomed. */
export class Plot {
  private view: PlotView | null = null;
  private clear: () => void = () => {};
  private models = new Map<string, BokehModel>();
  private setting = false;
  private dark = false;
  zoomed = false;
  /** Why there is nothing to see. */
  hint = "";

  constructor(
    private readonly spec: PanelSpec,
    readonly scale: Scale,
    private readonly onZoom: () => void,
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
      this.onPaint();
    });
    this.label();
    this.paint(panel);
  }

  get ready(): boolean {
    return this.view !== null;
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
    applyTheme(this.view.model.document.all_models, theme);
  }

  /** Draw what is known now, the steps `all` on the axis that panels share; `still` leaves the axes as they are. */
  draw(store: Store, weight: number, all: [number, number], still: boolean): void {
    if (!this.view) return;
    this.setting = true;
    const source = this.model("data") as Source;
    if (this.spec.kind === "curves") this.drawCurves(source, store, weight, all, still);
    else if (this.spec.kind === "heatmap") this.drawField(source, store, all, still);
    else this.drawTable(source, store);
    this.setting = false;
  }

  /** Show all again. */
  unzoom(): void {
    this.zoomed = false;
    this.onZoom();
  }

  /** Where a step is drawn, in pixels of the figure; null outside the frame. */
  place(step: number): { left: number; top: number; height: number } | null {
    if (!this.view || this.spec.kind === "table") return null;
    const { start, end } = this.model("x_range") as Range;
    const { left, top, width, height } = this.view.frame.bbox;
    if (step < start || step > end) return null;
    return { left: left + ((step - start) / (end - start)) * width, top, height };
  }

  /** The step, and the fraction of the height from the top, under a place in the figure; null outside the frame. */
  under(x: number, y: number): { step: number; height: number } | null {
    if (!this.view || this.spec.kind === "table") return null;
    const { start, end } = this.model("x_range") as Range;
    const { left, top, width, height } = this.view.frame.bbox;
    const across = (x - left) / width;
    const down = (y - top) / height;
    if (across < 0 || across > 1 || down < 0 || down > 1) return null;
    return { step: start + across * (end - start), height: down };
  }

  /** The label of a field at a fraction of its height. */
  row(height: number): number {
    const { start, end } = this.model("y_range") as Range;
    const count = this.spec.lines.length;
    return Math.min(count - 1, Math.max(0, Math.floor(count - (end - height * (end - start)))));
  }

  private model(name: string): BokehModel {
    return this.models.get(name)!;
  }

  private window(): Window {
    const { width, height } = this.view!.frame.bbox;
    const { start, end } = this.model("x_range") as Range;
    return { width, height, from: this.zoomed ? start : null, to: this.zoomed ? end : null };
  }

  private drawCurves(
    source: Source,
    store: Store,
    weight: number,
    all: [number, number],
    still: boolean,
  ): void {
    const view = this.window();
    const y = fillCurves(source, this.spec, store, weight, view, this.scale);
    this.hint = y ? "" : this.reason(store);
    if (!this.zoomed && !still) {
      const margin = 0.01 * (all[1] - all[0]); // room for the dots at both ends
      this.range("x_range", [all[0] - margin, all[1] + margin]);
      if (y) this.range("y_range", headroom(margins(y, this.scale), this.scale, this.models.has("ends")));
    }
    const ends = this.models.get("ends") as Source | undefined;
    if (ends) fillEnds(ends, source, this.lines(), this.model("y_range") as Range, view, this.scale);
  }

  private drawField(source: Source, store: Store, all: [number, number], still: boolean): void {
    const block = store.get(this.spec.lines[0]!.key);
    this.hint = block?.rows ? "" : this.reason(store);
    if (!block) return;
    if (!this.zoomed && !still) {
      this.range("x_range", all);
      this.range("y_range", [0, block.width]);
      const [low, high] = limits(block, this.scale);
      this.model("colours").setv({ low, high });
    }
    const { start, end } = this.model("x_range") as Range;
    const [first, last] = span(block.x());
    fillField(source, block, Math.max(start, first), Math.min(end, last));
  }

  /** What to say where no value has a place in the frame. */
  private reason(store: Store): string {
    const measured = this.spec.lines.some(
      ({ key, column }) => store.get(key)?.column(column).some(Number.isFinite) ?? false,
    );
    return measured ? "no positive value for a logarithmic scale" : "nothing measured";
  }

  /** As many labels on the step axis as have room. */
  private thinTicks(): void {
    if (!this.view) return;
    const ticks = Math.min(8, Math.max(2, Math.round(this.view.frame.bbox.width / TICK)));
    const ticker = this.models.get("x_ticks") as (BokehModel & { desired_num_ticks: number }) | undefined;
    if (ticker && ticker.desired_num_ticks !== ticks) ticker.setv({ desired_num_ticks: ticks });
  }

  private drawTable(source: Source, store: Store): void {
    const rows = this.spec.lines.slice(0, 10).map((line) => {
      const block = store.get(line.key);
      const value = block?.rows ? block.row(block.rows - 1)[line.column]! : Number.NaN;
      return { label: line.label, value: Number.isNaN(value) ? "" : number(value, 4) };
    });
    source.data = {
      y: rows.map((_, i) => i),
      label: rows.map((row) => row.label),
      value: rows.map((row) => row.value),
    };
  }

  /** Write the words of this panel into a figure that was built for all of its form. */
  private label(): void {
    const { spec } = this;
    for (const model of this.view!.model.document.all_models) {
      if (model.name === "y_axis" && spec.kind === "curves") model.setv({ axis_label: spec.units });
      if (model.name === "bar") model.setv({ title: spec.units });
      const named = /^legend(\d+)$/.exec(model.name ?? "");
      if (named) model.setv({ label: { value: spec.lines[Number(named[1])]!.label } });
    }
    if (spec.kind !== "heatmap") return;
    const count = spec.lines.length;
    const every = Math.max(1, Math.ceil(count / LABELLED));
    const rows = spec.lines.flatMap((line, i) =>
      i % every ? [] : [{ at: count - i - 0.5, text: short(line.label) }],
    );
    this.model("rows").setv({ ticks: rows.map((row) => row.at) });
    this.model("y_axis").setv({ major_label_overrides: new Map(rows.map((row) => [row.at, row.text])) });
  }

  /** The curves in the colours of this page. */
  lines(): Line[] {
    return this.spec.lines.map((line) => ({ ...line, color: shade(line.color, this.dark) }));
  }

  private range(name: string, [start, end]: [number, number]): void {
    const range = this.model(name) as Range;
    if (range.start !== start || range.end !== end) range.setv({ start, end });
  }

  private moved(): void {
    if (this.setting) return;
    this.zoomed = true;
    this.onZoom();
  }
}
