import type { BokehModel, Range, Source } from "./bokeh";
import type { Reading } from "./reading";
import type { Store } from "./store";
import type { Line, PanelSpec, Scale } from "./types";

/** The figure that a picture is drawn in, and what is asked of it now. */
export interface Figure {
  readonly spec: PanelSpec;
  readonly scale: Scale;
  readonly store: Store;
  /** The step pointed at; null for now. */
  readonly step: number | null;
  /** The task that the reader keeps in front. */
  readonly pinned: string | null;
  /** Weight of the moving average. */
  readonly weight: number;
  /** First and last step of the run. */
  readonly all: [number, number];
  /** First and last step in view, where the reader chose them for all panels. */
  readonly window: [number, number] | null;
  /** Whether the axes may be set: not while the reader zoomed or points into the figure. */
  readonly free: boolean;
  /** Whether an axis of steps may be set: not while the reader points into the figure. */
  readonly freeSteps: boolean;
  /** Colour of words on this page. */
  readonly ink: string;
  /** Size of the frame in pixels. */
  readonly frame: { width: number; height: number };
  /** The lines in the colours of this page. */
  lines(): Line[];
  /** A colour as it is seen on this page. */
  tint(color: string): string;
  /** A model by its name. */
  find(name: string): BokehModel | undefined;
  model(name: string): BokehModel;
  source(name: string): Source;
  range(name: string): Range;
  /** Set the ends of an axis. */
  span(name: string, ends: [number, number]): void;
}

/** What the reader points at: a step, and a place among the values of a row (or on an axis of values). */
export interface Under {
  step: number | null;
  row: number | null;
}

/** A kind of panel: one for each panel, it may remember how it was turned. */
export interface Picture {
  /** Whether steps run to the right; the step pointed at changes nothing in what is drawn then. */
  readonly alongSteps: boolean;
  /** Whether it is as high as wide and takes two rows of the Board. */
  readonly tall?: boolean;
  /** Whether it takes two columns of the Board. */
  readonly wide?: boolean;
  /** What its keys do, for those who ask. */
  readonly help?: string;
  /** Write the words of a panel into a figure that was built for all of its form. */
  label(figure: Figure): void;
  /** Draw what is known; why there is nothing to see, or "". */
  draw(figure: Figure): string;
  /** Whether another row is to be drawn for this step. */
  isOther?(store: Store, step: number | null): boolean;
  /** What is under a place of the axes. */
  under(x: number, y: number, figure: Figure): Under | null;
  /** The values at a step, or now, and at a place. */
  read(lines: Line[], store: Store, step: number | null, row: number | null): Reading[];
  /** The task that a click on a place among the values keeps in front. */
  pins?(row: number): string | null;
  /** The scale that suits the values. */
  suits?(store: Store): Scale;
  /** Where an arrow key leads from a place; undefined where it has no such meaning. */
  walk?(
    key: string,
    shift: boolean,
    row: number | null,
    store: Store,
    step: number | null,
  ): number | undefined;
  /** Turn, by pixels; whether that has a meaning. */
  turn?(right: number, up: number): void;
  /** As it was at first. */
  restore?(): void;
}

/** What to say where no value has a place in the frame. */
export function reason(spec: PanelSpec, store: Store): string {
  const measured = spec.lines.some(
    ({ key, column }) => store.get(key)?.column(column).some(Number.isFinite) ?? false,
  );
  return measured ? "no positive value for a logarithmic scale" : NOTHING;
}

export const NOTHING = "nothing measured";

/** Columns as long as before, or none. */
export const emptied = (data: Record<string, ArrayLike<unknown>>) =>
  Object.fromEntries(Object.keys(data).map((key) => [key, []]));

/** What a panel shows, for those who ask. */
export function explanation(spec: PanelSpec, { help, alongSteps }: Picture): string {
  const source = spec.reference && `Source: ${spec.reference}`;
  const steps = alongSteps && HANDS;
  const keys = help && `Keys: ${help}.`;
  return [spec.definition, source, steps, keys].filter(Boolean).join("\n\n") || spec.title;
}

const HANDS =
  "Click, or arrow keys and Enter: hold a step in all panels. Shift and drag: choose steps for all. Ctrl and wheel: zoom.";
