import { button, element, focused, unfold } from "./dom";
import { whole } from "./format";
import type { Session } from "./session";
import type { Finding, Severity } from "./types";

const WORDS: Record<Severity, [string, string]> = {
  alarm: ["alarm", "alarms"],
  warn: ["warning", "warnings"],
  note: ["note", "notes"],
};
const ORDER = Object.keys(WORDS) as Severity[];

/** What the record shows that a reader should know: one line, and a list with evidence and advice. */
export class FindingsStrip {
  readonly root = element("div", {
    class: "nbtk-findings",
    role: "group",
    "aria-label": "findings",
    hidden: "",
  });
  private readonly counts = element("b", {});
  private readonly first = element("span", { dir: "auto" });
  private readonly head = element("button", {
    type: "button",
    class: "nbtk-findings-head",
    "aria-expanded": "false",
  });
  private readonly list = element("ul", { hidden: "" });
  private of: Finding[] | null = null;

  constructor(
    private readonly session: Session,
    private readonly go: (step: number, group: string | null) => void,
  ) {
    this.head.addEventListener("click", () => unfold(this.head, this.list));
    this.head.append(this.counts, this.first);
    this.root.append(element("div", { role: "status" }, this.head), this.list);
    this.show();
  }

  show(): void {
    const { findings } = this.session;
    if (findings === this.of) return;
    this.of = findings;
    this.root.hidden = !findings.length;
    this.root.className = `nbtk-findings nbtk-${ORDER.find((one) => findings.some((f) => severityOf(f) === one)) ?? "note"}`;
    this.counts.textContent = `${tally(findings)}: `;
    this.first.textContent = sentence(worst(findings));
    this.fill(findings);
  }

  /** An item for each finding; one that was there stays as it is, and the focus where it was. */
  private fill(findings: Finding[]): void {
    const before = [...this.list.children] as HTMLElement[];
    const held = before.find((one) => one.contains(focused(one)));
    const wanted = findings.map((finding) => {
      const told = JSON.stringify(finding);
      return before.find((one) => one.dataset.told === told) ?? this.item(finding, told);
    });
    for (const one of before) if (!wanted.includes(one)) one.remove();
    wanted.forEach((one, i) => {
      if (this.list.children[i] !== one) this.list.insertBefore(one, this.list.children[i] ?? null);
    });
    if (held && !held.contains(focused(this.list)))
      wanted
        .find((one) => one.dataset.subject === held.dataset.subject)
        ?.querySelector("button")
        ?.focus();
  }

  private item(finding: Finding, told: string): HTMLElement {
    const severity = severityOf(finding);
    const { step, group, text, evidence, line, advice, reference } = finding;
    const label = `step ${whole(step)}`;
    const there = button(label, `show ${label}: ${text}`, () => this.go(step, group ?? null));
    const parts: [string, string][] = [
      ["evidence", line ? `${evidence} (${line})` : evidence],
      ["try", advice],
      ["source", reference],
    ];
    return element(
      "li",
      { class: `nbtk-${severity}`, "data-told": told, "data-subject": `${finding.rule} ${group} ${step}` },
      element("b", {}, WORDS[severity][0]),
      there,
      element("span", { class: "nbtk-finding", dir: "auto" }, String(text)),
      ...parts
        .filter(([, words]) => words)
        .map(([what, words]) =>
          element("div", { dir: "auto" }, element("i", {}, `${what}: `), String(words)),
        ),
    );
  }
}

const severityOf = ({ severity }: Finding): Severity => (severity in WORDS ? severity : "note");

/** What it is and since when, in one line. */
function sentence(finding: Finding | undefined): string {
  if (!finding) return "";
  const text = String(finding.text);
  return /\bstep\b/.test(text) ? text : `${text}, from step ${whole(finding.step)}`;
}

const worst = (findings: Finding[]): Finding | undefined =>
  ORDER.flatMap((severity) => findings.filter((one) => severityOf(one) === severity))[0];

/** How many of each: "2 alarms · 1 warning". */
export function tally(findings: Finding[]): string {
  const counts = ORDER.map((severity) => {
    const count = findings.filter((one) => severityOf(one) === severity).length;
    return count ? `${count} ${WORDS[severity][count > 1 ? 1 : 0]}` : "";
  });
  return counts.filter(Boolean).join(" · ");
}
