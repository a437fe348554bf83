import type { BokehModel } from "./bokeh";

export interface Theme {
  dark: boolean;
  page: string;
  ink: string;
  faint: string;
  font: string;
}

/** The page's colours, as computed for a panel: canvas text can not take CSS variables. */
export function themeOf(panel: HTMLElement): Theme {
  const style = getComputedStyle(panel);
  return {
    dark: isLight(style.color),
    page: style.backgroundColor,
    ink: style.color,
    faint: style.borderTopColor,
    font: style.fontFamily || "sans-serif",
  };
}

function isLight(color: string): boolean {
  const [red = 0, green = 0, blue = 0] = (color.match(/[\d.]+/g) ?? []).map(Number);
  return 0.3 * red + 0.6 * green + 0.1 * blue > 128;
}

const BLUE = "#0072B2";
const SKY = "#56B4E9";

/** A colour of the palette as it can be seen on this page: on dark ones the two blues change places. */
export function shade(color: string, dark: boolean): string {
  if (!dark) return color;
  return color === BLUE ? SKY : color === SKY ? BLUE : color;
}

const INK = ["major_label_text_color", "axis_label_text_color", "title_text_color", "label_text_color"];
const FONTS = ["major_label_text_font", "axis_label_text_font", "title_text_font", "label_text_font"];

const WORDS = ["words", "end_labels", "begins"];

/** Paint a figure in the page's colours. The colours of the data stay. */
export function applyTheme(models: Iterable<BokehModel>, theme: Theme): void {
  for (const model of models) {
    const values: Record<string, unknown> = {};
    for (const key of INK) if (key in model.properties) values[key] = theme.ink;
    for (const key of FONTS) if (key in model.properties) values[key] = theme.font;
    if (model.name === "words") values.text_color = { value: theme.ink };
    if (model.type === "Title") values.text_color = theme.ink;
    if (model.name === "end_labels") values.background_fill_color = { value: theme.page };
    if (WORDS.includes(model.name ?? "")) values.text_font = { value: theme.font };
    if (model.name === "ink") values.line_color = model.type === "Span" ? theme.ink : { value: theme.ink };
    if (drawsGrid(model)) values.grid_line_color = theme.faint;
    const curve = /^curve:(.*)$/.exec(model.name ?? "");
    if (curve) {
      const color = { value: shade(curve[1]!, theme.dark) };
      for (const key of ["line_color", "fill_color"]) if (key in model.properties) values[key] = color;
    }
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
