/**
 * Exponential moving average without bias towards zero at its start. NaN and infinite samples stay NaN and leave
 * the average as it was. The same as `smooth` in nbtoolkit/analysis/curves.py.
 */
export function smooth(y: Float64Array, weight: number): Float64Array {
  const out = new Float64Array(y.length).fill(Number.NaN);
  let total = 0;
  let norm = 0;
  for (let i = 0; i < y.length; i++) {
    const value = y[i]!;
    if (!Number.isFinite(value)) continue;
    total = weight * total + value;
    norm = weight * norm + 1;
    out[i] = total / norm;
  }
  return out;
}
