import { lineOf, outline } from "../bands";
import type { Source } from "../bokeh";
import { fillCurves, headroom, heights } from "../curves";
import { fillEnds, namesOf } from "../ends";
import { cut } from "../format";
import { type Figure, type Picture, reason, type Under } from "../picture";
import { type Reading, readCurves } from "../reading";
import type { Store } from "../store";
import type { Line, PanelSpec } from "../types";

const LEGEND = 24; // letters of a name in a legend
const DIRECT = 5; // so many curves are named at their ends

/** Curves over the step. */
export class Curves implements Picture {
  readonly alongSteps = true;

  constructor(private readonly spec: PanelSpec) {}

  label(figure: Figure): void {
    figure.model("y_axis").setv({ axis_label: this.spec.units });
    this.spec.lines.forEach((line, i) => {
      figure.find(`legend${i}`)?.setv({ label: { value: cut(line.label, LEGEND) } });
    });
  }

  draw(figure: Figure): string {
    const { store, scale, all, frame, window } = figure;
    const source = figure.source("data");
    const view = { ...frame, from: window?.[0] ?? null, to: window?.[1] ?? null };
    const margin = 0.01 * (all[1] - all[0]); // room for the dots at both ends
    const across: [number, number] = window ?? [all[0] - margin, all[1] + margin];
    const y = fillCurves(source, this.spec, store, figure.weight, view, scale, across);
    const named = this.spec.lines.length > 1 && this.spec.lines.length <= DIRECT;
    if (figure.freeSteps) figure.span("x_range", across);
    if (figure.free && y) figure.span("y_range", headroom(heights(y, source, scale), scale, named));
    this.spec.lines.forEach((_, i) => {
      this.band(figure, source, i);
    });
    const ends = figure.find("ends") as Source | undefined;
    if (ends) {
      const names = named ? namesOf(figure.lines()) : [];
      const line = lineOf(this.spec.lines, store, across);
      if (line) names.push({ x: "line_x", y: "line", text: line.label, color: figure.ink });
      const [x, y] = [figure.range("x_range"), figure.range("y_range")];
      fillEnds(ends, source, names, { ...frame, x, y, scale });
    }
    return y ? "" : reason(this.spec, store);
  }

  under(x: number): Under {
    return { step: x, row: null };
  }

  read(lines: Line[], store: Store, step: number | null): Reading[] {
    return readCurves(this.spec, lines, store, step);
  }

  private band(figure: Figure, source: Source, i: number): void {
    const band = figure.find(`band${i}`) as Source | undefined;
    const [x, low, high] = ["x", "low", "high"].map(
      (key) => source.data[`${key}${i}`] as Float64Array | undefined,
    );
    if (band) band.data = x && low && high ? outline(x, low, high) : { x: [], y: [] };
  }
}
