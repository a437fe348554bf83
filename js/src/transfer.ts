/** What a matrix of accuracies says, as far as it is filled; as nbtoolkit/analysis/matrix_metrics.py. */
export interface Transfer {
  /** Mean accuracy of the tasks trained so far, after the last of them. */
  average: number;
  /** Mean change, since each was first trained, of the tasks but that of the last episode; NaN where there is none. */
  backward: number;
}

/** The summary of a matrix after its last row that has any value; null where there is none. */
export function transferOf(
  value: (row: number, column: number) => number,
  trained: string[],
  evaluated: string[],
): Transfer | null {
  const columns = evaluated.map((_, column) => column);
  const measured = trained.flatMap((_, row) =>
    columns.some((column) => Number.isFinite(value(row, column))) ? [row] : [],
  );
  const last = measured.at(-1);
  if (last === undefined) return null;
  /** The row of the first episode of each task trained. */
  const first = new Map<number, number>();
  for (let row = 0; row <= last; row++) {
    const column = taskOf(trained[row]!, evaluated);
    if (column >= 0 && !first.has(column)) first.set(column, row);
  }
  const known = [...first].filter(([column]) => Number.isFinite(value(last, column)));
  const newest = taskOf(trained[last]!, evaluated);
  const earlier = known.filter(([column, row]) => column !== newest && Number.isFinite(value(row, column)));
  return {
    average: mean(known.map(([column]) => value(last, column))),
    backward: mean(earlier.map(([column, row]) => value(last, column) - value(row, column))),
  };
}

/** The column of the task of an episode; those of further visits are called "name (2)", "name (3)" ... */
export function taskOf(episode: string, evaluated: string[]): number {
  const exact = evaluated.indexOf(episode);
  return exact >= 0 ? exact : evaluated.indexOf(episode.replace(/ \(\d+\)$/, ""));
}

const mean = (values: number[]) =>
  values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : Number.NaN;
