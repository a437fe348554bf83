import { Controls } from "./controls";
import { element } from "./dom";
import { FindingsStrip } from "./findings";
import { Interventions } from "./interventions";
import type { Session } from "./session";

/** What stands between the status line and the panels: findings, controls, and what was done with them. */
export class Cockpit {
  readonly root: HTMLElement;
  private readonly findings: FindingsStrip;
  private readonly controls: Controls;
  private readonly interventions: Interventions;

  constructor(session: Session, go: (step: number, group: string | null) => void) {
    this.findings = new FindingsStrip(session, go);
    this.controls = new Controls(session);
    this.interventions = new Interventions(session);
    const parts = [this.controls, this.interventions, this.findings].map(({ root }) => root);
    this.root = element("div", { class: "nbtk-cockpit" }, element("style", {}, STYLE), ...parts);
    this.root.addEventListener("keydown", keep);
  }

  show(): void {
    this.controls.show();
    this.interventions.show();
    this.findings.show();
  }

  dispose(): void {
    this.controls.dispose();
  }
}

/** Plain keys on a button or a list are for it: to the notebook around they would mean "delete this cell". */
function keep(event: KeyboardEvent): void {
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (plain && event.key !== "Escape" && !(event.shiftKey && event.key === "Enter")) event.stopPropagation();
}

const STYLE = `
.nbtk-cockpit { display: flex; flex-wrap: wrap; align-items: center; gap: 0 8px; }
.nbtk-cockpit > .nbtk-controls, .nbtk-interventions { display: contents; }
.nbtk-bar { flex: 1 0 100%; box-sizing: border-box; display: flex; flex-wrap: wrap; align-items: center; gap: 4px 18px; padding: 2px 4px; color: var(--nbtk-soft); font-size: 11px; }
.nbtk-order { display: inline-flex; flex-wrap: wrap; align-items: center; gap: 4px; }
.nbtk-board button.nbtk-hold { min-width: 7em; color: var(--nbtk-ink); }
.nbtk-bar input, .nbtk-bar select {
  font: inherit; color: var(--nbtk-ink); background: var(--nbtk-page); border: 1px solid var(--nbtk-edge);
  border-radius: 3px; padding: 0 4px; height: 18px; box-sizing: border-box;
}
.nbtk-bar ::placeholder { color: var(--nbtk-soft); opacity: 1; }
.nbtk-bar select { max-width: 21em; }
.nbtk-board button.nbtk-fork { min-width: 6em; }
.nbtk-new-rate, .nbtk-fork-rate { width: 6em; }
.nbtk-every, .nbtk-fork-steps { width: 5em; }
.nbtk-rate { display: inline-block; min-width: 4em; color: var(--nbtk-ink); }
.nbtk-bar button[aria-disabled="true"] { opacity: .55; cursor: not-allowed; }
.nbtk-hold::before {
  content: ""; display: inline-block; width: 7px; height: 8px; margin-right: 5px; background: currentColor;
  clip-path: polygon(0 0, 35% 0, 35% 100%, 65% 100%, 65% 0, 100% 0, 100% 100%, 0 100%);
}
.nbtk-held::before { clip-path: polygon(0 0, 100% 50%, 0 100%); }
.nbtk-line-of-orders { flex: 1 1 20em; padding: 2px 4px; min-height: 16px; color: var(--nbtk-soft); font-size: 11px; overflow-wrap: anywhere; max-height: 5em; overflow: auto; }
.nbtk-line-of-orders:empty:not(.nbtk-used) { min-height: 0; padding-block: 0; }
.nbtk-bar[hidden] + .nbtk-line-of-orders:empty:not(:focus) { display: none; }
.nbtk-board button.nbtk-unfold { display: none; }
@container (max-width: 640px) {
  .nbtk-board button.nbtk-unfold { display: inline-block; }
  .nbtk-bar:not(.nbtk-unfolded) > .nbtk-order + .nbtk-order { display: none; }
}
.nbtk-interventions > button { margin: 2px 4px; }
.nbtk-interventions ol { flex: 1 0 100%; font-size: 11px; color: var(--nbtk-soft); }
.nbtk-interventions ol, .nbtk-findings ul { margin: 4px 0; padding: 0 0 0 2em; max-height: 14em; overflow: auto; overflow-wrap: anywhere; }
.nbtk-findings { flex: 1 0 100%; min-width: 0; box-sizing: border-box; margin: 2px 4px 6px; padding-left: 8px; border-left: 3px solid var(--nbtk-soft); }
.nbtk-findings.nbtk-alarm { border-color: var(--nbtk-alarm); }
.nbtk-board button.nbtk-findings-head {
  display: block; width: 100%; border: 0; border-radius: 0; padding: 0; font-size: 12px; line-height: 1.4; color: var(--nbtk-ink);
  text-align: start; white-space: nowrap; overflow: hidden; text-overflow: ellipsis;
}
.nbtk-findings-head::after { content: " ▾"; color: var(--nbtk-soft); }
.nbtk-findings-head[aria-expanded="true"]::after { content: " ▴"; }
.nbtk-findings ul { padding: 0; list-style: none; max-height: 22em; }
.nbtk-findings li { padding: 3px 0 5px; border-top: 1px solid var(--nbtk-faint); }
.nbtk-findings li > * { margin-inline-end: 8px; }
.nbtk-findings li.nbtk-alarm > b { color: var(--nbtk-alarm); }
.nbtk-findings li > div { color: var(--nbtk-soft); padding-inline-start: 1em; }
.nbtk-marks { position: absolute; inset: 0; pointer-events: none; overflow: hidden; }
.nbtk-mark { position: absolute; left: 0; top: 0; width: 0; opacity: .75; border-left: 1px solid var(--nbtk-soft); }
.nbtk-mark-pause { border-left-style: dotted; }
.nbtk-mark-other { border-left-color: transparent; }
.nbtk-mark span {
  position: absolute; left: -5px; top: 0; width: 9px; height: 8px; pointer-events: auto; cursor: help;
  background: var(--nbtk-soft); clip-path: polygon(0 0, 100% 0, 50% 100%);
}
`;
