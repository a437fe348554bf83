/** What Python tells about a run; see nbtoolkit/widget/figures.py and messages.py. */

export type Scale = "linear" | "log";

/** One value of the rows of a variable. */
export interface Place {
  key: string;
  column: number;
}

export interface Line extends Place {
  label: string;
  color: string;
  /** Its standard error or bound. */
  error?: Place | null;
  /** What it is read against. */
  line?: (Place & { label: string }) | number | null;
}

export interface PanelSpec {
  id: string;
  group: string;
  kind: "curves" | "heatmap" | "table" | "spectrum" | "evolution";
  title: string;
  units: string;
  definition: string;
  reference: string;
  scale: Scale;
  smooth: boolean;
  shown: boolean;
  /** How many labels each dim has. */
  sizes?: number[];
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
