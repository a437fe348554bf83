/** The episodes of a stream of tasks, how far earlier tasks fall and come back; as nbtoolkit/panels/episodes.py. */

/** Rows `first` to `last` of a training of a task: as it begins, after `begin` steps, and as it has ended. */
export interface Episode {
  task: number;
  begin: number;
  first: number;
  last: number;
}

/** A fall of an earlier task that comes back within an episode of another. */
export interface Gap {
  task: number;
  episode: number;
  /** As the episode began. */
  level: number;
  lowest: number;
  /** The highest after the lowest, at most the level. */
  back: number;
  at: number;
  /** Along the curve, from where it last had `back` before the lowest to where it has it again. */
  x: number[];
  y: number[];
}

/** Depth of a gap that is told. */
const LEAST = 0.02;

/** The episodes in order, from the task whose training goes on from each row, -1 where that is not known. */
export function episodesOf(steps: ArrayLike<number>, now: ArrayLike<number>): Episode[] {
  const found: Episode[] = [];
  let first = 0;
  while (first < now.length) {
    const task = now[first]!;
    let next = first;
    while (next < now.length && now[next] === task) next++;
    const last = Math.min(next, now.length - 1);
    if (task >= 0) found.push({ task, begin: steps[first]!, first, last });
    first = next;
  }
  return found;
}

/** The gaps deeper than 0.02 of all tasks trained in an earlier episode, in each episode of another task. */
export function gapsOf(steps: ArrayLike<number>, curves: Float64Array[], episodes: Episode[]): Gap[] {
  return episodes.flatMap((episode, k) => {
    const earlier = new Set(episodes.slice(0, k).map((one) => one.task));
    earlier.delete(episode.task);
    return [...earlier].flatMap((task) => gapOf(steps, curves[task]!, task, k, episode) ?? []);
  });
}

/** What came back; what did not is forgetting, not a gap. */
export const depthOf = (gap: Gap): number => gap.back - gap.lowest;

/** The gap with the largest depth; the first of equal ones. */
export function deepest(gaps: Gap[]): Gap | null {
  let found: Gap | null = null;
  for (const gap of gaps) if (!found || depthOf(gap) > depthOf(found)) found = gap;
  return found;
}

function gapOf(
  steps: ArrayLike<number>,
  y: Float64Array,
  task: number,
  k: number,
  { first, last }: Episode,
): Gap | null {
  let before = first;
  while (before >= 0 && !Number.isFinite(y[before])) before--;
  if (before < 0) return null;
  const path = [before];
  for (let i = first + 1; i <= last; i++) if (Number.isFinite(y[i])) path.push(i);
  const level = y[before]!;
  let low = 0;
  path.forEach((row, i) => {
    if (y[row]! < y[path[low]!]!) low = i;
  });
  const lowest = y[path[low]!]!;
  const back = Math.min(
    level,
    path.slice(low).reduce((most, row) => Math.max(most, y[row]!), lowest),
  );
  if (!(back - lowest > LEAST)) return null;
  let from = low;
  while (y[path[from]!]! < back) from--;
  let to = low;
  while (y[path[to]!]! < back) to++;
  const rows = path.slice(from + 1, to);
  const crossing = (left: number, right: number) =>
    steps[left]! + ((back - y[left]!) / (y[right]! - y[left]!)) * (steps[right]! - steps[left]!);
  const x = [crossing(path[from]!, rows[0]!), ...rows.map((row) => steps[row]!)];
  x.push(crossing(rows.at(-1)!, path[to]!));
  const heights = [back, ...rows.map((row) => y[row]!), back];
  return { task, episode: k, level, lowest, back, at: steps[path[low]!]!, x, y: heights };
}
