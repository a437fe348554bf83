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

const BEHIND = "position: absolute; visibility: hidden; width: 100%";

/** The figure of a widget; when another takes its place, the one before stays until that is drawn. */
export function drawModel(model: Model, el: HTMLElement): () => void {
  const loaded = assetOf(model).then(bokehOf);
  let shown = () => {};
  let coming = () => {};
  const redraw = () => {
    coming();
    const end = draw(model.get("drawing") as string, el, loaded, () => {
      shown();
      shown = end;
      coming = () => {};
    });
    coming = end;
  };
  redraw();
  model.on("change:drawing", redraw);
  return () => {
    model.off("change:drawing", redraw);
    coming();
    shown();
  };
}

/** One Bokeh figure as it is, in the page's colours; returns what takes it away again. */
export function draw(
  figure: string,
  el: HTMLElement,
  loaded: Promise<Bokeh>,
  drawn?: () => void,
): () => void {
  const panel = element("div", { class: "nbtk-panel nbtk-drawing" });
  const root = element("div", { class: "nbtk-board" }, element("style", {}, STYLE), panel);
  if (drawn) root.style.cssText = BEHIND;
  el.append(root);
  let gone = false;
  const show = () => {
    if (gone) return;
    root.style.cssText = "";
    drawn?.();
  };
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
    show();
  };
  start().catch((error: unknown) => {
    panel.append(`This figure could not be drawn: ${error}`);
    show();
  });
  return () => {
    gone = true;
    clear();
    root.remove();
  };
}
