import type { BokehModel } from "./bokeh";
import { short } from "./format";
import type { PanelSpec } from "./types";

const LABELLED = 11; // rows of a field

/** Write the words of a panel into a figure that was built for all of its form. */
export function label(models: Iterable<BokehModel>, spec: PanelSpec): void {
  const found = new Map<string, BokehModel>();
  for (const model of models) {
    if (!model.name) continue;
    found.set(model.name, model);
    const named = /^legend(\d+)$/.exec(model.name);
    if (named) model.setv({ label: { value: spec.lines[Number(named[1])]!.label } });
  }
  const withUnits = { curves: "y_axis", spectrum: "x_axis", evolution: "y_axis" };
  if (spec.kind in withUnits) {
    found.get(withUnits[spec.kind as keyof typeof withUnits])!.setv({ axis_label: spec.units });
  }
  if (spec.kind !== "heatmap") return;
  found.get("bar")!.setv({ title: spec.units });
  const count = spec.lines.length;
  const every = Math.max(1, Math.ceil(count / LABELLED));
  const rows = spec.lines.flatMap((line, i) =>
    i % every ? [] : [{ at: count - i - 0.5, text: short(line.label) }],
  );
  found.get("rows")!.setv({ ticks: rows.map((row) => row.at) });
  found.get("y_axis")!.setv({ major_label_overrides: new Map(rows.map((row) => [row.at, row.text])) });
}
