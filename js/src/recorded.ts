import type { Block, Store } from "./store";

/** The last step at or before a step at which anything was recorded; null where there is none. */
export function recordedAt(store: Store, step: number): number | null {
  return extreme(store, (block) => block.at(step), Math.max);
}

/** The next step with a record. */
export function recordedAfter(store: Store, step: number): number | null {
  return extreme(store, (block) => block.at(step) + 1, Math.min);
}

/** The step with a record before a step. */
export function recordedBefore(store: Store, step: number): number | null {
  return extreme(store, (block) => before(block, step), Math.max);
}

/** The step so many records away, or the last on the way there. */
export function walked(store: Store, from: number, by: number): number {
  let here = from;
  for (let i = 0; i < Math.abs(by); i++) {
    here = (by > 0 ? recordedAfter(store, here) : recordedBefore(store, here)) ?? here;
  }
  return here;
}

function before(block: Block, step: number): number {
  let i = block.at(step);
  while (i >= 0 && block.x()[i] === step) i--;
  return i;
}

function extreme(
  store: Store,
  row: (block: Block) => number,
  better: (a: number, b: number) => number,
): number | null {
  let found: number | null = null;
  for (const block of store.every()) {
    const i = row(block);
    if (i < 0 || i >= block.rows) continue;
    const step = block.x()[i]!;
    found = found === null ? step : better(found, step);
  }
  return found;
}
