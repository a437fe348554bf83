import type { BokehModel, Range, Source } from "../src/bokeh";
import type { Figure, Picture } from "../src/picture";
import { Store } from "../src/store";
import type { PanelSpec, Scale } from "../src/types";

export const status = {
  step: 0,
  steps_per_second: null,
  elapsed: null,
  share: null,
  state: "watching",
  notes: [],
};
export const NaN_ = Number.NaN;

export type Rows = Record<string, number[][]>;

/** A store with rows at these steps, and perhaps a row that is being measured. */
export function stored(steps: number[], rows: Rows, draft?: { step: number; rows: Rows }): Store {
  const store = new Store();
  const buffers = [Float64Array.from(steps)];
  const add = (all: Rows, x: number) =>
    Object.entries(all).map(([key, values]) => {
      buffers.push(Float64Array.from(values.flat()));
      return { key, x, y: buffers.length - 1, width: values[0]!.length };
    });
  const series = add(rows, 0);
  let drafts: ReturnType<typeof add> = [];
  if (draft) {
    buffers.push(Float64Array.of(draft.step));
    drafts = add(draft.rows, buffers.length - 1);
  }
  store.apply({ head: { op: "reset", seq: 1, status, series, drafts }, buffers });
  return store;
}

/** A figure without BokehJS behind it: what is set is kept. */
export class Paper implements Figure {
  step: number | null = null;
  weight = 0;
  all: [number, number] = [0, 300];
  window: [number, number] | null = null;
  free = true;
  freeSteps = true;
  ink = "black";
  frame = { width: 300, height: 300 };
  models = new Map<string, BokehModel & Record<string, unknown>>();

  constructor(
    readonly spec: PanelSpec,
    readonly store: Store,
    readonly scale: Scale = "linear",
  ) {}

  pinned: string | null = null;

  lines = () => this.spec.lines;
  tint = (color: string) => color;
  find = (name: string): (BokehModel & Record<string, unknown>) | undefined => {
    if (!this.models.has(name)) {
      const made: Record<string, unknown> = { data: { image: [new Image()] }, start: 0, end: 1 };
      made.setv = (values: object) => Object.assign(made, values);
      this.models.set(name, made as BokehModel & Record<string, unknown>);
    }
    return this.models.get(name);
  };
  model = (name: string) => this.find(name)!;
  source = (name: string) => this.find(name) as unknown as Source;
  range = (name: string) => this.find(name) as unknown as Range;
  span = (name: string, [start, end]: [number, number]) => this.model(name).setv({ start, end });

  drawn(picture: Picture, step: number | null = null): Record<string, ArrayLike<unknown>> {
    this.step = step;
    picture.draw(this);
    return this.source("data").data;
  }
  image(picture: Picture, step: number | null = null): number[] {
    const data = this.drawn(picture, step);
    const image = [...(data.image![0] as Image).values];
    this.source("data").data.image = [new Image()] as unknown as ArrayLike<unknown>;
    return image;
  }
}

class Image {
  constructor(
    readonly values = new Float64Array(0),
    readonly shape: number[] = [],
  ) {}
}

export const line = { column: 0, label: "loss", color: "#0072B2" };
export const plane = (more: object = {}) =>
  ({
    id: "s/loss",
    kind: "landscape",
    units: "loss",
    lines: [{ ...line, key: "s/loss" }],
    dims: ["alpha", "beta"],
    coords: { alpha: [-1, 0, 1], beta: [-1, 1] },
    sizes: [3, 2],
    ...more,
  }) as unknown as PanelSpec;
// Rows are (alpha, beta): 1 2 at alpha -1, 3 4 at 0, 5 6 at 1.
export const ROW = [1, 2, 3, 4, 5, 6];
export const texts = (
  picture: Picture,
  spec: PanelSpec,
  store: Store,
  step: number | null,
  row: number | null = null,
) => picture.read(spec.lines, store, step, row).map((one) => one.text);
