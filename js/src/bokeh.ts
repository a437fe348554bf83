/** The few things of BokehJS that are used here. */

export interface Signal {
  connect(slot: () => void): unknown;
}

export interface BokehModel {
  id: string;
  type?: string;
  name: string | null;
  change: Signal;
  properties: Record<string, unknown>;
  setv(values: Record<string, unknown>): void;
}

export interface Source extends BokehModel {
  data: Record<string, ArrayLike<unknown>>;
}

export interface Range extends BokehModel {
  start: number;
  end: number;
}

/** A figure painted apart from the page. */
export interface Layer {
  canvas: HTMLCanvasElement | SVGElement;
  pixel_ratio: number;
  bbox: { width: number; height: number };
}

export interface PlotView {
  model: BokehModel & { height: number; document: { all_models: Set<BokehModel> } };
  bbox: { width: number; height: number };
  frame: { bbox: { left: number; top: number; width: number; height: number } };
  canvas_view: { events_el: HTMLElement };
  repainted: Signal;
  export(kind: "png" | "svg"): Layer;
}

export interface Bokeh {
  embed: {
    embed_item(item: unknown, element: HTMLElement): Promise<{ roots: PlotView[]; clear(): void }>;
  };
}

type Shared = Record<string, Promise<Bokeh> | undefined>;

/** The place on the page where Boards share one BokehJS; exported pages fill it beforehand. */
export const slot = (version: string): string => `nbtoolkit:bokeh:${version}`;

/** BokehJS, evaluated once per page and apart from any other Bokeh there. */
export function loadBokeh(version: string, source: () => string): Promise<Bokeh> {
  const shared = globalThis as unknown as Shared;
  shared[slot(version)] ??= evaluate(source());
  return shared[slot(version)]!;
}

async function evaluate(source: string): Promise<Bokeh> {
  const text = `const root = {}; (function () {${source}\n}).call(root); export default root.Bokeh;`;
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try {
    return ((await import(url)) as { default: Bokeh }).default;
  } finally {
    URL.revokeObjectURL(url);
  }
}
