import { number, whole } from "../format";
import type { Figure, Picture } from "../picture";
import type { Reading } from "../reading";
import type { Store } from "../store";
import type { Line, PanelSpec } from "../types";

const ROWS = 10;

/** The values at the step pointed at, else the last, as text. */
export class Table implements Picture {
  readonly alongSteps = false;
  private row = -1;

  constructor(private readonly spec: PanelSpec) {}

  label(): void {}

  draw({ store, source, step }: Figure): string {
    this.row = this.at(store, step);
    const rows = this.spec.lines.slice(0, ROWS).map((line) => {
      const block = store.get(line.key);
      const i = block ? (step === null ? block.rows - 1 : block.at(step)) : -1;
      const value = block && i >= 0 ? block.row(i)[line.column]! : Number.NaN;
      return { label: line.label, value: Number.isNaN(value) ? "" : number(value, 4) };
    });
    source("data").data = {
      y: rows.map((_, i) => i),
      label: rows.map((row) => row.label),
      value: rows.map((row) => row.value),
    };
    return "";
  }

  isOther(store: Store, step: number | null): boolean {
    return this.at(store, step) !== this.row;
  }

  under(): null {
    return null;
  }

  read(_: Line[], store: Store, step: number | null): Reading[] {
    const i = step === null ? -1 : this.at(store, step);
    if (i < 0) return [];
    return [{ text: `step ${whole(store.get(this.spec.lines[0]!.key)!.x()[i]!)}`, color: null }];
  }

  /** The row in force at a step. */
  private at(store: Store, step: number | null): number {
    const block = store.get(this.spec.lines[0]?.key ?? "");
    if (!block) return -1;
    return step === null ? block.rows - 1 : block.at(step);
  }
}
