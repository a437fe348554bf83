import type { Figure } from "../picture";

const MOST = 6;

/** Write the levels of the isolines beside the bar of colours, as many as have room. */
export function labelBar(figure: Figure, levels: number[]): void {
  const ticker = figure.find("bar_ticks");
  if (!ticker) return;
  const every = Math.max(1, Math.ceil(levels.length / MOST));
  const ticks = levels.filter((_, i) => i % every === 0);
  ticker.setv({ ticks });
  figure.model("bar").setv({ major_label_overrides: new Map(ticks.map((tick) => [tick, written(tick)])) });
}

/** A level as short as it can be. */
export function written(level: number): string {
  const size = Math.abs(level);
  const plain = level === 0 || (size >= 1e-3 && size < 1e5);
  return (plain ? String(level) : level.toExponential().replace("e+", "e")).replaceAll("-", "−");
}
