import { element } from "./dom";
import { duration, whole } from "./format";
import type { Status } from "./types";

const WORDS: Record<string, string> = {
  watching: "training",
  saved: "opened from a file",
  waiting: "waiting for its store",
  lost: "its writer is silent",
};
/** States in which there is a loop to act on. */
export const RUNNING = ["watching", "following", "paused"];
export const GONE = "kernel gone: showing what was recorded";

/** How a run stood when its page was made: nothing there goes on. */
export function exported<Told extends Status | null>(status: Told): Told {
  if (!status || !RUNNING.includes(status.state)) return status;
  return { ...status, state: `exported while ${WORDS[status.state] ?? status.state}` };
}

/** The one line that says how the run stands, and beside it what went wrong. */
export class StatusLine {
  readonly root = element("div", { class: "nbtk-status", role: "status", "aria-live": "off" });
  private readonly facts = element("span", { class: "nbtk-facts" });
  /** Each note on a line of its own. */
  readonly notes = element("div", { class: "nbtk-notes", role: "alert" });
  private told = "";
  private gone: boolean | string = false;
  private status: Status | null = null;

  constructor() {
    this.root.append(this.facts);
  }

  show(status: Status | null, gone: boolean | string): void {
    this.status = status;
    this.gone = gone;
    const facts = this.words();
    this.facts.replaceChildren(...facts.map((fact) => element("span", {}, fact)));
    const notes = status?.notes ?? [];
    if (this.told === notes.join("\n")) return;
    this.told = notes.join("\n");
    this.notes.replaceChildren(...notes.map((note) => element("div", {}, note)));
  }

  private words(): string[] {
    const gone = this.gone ? [this.gone === true ? GONE : this.gone] : [];
    if (!this.status) return gone.length ? gone : ["waiting for the first step"];
    const { step, steps_per_second: rate, elapsed, share, state, name, forking } = this.status;
    return [
      `step ${whole(step)}`,
      ...(rate === null ? [] : [`${rate >= 10 ? whole(rate) : rate.toFixed(2)} steps/s`]),
      ...(elapsed === null ? [] : [duration(elapsed)]),
      ...(share === null ? [] : [`${(100 * share).toFixed(1)} % measuring`]),
      ...(this.gone && RUNNING.includes(state) ? [] : [WORDS[state] ?? state]),
      ...(forking && !this.gone ? [`forking: ${forking}`] : []),
      ...gone,
      ...(name ? [`run ${name}`] : []),
    ];
  }
}
