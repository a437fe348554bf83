import { describe, expect, it } from "vitest";
import { FindingsStrip, tally } from "../src/findings";
import { Session } from "../src/session";
import type { Finding } from "../src/types";

const finding = (more: Partial<Finding> = {}): Finding => ({
  rule: "divergence",
  severity: "alarm",
  step: 1812,
  text: "loss is diverging since step 1812",
  evidence: "loss 41 at step 1830",
  line: "lowest 0.2",
  reference: "Cohen et al. (2021)",
  advice: "halve the learning rate",
  group: "loss",
  ...more,
});

function strip(findings: Finding[]) {
  const session = new Session();
  const went: unknown[] = [];
  const made = new FindingsStrip(session, (step, group) => went.push([step, group]));
  const tell = (now: Finding[]) => {
    session.findings = now;
    made.show();
  };
  tell(findings);
  document.body.replaceChildren(made.root);
  const head = made.root.querySelector("button")!;
  const items = () => [...made.root.querySelectorAll("li")];
  return { made, tell, went, head, items };
}

describe("findings", () => {
  it("are nothing where there are none", () => {
    const { made, tell } = strip([]);
    expect(made.root.hidden).toBe(true);
    tell([finding()]);
    expect(made.root.hidden).toBe(false);
    tell([]);
    expect(made.root.hidden).toBe(true);
  });

  it("are one line that counts them and tells the worst", () => {
    const all = [
      finding({ severity: "note", text: "a note" }),
      finding({ severity: "warn", text: "a warning" }),
      finding(),
      finding({ step: 2 }),
    ];
    const { made, head, items } = strip(all);
    expect(head.textContent).toBe("2 alarms · 1 warning · 1 note: loss is diverging since step 1812");
    expect(made.root.classList.contains("nbtk-alarm")).toBe(true);
    expect(tally(all.slice(0, 1))).toBe("1 note");
    expect(items()[0]!.closest("ul")!.hidden).toBe(true);
    head.click();
    expect(items()[0]!.closest("ul")!.hidden).toBe(false);
    expect(head.getAttribute("aria-expanded")).toBe("true");
  });

  it("say severity in a word, evidence, advice and source, and lead to step and panel", () => {
    const { items, went } = strip([
      finding(),
      finding({ severity: "warn", advice: "", group: null, step: 7 }),
    ]);
    expect(items().map((one) => one.querySelector("b")!.textContent)).toEqual(["alarm", "warning"]);
    expect([...items()[0]!.querySelectorAll("div")].map((one) => one.textContent)).toEqual([
      "evidence: loss 41 at step 1830 (lowest 0.2)",
      "try: halve the learning rate",
      "source: Cohen et al. (2021)",
    ]);
    expect(items()[1]!.textContent).not.toContain("try:");
    for (const item of items()) item.querySelector("button")!.click();
    expect(went).toEqual([
      [1812, "loss"],
      [7, null],
    ]);
  });

  it("stay under the reader's hands while others come", () => {
    const { tell, items } = strip([finding()]);
    items()[0]!.closest("ul")!.hidden = false;
    items()[0]!.querySelector("button")!.focus();
    tell([finding({ text: "new" }), finding()]);
    expect(items().length).toBe(2);
    expect(items()[1]!.contains(document.activeElement)).toBe(true);
    const held = items()[1]!;
    tell([finding({ text: "newer" }), finding()]);
    expect(items()[1]).toBe(held);
    tell([finding({ rule: "spike" }), finding({ evidence: "loss 99 at step 1900" })]);
    expect(items()[1]).not.toBe(held);
    expect(items()[1]!.contains(document.activeElement)).toBe(true);
  });

  it("are words, whatever they say and of whatever kind they are", () => {
    const hostile = `<img src=x onerror=alert(1)><script>1</script>\u202e${"x".repeat(10_000)}`;
    const bad = { severity: "<b>", step: 3, text: hostile, evidence: hostile, advice: 7, reference: null };
    const { made, head } = strip([bad as unknown as Finding]);
    expect(made.root.querySelectorAll("img, script").length).toBe(0);
    expect(head.textContent).toBe(`1 note: ${hostile}, from step 3`);
    expect(made.root.textContent).toContain("try: 7");
  });
});
