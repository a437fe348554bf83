import { readFileSync } from "node:fs";
import { resolve } from "node:path";

/** A file that Python wrote, so that both sides are held to the same numbers. */
export function golden<T>(path: string): T {
  return JSON.parse(readFileSync(resolve(import.meta.dirname, "../../tests", path), "utf8")) as T;
}
