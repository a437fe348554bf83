/** Modules that the page shares with its extensions, by name and version, as module federation keeps them. */
export type Scope = Record<string, Record<string, Entry> | undefined>;

interface Entry {
  get(): Promise<() => unknown>;
  /** Whether someone uses it already; then everyone should use this one. */
  loaded?: unknown;
}

/** A module of the page: the version in use, else the newest; null where the page has none of that name. */
export async function take(scope: Scope, name: string): Promise<Record<string, unknown> | null> {
  const versions = Object.entries(scope[name] ?? {});
  versions.sort(([one, a], [other, b]) => rank(b) - rank(a) || compare(other, one));
  const entry = versions[0]?.[1];
  if (!entry) return null;
  const factory = await entry.get();
  return factory() as Record<string, unknown>;
}

const rank = (entry: Entry): number => (entry.loaded ? 1 : 0);

function compare(one: string, other: string): number {
  const [a, b] = [one, other].map((version) => version.split(/[.-]/).map(Number));
  for (let i = 0; i < Math.max(a!.length, b!.length); i++) {
    const difference = (a![i] || 0) - (b![i] || 0);
    if (difference) return difference;
  }
  return 0;
}
