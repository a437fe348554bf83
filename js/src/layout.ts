import type { Ends } from "./plane";
import type { PanelSpec } from "./types";

/** How the reader arranged the panels; kept as text in the notebook. */
export class Layout {
  /** Ids of panels in the order that the reader gave them; empty for the usual one. */
  order: string[] = [];
  /** What the reader hid, or asked for. */
  hidden = new Map<string, boolean>();
  wide = new Set<string>();
  /** Steps in view, and the run that they are of. */
  range: Ends | null = null;
  run = "";

  /** Of text that anyone may have written: what makes no sense is left out. */
  constructor(text = "") {
    const kept = parsed(text);
    this.order = names(kept.order);
    this.wide = new Set(names(kept.wide));
    if (isRecord(kept.hidden))
      for (const [id, one] of Object.entries(kept.hidden)) this.hidden.set(id, one === true);
    const range = kept.range;
    if (Array.isArray(range) && range.length === 2 && range.every(Number.isFinite))
      this.range = range as Ends;
    this.run = typeof kept.run === "string" ? kept.run : "";
  }

  text(): string {
    const { order, range, run } = this;
    return JSON.stringify({
      order,
      hidden: Object.fromEntries(this.hidden),
      wide: [...this.wide],
      range,
      run: range && run,
    });
  }

  isHidden(spec: PanelSpec, already: boolean): boolean {
    return this.hidden.get(spec.id) ?? !(spec.shown || already);
  }

  /** The panels in order. Those that the order does not know come after the one that is usually before them. */
  arranged(panels: PanelSpec[]): PanelSpec[] {
    const usual = new Map(panels.map((spec) => [spec.id, spec]));
    const ids = [...new Set(this.order)].filter((id) => usual.has(id));
    let last = -1;
    for (const { id } of panels) {
      const at = ids.indexOf(id);
      if (at >= 0) last = at;
      else ids.splice(++last, 0, id);
    }
    return ids.map((id) => usual.get(id)!);
  }

  /** Put a panel before another, or at the end. */
  move(panels: PanelSpec[], id: string, before: string | null): void {
    const ids = this.arranged(panels)
      .map((spec) => spec.id)
      .filter((one) => one !== id);
    const at = before === null ? -1 : ids.indexOf(before);
    ids.splice(at < 0 ? ids.length : at, 0, id);
    this.order = ids;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const names = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}
