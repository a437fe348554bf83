import { fillField, limits, span } from "../field";
import { short } from "../format";
import { type Figure, type Picture, reason, type Under } from "../picture";
import { type Reading, readField } from "../reading";
import type { Store } from "../store";
import type { Line, PanelSpec } from "../types";

const LABELLED = 11; // rows of a field

/** A field over step and label. */
export class Heatmap implements Picture {
  readonly alongSteps = true;

  constructor(private readonly spec: PanelSpec) {}

  label(figure: Figure): void {
    figure.model("bar").setv({ title: this.spec.units });
    const count = this.spec.lines.length;
    const every = Math.max(1, Math.ceil(count / LABELLED));
    const rows = this.spec.lines.flatMap((line, i) =>
      i % every ? [] : [{ at: count - i - 0.5, text: short(line.label) }],
    );
    figure.model("rows").setv({ ticks: rows.map((row) => row.at) });
    const written = new Map(rows.map((row) => [row.at, row.text]));
    figure.model("y_axis").setv({ major_label_overrides: written });
  }

  draw(figure: Figure): string {
    const block = figure.store.get(this.spec.lines[0]!.key);
    const hint = block?.rows ? "" : reason(this.spec, figure.store);
    if (!block) return hint;
    if (figure.free) {
      figure.span("x_range", figure.all);
      figure.span("y_range", [0, block.width]);
      const [low, high] = limits(block, figure.scale);
      figure.model("colours").setv({ low, high });
    }
    const { start, end } = figure.range("x_range");
    const [first, last] = span(block.x());
    fillField(figure.source("data"), block, Math.max(start, first), Math.min(end, last));
    return hint;
  }

  under(x: number, y: number): Under {
    const count = this.spec.lines.length;
    return { step: x, row: Math.min(count - 1, Math.max(0, Math.floor(count - y))) };
  }

  read(_: Line[], store: Store, step: number | null, row: number | null): Reading[] {
    return readField(this.spec, store, step, row);
  }

  /** To the row above or below; from none to the first. */
  walk(key: string, _: boolean, row: number | null): number | undefined {
    const by = { ArrowUp: -1, ArrowDown: 1 }[key];
    if (!by) return undefined;
    return row === null ? 0 : Math.min(this.spec.lines.length - 1, Math.max(0, row + by));
  }
}
