import type { BokehModel } from "./bokeh";

export interface Theme {
  ink: string;
  faint: string;
  font: string;
}

/** The page's colours, as computed for a panel: canvas text can not take CSS variables. */
export function themeOf(panel: HTMLElement): Theme {
  const style = getComputedStyle(panel);
  return { ink: style.color, faint: style.borderTopColor, font: style.fontFamily || "sans-serif" };
}

const INK = ["major_label_text_color", "axis_label_text_color", "title_text_color", "label_text_color"];
const FONTS = ["major_label_text_font", "axis_label_text_font", "title_text_font", "label_text_font"];

/** Paint a figure in the page's colours. The colours of the data stay. */
export function applyTheme(models: Iterable<BokehModel>, theme: Theme): void {
  for (const model of models) {
    const values: Record<string, unknown> = {};
    for (const key of INK) if (key in model.properties) values[key] = theme.ink;
    for (const key of FONTS) if (key in model.properties) values[key] = theme.font;
    if (model.name === "words") values.text_color = { value: theme.ink };
    if (model.name === "words" || model.name === "end_labels") values.text_font = { value: theme.font };
    if (drawsGrid(model)) values.grid_line_color = theme.faint;
    if (Object.keys(values).length) model.setv(values);
  }
}

function drawsGrid(model: BokehModel): boolean {
  return (
    "grid_line_color" in model.properties && (model as { grid_line_color?: unknown }).grid_line_color !== null
  );
}

/** Call back when the page turns dark or light. */
export function onThemeChange(callback: () => void): () => void {
  const observer = new MutationObserver(callback);
  const attributes = ["data-jp-theme-light", "data-jp-theme-name", "class", "data-theme"];
  observer.observe(document.body, { attributes: true, attributeFilter: attributes });
  const media = typeof matchMedia === "function" ? matchMedia("(prefers-color-scheme: dark)") : null;
  media?.addEventListener("change", callback);
  return () => {
    observer.disconnect();
    media?.removeEventListener("change", callback);
  };
}
