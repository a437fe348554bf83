import { describe, expect, it, vi } from "vitest";
import { HELD, SILENT } from "../src/orders";
import { CONTROLS, can, type Desk, eachAtADesk } from "./desk";

const HOSTILE = `<script>alert(1)</script><b>\u202eevil\u0000 ${"x".repeat(10_000)}`;

describe("the controls of a running loop", () => {
  let { session, cockpit, sent, find, press, line, last, answer, tell } = {} as Desk;
  eachAtADesk((desk) => {
    ({ session, cockpit, sent, find, press, line, last, answer, tell } = desk);
  });
  const bar = () => find(".nbtk-bar");

  it("are there only while there is a loop that can be asked", () => {
    expect(bar().hidden).toBe(false);
    for (const state of ["stopped", "finished", "interrupted", "saved", "of a later version"]) {
      tell({ state });
      expect(bar().hidden).toBe(true);
    }
    tell({ state: "paused" });
    expect(bar().hidden).toBe(false);
    session.control("");
    cockpit.show();
    expect(bar().hidden).toBe(true);
    session.control(JSON.stringify(CONTROLS));
    session.send = null;
    cockpit.show();
    expect(bar().hidden).toBe(true);
  });

  it("pause and resume by one button, which changes only when the loop has", () => {
    press("pause the training");
    expect(last()).toEqual({ op: "command", id: expect.any(String), what: "pause" });
    expect(line()).toBe("pause: asked");
    answer("queued");
    expect(line()).toBe("pause: waits for the end of this step");
    answer("done", "paused at step 7");
    expect(line()).toBe("paused at step 7");
    expect(find(".nbtk-hold").textContent).toContain("pause");
    tell({ state: "paused" });
    press("resume the training");
    expect(last().what).toBe("resume");
    expect(new Set(sent.map(({ id }) => id)).size).toBe(2);
  });

  it("advance by steps", () => {
    press("make 1 step, then pause");
    press("make 10 steps, then pause");
    expect(sent.map(({ what, steps }) => [what, steps])).toEqual([
      ["advance", 1],
      ["advance", 10],
    ]);
    expect(line()).toBe("10 steps: asked (1 more waiting)");
    answer("refused", "the run is over", sent[0]!.id);
    expect(line()).toBe("1 step: refused: the run is over (1 more waiting)");
  });

  it("stop only after a second word, with the keyboard on the harmless one", () => {
    press("stop the training");
    expect(sent).toEqual([]);
    expect(document.activeElement?.textContent).toBe("no");
    document.activeElement!.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    expect(document.activeElement?.textContent).toBe("stop");
    press("stop the training");
    press("no, go on");
    expect(sent).toEqual([]);
    press("stop the training");
    press("yes, stop the training");
    expect(last().what).toBe("stop");
  });

  it("leave the keyboard on their last line when they go", () => {
    find<HTMLButtonElement>("button.nbtk-hold").focus();
    tell({ state: "stopped" });
    expect(document.activeElement).toBe(find(".nbtk-line-of-orders"));
  });

  it("say what may be the matter when no answer comes", () => {
    press("pause the training");
    vi.advanceTimersByTime(2999);
    expect(line()).toBe("pause: asked");
    vi.advanceTimersByTime(2);
    expect(line()).toBe(SILENT);
    tell({ step: 40 });
    vi.advanceTimersByTime(3000);
    expect(line()).toBe(HELD);
    answer("queued");
    expect(line()).toBe("pause: waits for the end of this step");
    vi.advanceTimersByTime(60_000);
    expect(line()).toBe("pause: waits for the end of this step");
  });

  const AT_REST = "sharpness is measured with the next step: +1 or resume";

  it("say that a paused loop measures with its next step, until it has", () => {
    tell({ state: "paused" });
    find<HTMLSelectElement>('select[aria-label="what to measure"]').value = "sharpness";
    press("measure it now");
    answer("queued");
    expect(line()).toBe(AT_REST);
    const measure = last().id;
    press("make 1 step, then pause");
    expect(line()).toBe("1 step: asked; measure sharpness: waits for the end of this step");
    answer("queued");
    answer("done", "1 step");
    expect(line()).toBe("1 step; measure sharpness: waits for the end of this step");
    answer("done", "sharpness measured at step 8", measure);
    expect(line()).toBe("1 step; sharpness measured at step 8");
    press("resume the training");
    expect(line()).toBe("resume: asked");
  });

  it("tell the measurement also where it is there before the step is over, or after other words", () => {
    tell({ state: "paused" });
    press("measure it now");
    answer("queued");
    const measure = last().id;
    press("make 1 step, then pause");
    answer("done", "loss measured at step 8", measure);
    expect(line()).toBe("1 step: asked; loss measured at step 8");
    answer("done", "1 step");
    expect(line()).toBe("1 step; loss measured at step 8");
    press("measure it now");
    answer("queued");
    press("set the learning rate");
    expect(line()).toMatch(/^a learning rate is a number.*; loss is measured with the next step/);
    answer("done", "loss measured at step 9");
    expect(line()).toMatch(/^a learning rate is a number.*; loss measured at step 9$/);
  });

  it("wait for a next step again where the one asked for was refused", () => {
    tell({ state: "paused" });
    press("measure it now");
    answer("queued");
    press("resume the training");
    answer("refused", "too many commands wait");
    expect(line()).toBe(
      "resume: refused: too many commands wait; loss is measured with the next step: +1 or resume",
    );
  });

  it("wait for the step under way in a loop that goes on", () => {
    press("measure it now");
    answer("queued");
    expect(line()).toBe("measure loss: waits for the end of this step");
  });

  it("take no room for words before the first, and keep it afterwards", () => {
    const used = () => find(".nbtk-line-of-orders").classList.contains("nbtk-used");
    expect(used()).toBe(false);
    tell({ deaf: "this cell blocks" });
    tell();
    expect([line(), used()]).toEqual(["", true]);
  });

  it("unfold the rest where there is little room, also where nothing can be asked", () => {
    const more = find<HTMLButtonElement>('button[aria-label="learning rate and measuring"]');
    tell({ deaf: "this cell blocks" });
    expect(more.getAttribute("aria-disabled")).toBe(null);
    for (const open of [true, false]) {
      more.click();
      expect(more.getAttribute("aria-expanded")).toBe(String(open));
      expect(bar().classList.contains("nbtk-unfolded")).toBe(open);
    }
  });

  it("say why nothing can arrive instead of doing nothing", () => {
    tell({ deaf: "this cell blocks: train in a background thread" });
    press("pause the training");
    press("stop the training");
    press("measure it now");
    expect(sent).toEqual([]);
    expect(line()).toBe("this cell blocks: train in a background thread");
    const hold = find<HTMLButtonElement>(".nbtk-hold");
    expect([hold.getAttribute("aria-disabled"), hold.disabled, hold.title]).toEqual([
      "true",
      false,
      "this cell blocks: train in a background thread",
    ]);
    tell();
    expect([hold.getAttribute("aria-disabled"), hold.title]).toEqual(["false", "pause the training"]);
    press("pause the training");
    expect(sent.length).toBe(1);
    session.gone = true;
    cockpit.show();
    press("pause the training");
    expect(sent.length).toBe(1);
    expect(line()).toContain("the kernel is gone");
  });

  it("say so when the kernel can not be reached", () => {
    session.send = () => {
      throw new Error("disposed");
    };
    press("pause the training");
    expect(line()).toBe("pause: refused: the kernel can not be reached");
  });

  it("keep plain keys from the notebook, and leave it its own", () => {
    const heard: string[] = [];
    const hear = (event: KeyboardEvent) => heard.push(event.key);
    document.body.addEventListener("keydown", hear);
    for (const init of [{ key: "d" }, { key: "s", ctrlKey: true }, { key: "Enter", shiftKey: true }])
      find(".nbtk-hold").dispatchEvent(new KeyboardEvent("keydown", { ...init, bubbles: true }));
    document.body.removeEventListener("keydown", hear);
    expect(heard).toEqual(["s", "Enter"]);
  });

  it("answer only to what they asked themselves", () => {
    press("pause the training");
    answer("refused", "another page's", "other");
    expect(line()).toBe("pause: asked");
  });

  it("take all words as words", () => {
    const hostile = { groups: 1, instruments: [can(HOSTILE, HOSTILE, { cannot: HOSTILE })] };
    session.control(JSON.stringify(hostile));
    tell({ deaf: HOSTILE }, { commands: [{ step: 1, what: HOSTILE, text: HOSTILE, old: null, new: null }] });
    press("pause the training");
    tell();
    press("pause the training");
    answer("done", HOSTILE);
    expect(line()).toBe(HOSTILE);
    expect(cockpit.root.querySelectorAll("script, .nbtk-bar b, .nbtk-interventions b").length).toBe(0);
  });

  it("lists what was done to the loop, after its end too", () => {
    expect(find(".nbtk-interventions").hidden).toBe(true);
    const commands = [
      { step: 120, what: "lr", text: "learning rate of group 0: 0.1 -> 0.05 from step 120" },
      { step: 1300, what: "pause", text: "paused for 3.2 s" },
    ];
    tell({ state: "finished" }, { commands });
    const head = find<HTMLButtonElement>(".nbtk-interventions button");
    expect(head.textContent).toBe("2 interventions");
    head.click();
    expect(head.getAttribute("aria-expanded")).toBe("true");
    expect(
      [...cockpit.root.querySelectorAll(".nbtk-interventions li")].map((one) => one.textContent),
    ).toEqual(["learning rate of group 0: 0.1 -> 0.05 from step 120", "step 1\u2009300: paused for 3.2 s"]);
  });
});
