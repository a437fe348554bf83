/** What Python tells about a run; see nbtoolkit/widget/figures.py and messages.py. */

export type Scale = "linear" | "log";

export interface Line {
  key: string;
  column: number;
  label: string;
  color: string;
}

export interface PanelSpec {
  id: string;
  group: string;
  kind: "curves" | "heatmap" | "table";
  title: string;
  units: string;
  definition: string;
  reference: string;
  scale: Scale;
  smooth: boolean;
  shown: boolean;
  lines: Line[];
  forms: Partial<Record<Scale, string>>;
}

export interface Description {
  panels: PanelSpec[];
  figures: Record<string, unknown>;
}

export interface Status {
  step: number;
  steps_per_second: number | null;
  elapsed: number | null;
  share: number | null;
  state: string;
  notes: string[];
  /** Of the run. */
  name?: string;
}

export interface Series {
  key: string;
  x: number;
  y: number;
  width: number;
}

export interface Head {
  op: "append" | "reset";
  seq: number;
  status: Status;
  series: Series[];
}
