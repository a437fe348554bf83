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

export type Kind =
  | "curves"
  | "heatmap"
  | "table"
  | "spectrum"
  | "evolution"
  | "landscape"
  | "surface"
  | "profile"
  | "matrix"
  | "trajectory"
  | "gap"
  | "scree";

export interface PanelSpec {
  id: string;
  group: string;
  kind: Kind;
  title: string;
  units: string;
  definition: string;
  reference: string;
  scale: Scale;
  smooth: boolean;
  shown: boolean;
  /** How many labels each dim has. */
  sizes?: number[];
  /** The dims of the values of a row, the last running fastest, and their labels. */
  dims?: string[];
  coords?: Record<string, (number | string)[]>;
  /** The path drawn on a plane. */
  path?: { key: string; components: number } | null;
  /** The ends that the colours always have. */
  ends?: [number, number];
  /** The colour of each label, where there is a curve for it. */
  colors?: string[];
  /** Key of what tells which task is being trained. */
  training?: string;
  /** Key of the steps that kept copies are of. */
  steps?: string | null;
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
  /** Learning rates of the groups at this moment; empty or null where unknown. */
  lr?: (number | null)[];
  /** How far the fork is that is being made now; "" when there is none. */
  forking?: string;
  /** Why no command can arrive now and what to do; "" when they can. */
  deaf?: string;
}

/** Something done to the running loop. */
export interface Command {
  /** The first step that felt it. */
  step: number;
  what: string;
  text: string;
  old?: unknown;
  new?: unknown;
}

export type Severity = "alarm" | "warn" | "note";

/** Something that the record shows; see nbtoolkit/analysis/findings.py. */
export interface Finding {
  rule: string;
  severity: Severity;
  /** Where it began. */
  step: number;
  text: string;
  evidence: string;
  line: string;
  reference: string;
  advice: string;
  /** Of the record, whose panel shows it. */
  group: string | null;
}

export interface Measurable {
  name: string;
  title: string;
  attached: boolean;
  every: number | null;
  /** Why it can not be measured; "" if it can. */
  cannot: string;
}

/** What a running loop can be asked for. */
export interface Controls {
  /** Parameter groups of the optimizer. */
  groups: number;
  instruments: Measurable[];
  /** Why no fork can be made; "" if one can; absent where that is not known. */
  fork?: string;
}

/** What came of a command. */
export interface Ack {
  op: "ack";
  id: string;
  state: "queued" | "done" | "refused";
  text?: string;
}

export interface Series {
  key: string;
  x: number;
  y: number;
  width: number;
  /** Whether rows are left out. */
  thin?: boolean;
}

/** What the kernel answers where a page looks closer than it has rows; see nbtoolkit/widget/ranges.py. */
export interface RangeHead {
  op: "rows";
  /** First and last step asked for. */
  from: number;
  to: number;
  series: Series[];
}

export interface Head {
  op: "append" | "reset";
  seq: number;
  status: Status;
  series: Series[];
  /** One row of each variable that is being measured; they replace those of the message before. */
  drafts?: Series[];
  /** Everything done to the loop; absent: as before. */
  commands?: Command[];
  /** All that was found; absent: as before. */
  findings?: Finding[];
}
