import type { Bokeh, BokehModel, Layer, PlotView } from "../src/bokeh";

type Fake = BokehModel & Record<string, unknown> & { fills: number; start: number; end: number };

/** A model as BokehJS has it: what is set is kept, who listens is told. */
function fake(name: string): Fake {
  const listeners: (() => void)[] = [];
  let data: unknown = {};
  const model = { name, properties: {}, start: 0, end: 1, fills: 0, height: 200 } as unknown as Fake;
  model.change = { connect: (slot) => listeners.push(slot) };
  model.setv = (values) => {
    Object.assign(model, values);
    for (const listener of listeners) listener();
  };
  Object.defineProperty(model, "data", {
    get: () => data,
    set: (value) => {
      model.fills++;
      data = value;
    },
  });
  return model;
}

const NAMES = ["data", "first", "newest", "x_axis", "y_axis", "x_range", "y_range"];

/** BokehJS without a canvas: figures whose models can be looked at, the newest last. */
export class Easel implements Bokeh {
  figures: Map<string, Fake>[] = [];
  painted: (() => void)[] = [];

  embed = {
    embed_item: async (_: unknown, __: HTMLElement) => {
      const models = new Map(NAMES.map((name) => [name, fake(name)]));
      this.figures.push(models);
      const model = Object.assign(fake("plot"), { document: { all_models: new Set(models.values()) } });
      const view: PlotView = {
        model: model as unknown as PlotView["model"],
        bbox: { width: 300, height: 200 },
        frame: { bbox: { left: 50, top: 10, width: 200, height: 150 } },
        canvas_view: { events_el: document.createElement("div") },
        repainted: { connect: (slot) => this.painted.push(slot) },
        export: () => ({ canvas: document.createElement("canvas") }) as unknown as Layer,
      };
      models.set("plot", model as unknown as Fake);
      return { roots: [view], clear: () => {} };
    },
  };
}
