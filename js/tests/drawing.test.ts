import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Bokeh, BokehModel } from "../src/bokeh";
import { draw, drawModel } from "../src/drawing";
import type { Model } from "../src/live";

type Fake = BokehModel & Record<string, unknown>;

/** A model as BokehJS has it: what is set is kept. */
function fake(values: Record<string, unknown>): Fake {
  const model = { name: null, properties: values, ...values } as unknown as Fake;
  model.setv = (changed) => Object.assign(model, changed);
  return model;
}

describe("a figure alone", () => {
  let el: HTMLElement;
  let models: Record<"axis" | "title" | "plot" | "chosen", Fake>;
  let clear: ReturnType<typeof vi.fn<() => void>>;
  let embedded: unknown[];
  let bokeh: Bokeh;

  beforeEach(() => {
    el = document.createElement("div");
    document.body.append(el);
    models = {
      axis: fake({ major_label_text_color: "black", grid_line_color: "white" }),
      title: fake({ type: "Title", text_color: "black" }),
      plot: fake({ background_fill_color: "#ffffff", border_fill_color: "#ffffff" }),
      chosen: fake({ background_fill_color: "#ffeedd", border_fill_color: null }),
    };
    clear = vi.fn();
    embedded = [];
    const document_ = { all_models: new Set(Object.values(models)) };
    const embed_item = async (item: unknown) => {
      embedded.push(item);
      return { roots: [{ model: { document: document_ } }], clear };
    };
    bokeh = { embed: { embed_item } } as unknown as Bokeh;
  });
  afterEach(() => {
    document.body.replaceChildren();
    document.body.removeAttribute("data-jp-theme-light");
    vi.restoreAllMocks();
  });

  const settled = () => new Promise((resolve) => setTimeout(resolve));
  const page = (color: string, backgroundColor: string) =>
    vi
      .spyOn(globalThis, "getComputedStyle")
      .mockReturnValue({ color, backgroundColor, borderTopColor: "gray" } as CSSStyleDeclaration);

  it("is embedded as it is, in the page's colours, and follows them", async () => {
    page("rgb(0, 0, 0)", "rgb(255, 255, 255)");
    draw('{"target_id": null, "doc": 1}', el, Promise.resolve(bokeh));
    await settled();
    expect(embedded).toEqual([{ target_id: null, doc: 1 }]);
    expect(models.title.text_color).toBe("rgb(0, 0, 0)");
    page("rgb(230, 230, 230)", "rgb(17, 17, 17)");
    document.body.setAttribute("data-jp-theme-light", "false");
    await settled();
    expect(models.title.text_color).toBe("rgb(230, 230, 230)");
    expect(models.axis).toMatchObject({
      major_label_text_color: "rgb(230, 230, 230)",
      grid_line_color: "gray",
    });
    expect(models.plot).toMatchObject({
      background_fill_color: "rgb(17, 17, 17)",
      border_fill_color: "rgb(17, 17, 17)",
    });
    // A colour that somebody chose stays.
    expect(models.chosen).toMatchObject({ background_fill_color: "#ffeedd", border_fill_color: null });
  });

  it("is taken away, and then follows no more", async () => {
    page("rgb(0, 0, 0)", "rgb(255, 255, 255)");
    const end = draw("{}", el, Promise.resolve(bokeh));
    await settled();
    end();
    expect(clear).toHaveBeenCalledTimes(1);
    page("rgb(230, 230, 230)", "rgb(17, 17, 17)");
    document.body.setAttribute("data-jp-theme-light", "false");
    await settled();
    expect(models.title.text_color).toBe("rgb(0, 0, 0)");
  });

  it("is not drawn where it was taken away before BokehJS came", async () => {
    const end = draw("{}", el, Promise.resolve(bokeh));
    end();
    await settled();
    expect(embedded).toEqual([]);
  });

  it("that cannot be drawn says why", async () => {
    draw("{}", el, Promise.reject(new Error("BokehJS 1.2 is not here")));
    await settled();
    expect(el.textContent).toContain("This figure could not be drawn: Error: BokehJS 1.2 is not here");
  });

  it("of a widget takes BokehJS from the kernel's one holder", async () => {
    const slot = "nbtoolkit:bokeh:test";
    (globalThis as unknown as Record<string, unknown>)[slot] = Promise.resolve(bokeh);
    const get_model = vi.fn(async () => ({ get: () => "test", on: () => {}, off: () => {} }));
    const state: Record<string, string> = { drawing: '{"doc": 2}', asset: "holder" };
    const model = { get: (name: string) => state[name], widget_manager: { get_model } } as unknown as Model;
    drawModel(model, el);
    await settled();
    expect(get_model).toHaveBeenCalledWith("holder");
    expect(embedded).toEqual([{ doc: 2 }]);
    delete (globalThis as unknown as Record<string, unknown>)[slot];
  });
});
