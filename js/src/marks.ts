import { element } from "./dom";
import { cut } from "./format";
import { sentence } from "./interventions";
import type { Command } from "./types";

const MOST = 30;
const NEAR = 4; // pixels; marks that are nearer are one
const LETTERS = 600; // of a tooltip
const STRONGEST = ["lr", "stop", "pause"];

export interface Place {
  left: number;
  top: number;
  height: number;
}

interface Mark {
  at: Place;
  commands: Command[];
}

/** Marks on a panel along the steps at which something was done to the loop. */
export class Marks {
  readonly root = element("div", { class: "nbtk-marks", "aria-hidden": "true" }); // there is a list to listen to
  private of: Command[] = [];
  private drawn = "";

  /** Draw those in the frame; `place` tells where a step is. */
  show(commands: Command[], place: (step: number) => Place | null): void {
    const marks = merged(
      commands.flatMap((command) => {
        const at = place(command.step);
        return at ? [{ at, commands: [command] }] : [];
      }),
    );
    const drawn = marks
      .map((mark) => `${commands.indexOf(mark.commands[0]!)}+${mark.commands.length}`)
      .join();
    if (commands !== this.of || drawn !== this.drawn) this.root.replaceChildren(...marks.map(drawing));
    [this.of, this.drawn] = [commands, drawn];
    marks.forEach(({ at }, i) => {
      const { style } = this.root.children[i] as HTMLElement;
      style.transform = `translate(${at.left}px, ${at.top}px)`;
      style.height = `${at.height}px`;
    });
  }
}

function drawing({ commands }: Mark): HTMLElement {
  const kind = STRONGEST.find((one) => commands.some((command) => kindOf(command) === one)) ?? "other";
  const words = cut(commands.map(sentence).join("\n"), LETTERS);
  return element("div", { class: `nbtk-mark nbtk-mark-${kind}` }, element("span", { title: words }));
}

function kindOf({ what }: Command): string {
  return what === "set_lr" ? "lr" : what === "resume" || what === "advance" ? "pause" : what;
}

/** Marks too near to be told apart are one, and there are never more than can be read. */
function merged(marks: Mark[]): Mark[] {
  const sorted = [...marks].sort((a, b) => a.at.left - b.at.left);
  const width = sorted.length > MOST ? sorted.at(-1)!.at.left - sorted[0]!.at.left : 0;
  const gap = Math.max(NEAR, width / (MOST - 1));
  const kept: Mark[] = [];
  for (const mark of sorted) {
    const last = kept.at(-1);
    if (last && mark.at.left - last.at.left < gap) last.commands.push(...mark.commands);
    else kept.push(mark);
  }
  return kept;
}
