import type { Store } from "./store";

/** The values of one row of a variable. */
export interface Slice {
  step: number;
  values: Float64Array;
  /** Whether it is still being measured. */
  draft: boolean;
}

/**
 * The row in force at a step, or now: the last at or before it that has any value. What is being measured comes first,
 * unless the reader points at an earlier step.
 */
export function sliceAt(store: Store, key: string, step: number | null): Slice | null {
  const block = store.get(key);
  const draft = store.draft(key);
  const last = block?.rows ? block.x()[block.rows - 1]! : Number.NEGATIVE_INFINITY;
  if (draft && draft.step >= last && (step === null || step >= draft.step) && measured(draft.values)) {
    return { ...draft, draft: true };
  }
  if (!block) return null;
  let i = step === null ? block.rows - 1 : block.at(step);
  while (i >= 0 && !measured(block.row(i))) i--;
  return i < 0 ? null : { step: block.x()[i]!, values: block.row(i), draft: false };
}

/** The values of another variable of the same group in the same row. */
export function beside(store: Store, key: string | null | undefined, slice: Slice): Float64Array | null {
  if (!key) return null;
  if (slice.draft) return store.draft(key)?.values ?? null;
  const block = store.get(key);
  const i = block ? block.at(slice.step) : -1;
  return block && i >= 0 ? block.row(i) : null;
}

/** What changes when another row is drawn. */
export const sliceName = (slice: Slice | null): string => (slice ? `${slice.step} ${slice.draft}` : "");

const measured = (values: Float64Array) => values.some((value) => !Number.isNaN(value));
