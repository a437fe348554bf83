/** One measurement of a spectrum: Ritz values and their weights, probe after probe, NaN where there are fewer. */
export interface Ritz {
  values: Float64Array;
  weights: Float64Array;
  probes: number;
  nodes: number;
}

/** As in nbtoolkit/numerics/spectra.py, which says what the rule is. */
const NODES = 10;
const GAP = 1.5;
const SHARE = 0.1;
const SPREAD = 1e-3;

const isKept = ({ values, weights }: Ritz, i: number) =>
  Number.isFinite(values[i]!) && Number.isFinite(weights[i]!);

/** Which Ritz values are isolated eigenvalues outside the bulk. */
export function outliers(ritz: Ritz): boolean[] {
  const edges = [1, -1].map((side) => [side, edge(ritz, side)] as const);
  return Array.from(
    ritz.values,
    (value, i) => isKept(ritz, i) && edges.some(([side, above]) => side * value > above),
  );
}

/** The outlying eigenvalues in ascending order: of each rank, on each side, the median over the probes. */
export function outlierValues(ritz: Ritz, mask: boolean[]): number[] {
  if (!mask.includes(true)) return [];
  const centre = median([...ritz.values].filter((value, i) => Number.isFinite(value) && !mask[i]));
  const found: number[] = [];
  for (const side of [1, -1]) {
    const beyond = byProbe(ritz)
      .filter((places) => places.length)
      .map((places) =>
        places
          .filter((i) => mask[i] && side * ritz.values[i]! > side * centre)
          .map((i) => side * ritz.values[i]!)
          .sort((a, b) => b - a),
      );
    const count = Math.floor(median(beyond.map((values) => values.length)));
    for (let j = 0; j < count; j++) {
      found.push(side * median(beyond.filter((values) => values.length > j).map((values) => values[j]!)));
    }
  }
  return found.sort((a, b) => a - b);
}

/** Places of the Ritz values of each probe. */
function byProbe(ritz: Ritz): number[][] {
  return Array.from({ length: ritz.probes }, (_, probe) =>
    Array.from({ length: ritz.nodes }, (_, node) => probe * ritz.nodes + node).filter((i) => isKept(ritz, i)),
  );
}

/** The middle of the gap above which the outliers of one side lie; infinite where there is none. */
function edge(ritz: Ritz, side: number): number {
  const probes = byProbe(ritz).filter((places) => places.length);
  const depth = Math.min(...probes.map((places) => places.length));
  if (!probes.length || depth < NODES) return Number.POSITIVE_INFINITY;
  const value = (i: number) => side * ritz.values[i]!;
  for (const places of probes) places.sort((a, b) => value(b) - value(a));
  const shares = probes.map(() => 0);
  const centre = centreOf(
    probes.flat().sort((a, b) => value(a) - value(b)),
    ritz,
    side,
  );
  let found = Number.POSITIVE_INFINITY;
  let next = ranked(0);
  for (let j = 0; j + 1 < depth; j++) {
    const here = next;
    next = ranked(j + 1);
    probes.forEach((places, p) => {
      shares[p] = shares[p]! + ritz.weights[places[j]!]!;
    });
    const distance = quantile(here, 0.5) - centre;
    const following = quantile(next, 0.5);
    if (quantile(here, 0.75) - quantile(here, 0.25) > SPREAD * distance) break;
    if (median(shares) > SHARE) break;
    if (distance > 0 && distance >= GAP * (following - centre)) found = (quantile(here, 0.5) + following) / 2;
  }
  return found;

  function ranked(j: number): number[] {
    return probes.map((places) => value(places[j]!)).sort((a, b) => a - b);
  }
}

/** The first value at which half of the weight is reached. */
function centreOf(ascending: number[], { values, weights }: Ritz, side: number): number {
  const total = ascending.reduce((sum, i) => sum + weights[i]!, 0);
  let reached = 0;
  for (const i of ascending) {
    reached += weights[i]!;
    if (reached >= 0.5 * total) return side * values[i]!;
  }
  return Number.NaN;
}

const median = (values: number[]) =>
  quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );

/** Of sorted values, between the two nearest, as NumPy does by default. */
function quantile(sorted: number[], share: number): number {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (at - low) * (sorted[high]! - sorted[low]!);
}
