import { assetOf, bokehOf } from "./asset";
import type { Bokeh, BokehModel } from "./bokeh";
import { element } from "./dom";
import type { Model } from "./live";
import { STYLE } from "./style";
import { applyTheme, onThemeChange, themeOf } from "./theme";

const FILLS = ["background_fill_color", "border_fill_color"];

/** Whether a fill is the one that Bokeh gives where nobody chose: it is to be the page's. */
const isWhite = (model: BokehModel, key: string) =>
  key in model.properties && (model as unknown as Record<string, unknown>)[key] === "#ffffff";

/** The figure of a widget. */
export const drawModel = (model: Model, el: HTMLElement): (() => void) =>
  draw(model.get("drawing") as string, el, assetOf(model).then(bokehOf));

/** One Bokeh figure as it is, in the page's colours; returns what takes it away again. */
export function draw(figure: string, el: HTMLElement, loaded: Promise<Bokeh>): () => void {
  const panel = element("div", { class: "nbtk-panel nbtk-drawing" });
  el.append(element("div", { class: "nbtk-board" }, element("style", {}, STYLE), panel));
  let gone = false;
  let clear = () => {};
  const start = async () => {
    const bokeh = await loaded;
    if (gone) return;
    const made = await bokeh.embed.embed_item(JSON.parse(figure), panel);
    const models = [...new Set(made.roots.flatMap((root) => [...root.model.document.all_models]))];
    const white = models.flatMap((model) =>
      FILLS.flatMap((key) => (isWhite(model, key) ? { model, key } : [])),
    );
    const paint = () => {
      const theme = themeOf(panel);
      applyTheme(models, theme);
      for (const { model, key } of white) model.setv({ [key]: theme.page });
    };
    paint();
    const end = onThemeChange(paint);
    clear = () => {
      end();
      made.clear();
    };
    if (gone) clear();
  };
  start().catch((error: unknown) => panel.append(`This figure could not be drawn: ${error}`));
  return () => {
    gone = true;
    clear();
  };
}
