import { lineOf, outline } from "./bands";
import type { Bokeh, BokehModel, PlotView, Range, Source } from "./bokeh";
import { fillCurves, fillEnds, headroom, heights, namesOf, type Window } from "./curves";
import { fillField, limits, span } from "./field";
import { number } from "./format";
import { label } from "./label";
import { type Spectra, spectraOf } from "./spectra";
import { densityAxis, densityField, fillSpectrum, heightOf, labelEigenvalues, placeOf } from "./spectrum";
import type { Store } from "./store";
import { applyTheme, shade, themeOf } from "./theme";
import type { Line, PanelSpec, Scale } from "./types";

const DIRECT = 5; // so many curves are named at their ends
const TICK = 70; // pixels of the step axis to a label

/** One figure on the page: it draws what the store holds and keeps its axes, unless the reader zoomed. */
export class Plot {
  private view: PlotView | null = null;
  private clear: () => void = () => {};
  private models = new Map<string, BokehModel>();
  private setting = false;
  private dark = false;
  private ink = "";
  private step: number | null = null;
  private spectra: Spectra | null = null;
  private row = -1;
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
    label(this.view.model.document.all_models, this.spec);
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
    this.ink = theme.ink;
    applyTheme(this.view.model.document.all_models, theme);
  }

  /** Draw what is known now, the steps `all` on the axis that panels share; `still` leaves the axes as they are. */
  draw(store: Store, weight: number, all: [number, number], still: boolean): void {
    if (!this.view) return;
    this.setting = true;
    const source = this.model("data") as Source;
    if (this.spec.kind === "curves") this.drawCurves(source, store, weight, all, still);
    else if (this.spec.kind === "heatmap") this.drawField(source, store, all, still);
    else if (this.spec.kind === "spectrum") this.drawSpectrum(source, store, still);
    else if (this.spec.kind === "evolution") this.drawEvolution(source, store, all, still);
    else this.drawTable(source, store);
    this.setting = false;
  }

  /** Show all again. */
  unzoom(): void {
    this.zoomed = false;
    this.onZoom();
  }

  /** Take the step that the reader points at; whether there is something else to draw for it. */
  follow(step: number | null): boolean {
    this.step = step;
    return this.spec.kind === "spectrum" && this.spectra !== null && this.spectra.row(step) !== this.row;
  }

  /** Where a step is drawn, in pixels of the figure; null outside the frame. */
  place(step: number): { left: number; top: number; height: number } | null {
    if (!this.view || !this.hasSteps) return null;
    const { start, end } = this.model("x_range") as Range;
    const { left, top, width, height } = this.view.frame.bbox;
    if (step < start || step > end) return null;
    return { left: left + ((step - start) / (end - start)) * width, top, height };
  }

  /**
   * What is under a place in the figure: the step, and the label of a field or the eigenvalue, as a place on the
   * asinh axis; null outside the frame.
   */
  under(x: number, y: number): { step: number | null; row: number | null } | null {
    if (!this.view || this.spec.kind === "table") return null;
    const { left, top, width, height } = this.view.frame.bbox;
    const across = (x - left) / width;
    const up = 1 - (y - top) / height;
    if (across < 0 || across > 1 || up < 0 || up > 1) return null;
    const along = (name: string, share: number) => {
      const { start, end } = this.model(name) as Range;
      return start + share * (end - start);
    };
    const step = along("x_range", across);
    if (this.spec.kind === "spectrum") return { step: null, row: step };
    if (this.spec.kind === "curves") return { step, row: null };
    const at = along("y_range", up);
    if (this.spec.kind === "evolution") return { step, row: this.spectra && placeOf(at, this.spectra) };
    const count = this.spec.lines.length;
    return { step, row: Math.min(count - 1, Math.max(0, Math.floor(count - at))) };
  }

  /** Whether the axis to the right is that of steps. */
  private get hasSteps(): boolean {
    return this.spec.kind !== "table" && this.spec.kind !== "spectrum";
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
    const margin = 0.01 * (all[1] - all[0]); // room for the dots at both ends
    const across: [number, number] = [all[0] - margin, all[1] + margin];
    const y = fillCurves(source, this.spec, store, weight, view, this.scale, across);
    this.hint = y ? "" : this.reason(store);
    const named = this.spec.lines.length > 1 && this.spec.lines.length <= DIRECT;
    if (!this.zoomed && !still) {
      this.range("x_range", across);
      if (y) this.range("y_range", headroom(heights(y, source, this.scale), this.scale, named));
    }
    this.spec.lines.forEach((_, i) => {
      const band = this.models.get(`band${i}`) as Source | undefined;
      const [x, low, high] = ["x", "low", "high"].map(
        (key) => source.data[`${key}${i}`] as Float64Array | undefined,
      );
      if (band) band.data = x && low && high ? outline(x, low, high) : { x: [], y: [] };
    });
    const ends = this.models.get("ends") as Source | undefined;
    if (!ends) return;
    const names = named ? namesOf(this.lines()) : [];
    const line = lineOf(this.spec.lines, store, across);
    if (line) names.push({ x: "line_x", y: "line", text: line.label, color: this.ink });
    fillEnds(ends, source, names, this.model("y_range") as Range, view, this.scale);
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

  private spectraIn(store: Store): Spectra | null {
    const [values, weights] = this.spec.lines.map((line) => store.get(line.key));
    this.spectra = spectraOf(values, weights, this.spec.sizes ?? []);
    return this.spectra;
  }

  /** The spectrum in force at the step pointed at, else the last; the axes are the same for all steps. */
  private drawSpectrum(source: Source, store: Store, still: boolean): void {
    const spectra = this.spectraIn(store);
    this.row = spectra?.row(this.step) ?? -1;
    this.hint = this.row < 0 ? "nothing measured" : "";
    if (!spectra) return;
    if (!this.zoomed && !still) {
      this.range("x_range", [spectra.low, spectra.high]);
      this.range("y_range", densityAxis(spectra, this.scale));
    }
    const x = this.model("x_range") as Range;
    labelEigenvalues(this.model("x_axis"), this.model("eigenvalues"), x, spectra.scale);
    const { start, end } = this.model("y_range") as Range;
    const band = this.model("band0") as Source;
    if (this.row >= 0) fillSpectrum(source, band, spectra, this.row, [start, end], this.scale);
    else for (const one of [source, band]) one.data = emptied(one.data);
  }

  private drawEvolution(source: Source, store: Store, all: [number, number], still: boolean): void {
    const spectra = this.spectraIn(store);
    this.hint = spectra && spectra.row(null) >= 0 ? "" : "nothing measured";
    if (!spectra) return;
    const field = densityField(spectra);
    if (!this.zoomed && !still) {
      this.range("x_range", all);
      this.range("y_range", [0, field.width]);
      this.model("colours").setv({ low: field.limits[0], high: field.limits[1] });
    }
    const [place, height] = [(at: number) => placeOf(at, spectra), (at: number) => heightOf(at, spectra)];
    const y = this.model("y_range") as Range;
    labelEigenvalues(this.model("y_axis"), this.model("eigenvalues"), y, spectra.scale, place, height);
    const { start, end } = this.model("x_range") as Range;
    const [first, last] = span(spectra.values.x());
    fillField(source, field, Math.max(start, first), Math.min(end, last));
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

const emptied = (data: Record<string, ArrayLike<unknown>>) =>
  Object.fromEntries(Object.keys(data).map((key) => [key, []]));
