/** Index of the bucket, of equal width in x, that a sample falls into. */
function bucketOf(x: Float64Array, i: number, from: number, to: number, buckets: number): number {
  const place = Math.floor(((x[i]! - x[from]!) / (x[to - 1]! - x[from]!)) * buckets);
  return Math.min(place, buckets - 1);
}

/**
 * Indices of the samples `from` to `to` that show a curve `buckets` pixels wide: of each bucket the smallest,
 * the largest and the first NaN, and the two ends. The same as `minmax` in nbtoolkit/analysis/curves.py.
 */
export function minmax(
  x: Float64Array,
  y: Float64Array,
  buckets: number,
  from = 0,
  to: number = x.length,
): number[] {
  const kept: number[] = [];
  if (to - from <= 2 * buckets || x[to - 1] === x[from]) {
    for (let i = from; i < to; i++) kept.push(i);
    return kept;
  }
  let low = -1;
  let high = -1;
  let gap = -1;
  const close = () => {
    const found = [low, high, gap].filter((i) => i >= 0).sort((a, b) => a - b);
    for (const i of found) if (kept[kept.length - 1] !== i) kept.push(i);
    low = high = gap = -1;
  };
  kept.push(from);
  let current = 0;
  for (let i = from; i < to; i++) {
    const bucket = bucketOf(x, i, from, to, buckets);
    if (bucket !== current) {
      close();
      current = bucket;
    }
    const value = y[i]!;
    if (Number.isNaN(value)) {
      if (gap < 0) gap = i;
    } else {
      if (low < 0 || value < y[low]!) low = i;
      if (high < 0 || value > y[high]!) high = i;
    }
  }
  close();
  if (kept[kept.length - 1] !== to - 1) kept.push(to - 1);
  return kept;
}
