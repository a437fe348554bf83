/** The episodes of a stream of tasks, and how far earlier tasks fall; as nbtoolkit/panels/episodes.py. */

/** Rows `first` to `last` of a training of a task: as it begins, after `begin` steps, and as it has ended. */
export interface Episode {
  task: number;
  begin: number;
  first: number;
  last: number;
}

/** The deepest excursion of an earlier task below the level that it had when an episode began. */
export interface Gap {
  task: number;
  episode: number;
  level: number;
  lowest: number;
  at: number;
  /** Along the curve, from the level and back to it, or to the end of the episode. */
  x: number[];
  y: number[];
}

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

/** The gaps of all tasks trained in an earlier episode, in each episode of another task. */
export function gapsOf(steps: ArrayLike<number>, curves: Float64Array[], episodes: Episode[]): Gap[] {
  return episodes.flatMap((episode, k) => {
    const earlier = new Set(episodes.slice(0, k).map((one) => one.task));
    earlier.delete(episode.task);
    return [...earlier].flatMap((task) => gapOf(steps, curves[task]!, task, k, episode) ?? []);
  });
}

/** The gap with the longest fall; the first of equal ones. */
export function deepest(gaps: Gap[]): Gap | null {
  let found: Gap | null = null;
  for (const gap of gaps) {
    if (!found || gap.level - gap.lowest > found.level - found.lowest) found = gap;
  }
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
  if (lowest >= level) return null;
  let from = low;
  while (y[path[from]!]! < level) from--;
  let to = low;
  while (to < path.length && y[path[to]!]! < level) to++;
  const rows = path.slice(from + 1, to);
  const x = rows.map((row) => steps[row]!);
  const heights = rows.map((row) => y[row]!);
  const crossing = (left: number, right: number) =>
    steps[left]! + ((level - y[left]!) / (y[right]! - y[left]!)) * (steps[right]! - steps[left]!);
  x.unshift(crossing(path[from]!, rows[0]!));
  heights.unshift(level);
  if (to < path.length) {
    x.push(crossing(rows.at(-1)!, path[to]!));
    heights.push(level);
  }
  return { task, episode: k, level, lowest, at: steps[path[low]!]!, x, y: heights };
}
