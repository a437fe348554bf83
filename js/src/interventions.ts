import { button, element, unfold } from "./dom";
import { whole } from "./format";
import type { Session } from "./session";
import type { Command } from "./types";

/** A command in words, with its step where the words do not tell it. */
export function sentence({ step, text, what }: Command): string {
  const words = String(text || what);
  return /\bstep\b/.test(words) ? words : `step ${whole(step)}: ${words}`;
}

/** How many times something was done to the loop, and what: it tells an intervened run from a clean one. */
export class Interventions {
  readonly root = element("div", { class: "nbtk-interventions" });
  private readonly list = element("ol", { hidden: "" });
  private readonly head = button("", "", () => unfold(this.head, this.list));
  private of: Command[] | null = null;

  constructor(private readonly session: Session) {
    this.head.setAttribute("aria-expanded", "false");
    this.root.append(this.head, this.list);
    this.show();
  }

  show(): void {
    const { commands } = this.session;
    if (commands === this.of) return;
    this.of = commands;
    this.root.hidden = !commands.length;
    const text = commands.length === 1 ? "1 intervention" : `${commands.length} interventions`;
    this.head.textContent = text;
    this.head.setAttribute("aria-label", `${text}: what was done to the training`);
    this.head.title = "what was done to the training while it ran";
    this.list.replaceChildren(
      ...commands.map((command) => element("li", { dir: "auto" }, sentence(command))),
    );
  }
}
