import { number } from "../format";
import type { Figure, Picture } from "../picture";
import type { Reading } from "../reading";
import type { PanelSpec } from "../types";

const ROWS = 10;

/** The last values as text. */
export class Table implements Picture {
  readonly alongSteps = false;

  constructor(private readonly spec: PanelSpec) {}

  label(): void {}

  draw({ store, source }: Figure): string {
    const rows = this.spec.lines.slice(0, ROWS).map((line) => {
      const block = store.get(line.key);
      const value = block?.rows ? block.row(block.rows - 1)[line.column]! : Number.NaN;
      return { label: line.label, value: Number.isNaN(value) ? "" : number(value, 4) };
    });
    source("data").data = {
      y: rows.map((_, i) => i),
      label: rows.map((row) => row.label),
      value: rows.map((row) => row.value),
    };
    return "";
  }

  under(): null {
    return null;
  }

  read(): Reading[] {
    return [];
  }
}
