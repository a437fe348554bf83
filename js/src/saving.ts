import type { Layer } from "./bokeh";
import { element } from "./dom";
import type { Theme } from "./theme";

const HEAD = 40; // pixels for title and reading
const LEFT = 8;
const SVG = "http://www.w3.org/2000/svg";

/** What stands around a figure in its image. */
export interface About {
  title: string;
  reading: string;
  run: string;
  step: number;
  /** Where the step held is drawn, in pixels of the figure. */
  at: { left: number; top: number; height: number } | null;
  theme: Theme;
}

/** Hand the image of a figure to the reader, with its title, as a file named after run, panel and step. */
export async function saveImage(figure: Layer, about: About): Promise<void> {
  const svg = figure.canvas instanceof SVGElement;
  const blob = svg
    ? new Blob([drawing(figure, about)], { type: "image/svg+xml" })
    : await picture(figure, about);
  const link = element("a", {
    href: URL.createObjectURL(blob),
    download: fileName(about, svg ? "svg" : "png"),
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A name that every file system takes. */
export function fileName({ run, title, step }: About, ending: string): string {
  const words = [run, title, "step", String(Math.round(step))].join(" ");
  const plain = words
    .replace(/[^\p{L}\p{N}_.+-]+/gu, "-")
    .replace(/^[-.]+/, "")
    .slice(0, 120);
  return `${plain}.${ending}`;
}

function picture(figure: Layer, { title, reading, at, theme }: About): Promise<Blob> {
  const { pixel_ratio: ratio, bbox } = figure;
  const canvas = element("canvas", {
    width: String(Math.round(bbox.width * ratio)),
    height: String(Math.round((bbox.height + HEAD) * ratio)),
  });
  const ink = canvas.getContext("2d")!;
  ink.fillStyle = theme.page;
  ink.fillRect(0, 0, canvas.width, canvas.height);
  ink.drawImage(figure.canvas as HTMLCanvasElement, 0, HEAD * ratio);
  ink.scale(ratio, ratio);
  ink.fillStyle = theme.ink;
  for (const [text, font, y] of words(title, reading, theme)) {
    ink.font = font;
    ink.fillText(text, LEFT, y, bbox.width - 2 * LEFT);
  }
  if (at) {
    ink.setLineDash([4, 3]);
    ink.strokeStyle = theme.ink;
    ink.beginPath();
    ink.moveTo(at.left, HEAD + at.top);
    ink.lineTo(at.left, HEAD + at.top + at.height);
    ink.stroke();
  }
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no image"))), "image/png"),
  );
}

/** The same as an SVG document; text becomes text, whatever is in it. */
function drawing(figure: Layer, { title, reading, at, theme }: About): string {
  const { width, height } = figure.bbox;
  const make = (tag: string, attributes: Record<string, string | number>, text = "") => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
    made.textContent = text;
    return made;
  };
  const root = make("svg", { width, height: height + HEAD, viewBox: `0 0 ${width} ${height + HEAD}` });
  const inner = figure.canvas;
  for (const [name, value] of Object.entries({ y: HEAD, width, height }))
    inner.setAttribute(name, String(value));
  root.append(make("rect", { width, height: height + HEAD, fill: theme.page }), inner);
  for (const [text, font, y] of words(title, reading, theme))
    root.append(make("text", { x: LEFT, y, fill: theme.ink, style: `font: ${font}` }, text));
  if (at) {
    const [x, y] = [at.left, HEAD + at.top];
    const line = { x1: x, x2: x, y1: y, y2: y + at.height, stroke: theme.ink, "stroke-dasharray": "4 3" };
    root.append(make("line", line));
  }
  return new XMLSerializer().serializeToString(root);
}

const words = (title: string, reading: string, { font }: Theme): [string, string, number][] => [
  [title, `600 13px ${font}`, 16],
  [reading.replace(/\s+/g, " "), `12px ${font}`, 33],
];
