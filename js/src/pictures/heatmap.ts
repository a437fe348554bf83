import { fillField, limits, measured, picked, span } from "../field";
import { short } from "../format";
import { type Figure, type Picture, reason, type Under } from "../picture";
import { type Reading, readField, readTraining } from "../reading";
import type { Store } from "../store";
import type { Line, PanelSpec } from "../types";

const LABELLED = 11; // rows of a field

/** A field over step and label. */
export class Heatmap implements Picture {
  readonly alongSteps = true;

  /** The labels that have a row, from the top: those with a value at some step. */
  private places: number[];

  constructor(private readonly spec: PanelSpec) {
    this.places = [...spec.lines.keys()];
  }

  label(figure: Figure): void {
    figure.model("bar").setv({ title: this.spec.units });
    const count = this.places.length;
    const every = Math.max(1, Math.ceil(count / LABELLED));
    const rows = this.places.flatMap((place, i) =>
      i % every ? [] : [{ at: count - i - 0.5, text: short(this.spec.lines[place]!.label) }],
    );
    figure.model("rows").setv({ ticks: rows.map((row) => row.at) });
    const written = new Map(rows.map((row) => [row.at, row.text]));
    figure.model("y_axis").setv({ major_label_overrides: written });
  }

  draw(figure: Figure): string {
    const block = figure.store.get(this.spec.lines[0]!.key);
    const hint = block?.rows ? "" : reason(this.spec, figure.store);
    if (!block) return hint;
    if (figure.freeSteps) figure.span("x_range", figure.window ?? figure.all);
    if (figure.free) {
      this.choose(measured(block), figure);
      figure.span("y_range", [0, this.places.length]);
      const [low, high] = limits(block, figure.scale);
      figure.model("colours").setv({ low, high });
    }
    const { start, end } = figure.range("x_range");
    const [first, last] = span(block.x());
    fillField(figure.source("data"), picked(block, this.places), Math.max(start, first), Math.min(end, last));
    return hint;
  }

  under(x: number, y: number): Under {
    const count = this.places.length;
    return { step: x, row: this.places[Math.min(count - 1, Math.max(0, Math.floor(count - y)))]! };
  }

  read(_: Line[], store: Store, step: number | null, row: number | null): Reading[] {
    if (this.spec.training && row === null) return readTraining(this.spec, store, step);
    return readField(this.spec, store, step, row);
  }

  /** To the row above or below; from none to the first. */
  walk(key: string, _: boolean, row: number | null): number | undefined {
    const by = { ArrowUp: -1, ArrowDown: 1 }[key];
    if (!by) return undefined;
    const here = row === null ? -1 : this.places.indexOf(row);
    return this.places[here < 0 ? 0 : Math.min(this.places.length - 1, Math.max(0, here + by))];
  }

  private choose(places: number[], figure: Figure): void {
    if (String(places) === String(this.places)) return;
    this.places = places;
    this.label(figure);
  }
}
