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

  describe("of a widget", () => {
    const slot = "nbtoolkit:bokeh:test";
    const slots = globalThis as unknown as Record<string, unknown>;
    const get_model = vi.fn(async () => ({ get: () => "test", on: () => {}, off: () => {} }));
    const state: Record<string, string> = { asset: "holder" };
    const on = vi.fn();
    const off = vi.fn();
    const model = {
      get: (name: string) => state[name],
      on,
      off,
      widget_manager: { get_model },
    } as unknown as Model;
    const change = (drawing: string) => {
      state.drawing = drawing;
      on.mock.calls[0]![1]();
    };
    const visible = () =>
      [...el.children].filter((root) => (root as HTMLElement).style.visibility !== "hidden");

    beforeEach(() => {
      on.mockClear();
      state.drawing = '{"doc": 2}';
      slots[slot] = Promise.resolve(bokeh);
    });
    afterEach(() => {
      delete slots[slot];
    });

    it("takes BokehJS from the kernel's one holder", async () => {
      drawModel(model, el);
      await settled();
      expect(get_model).toHaveBeenCalledWith("holder");
      expect(embedded).toEqual([{ doc: 2 }]);
    });

    it("stays until the one that takes its place is drawn", async () => {
      drawModel(model, el);
      await settled();
      const [before] = visible();
      change('{"doc": 3}');
      expect(visible()).toHaveLength(1);
      expect(visible()[0]).toBe(before);
      await settled();
      expect(embedded).toEqual([{ doc: 2 }, { doc: 3 }]);
      expect(clear).toHaveBeenCalledTimes(1);
      expect(el.children).toHaveLength(1);
      expect(visible()).toHaveLength(1);
      expect(visible()[0]).not.toBe(before);
    });

    it("of which several come at once only the last is drawn", async () => {
      drawModel(model, el);
      change('{"doc": 3}');
      change('{"doc": 4}');
      await settled();
      expect(embedded).toEqual([{ doc: 4 }]);
      expect(visible()).toHaveLength(1);
    });

    it("that cannot be drawn says why in the place of the one before", async () => {
      drawModel(model, el);
      await settled();
      change("no JSON");
      await settled();
      expect(visible()).toHaveLength(1);
      expect(el.textContent).toContain("This figure could not be drawn: SyntaxError");
    });

    it("is taken away with all that is under way", async () => {
      const end = drawModel(model, el);
      await settled();
      change('{"doc": 3}');
      end();
      await settled();
      expect(el.children).toHaveLength(0);
      expect(off).toHaveBeenCalledWith("change:drawing", on.mock.calls[0]![1]);
    });
  });
});
