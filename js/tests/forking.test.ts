import { describe, expect, it } from "vitest";
import { StatusLine } from "../src/status";
import { CONTROLS, type Desk, eachAtADesk } from "./desk";

describe("forking the running loop", () => {
  let { session, cockpit, sent, find, press, line, last, answer, tell } = {} as Desk;
  eachAtADesk((desk) => {
    ({ session, cockpit, sent, find, press, line, last, answer, tell } = desk);
    can("");
  });
  const can = (fork?: string) => {
    session.control(JSON.stringify(fork === undefined ? CONTROLS : { ...CONTROLS, fork }));
    cockpit.show();
  };
  const field = (label: string) => find<HTMLInputElement>(`input[aria-label="${label}"]`);
  const fork = () => press("fork the training");
  const made = () => find<HTMLButtonElement>('button[aria-label="fork the training"]');

  it("asks for a twin of a hundred steps, or of as many as are typed, at a rate of its own", () => {
    fork();
    expect(last()).toEqual({ op: "command", id: expect.any(String), what: "fork", steps: 100 });
    expect(line()).toBe("fork of 100 steps: asked");
    answer("queued");
    answer("done", "forked at step 7: a fork@7, 100 steps");
    expect(line()).toBe("forked at step 7: a fork@7, 100 steps");
    field("steps of the fork").value = "1";
    const rate = field("learning rate of the fork");
    rate.value = "0,05";
    rate.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    expect(last()).toMatchObject({ what: "fork", steps: 1, lr: 0.05 });
    expect(line()).toBe("fork of 1 step at 0.05: asked");
  });

  it("asks for nothing that is no fork, and says what is wrong", () => {
    for (const wrong of ["0", "-3", "1.5"]) {
      field("steps of the fork").value = wrong;
      fork();
      expect(line()).toBe("a fork has a whole number of steps, 1 or more");
    }
    field("steps of the fork").value = "";
    for (const wrong of ["fast", "-1", "1e999"]) {
      field("learning rate of the fork").value = wrong;
      fork();
      expect(line()).toContain(`${wrong} is not one`);
    }
    expect(sent).toEqual([]);
  });

  it("says what to write where the loop cannot be forked, and is not there where nothing is known of it", () => {
    const reason = "needs a step that can be made again: begin the cell with %%landscape --forkable";
    can(reason);
    expect(made().getAttribute("aria-disabled")).toBe("true");
    expect(made().title).toContain(reason);
    fork();
    expect(line()).toBe(`cannot be forked: ${reason}`);
    expect(sent).toEqual([]);
    can("");
    expect(made().getAttribute("aria-disabled")).toBe("false");
    tell({ deaf: "this cell blocks" });
    expect(made().title).toBe("this cell blocks");
    fork();
    expect(sent).toEqual([]);
    can();
    expect(find('[role="group"][aria-label="fork"]').hidden).toBe(true);
  });

  it("ends a fork by the button that began it", () => {
    const button = made();
    tell({ forking: "step 3 of 50" });
    expect(button.textContent).toBe("end fork");
    press("end the fork");
    expect(last()).toEqual({ op: "command", id: expect.any(String), what: "end_fork" });
    tell({ forking: "" });
    expect(button.textContent).toBe("fork");
    expect(made()).toBe(button);
  });

  it("is told of on the status line while it is made", () => {
    const status = new StatusLine();
    tell({ forking: "step 3 of 50" });
    status.show(session.status, false);
    expect(status.root.textContent).toContain("forking: step 3 of 50");
    tell({ forking: "" });
    status.show(session.status, false);
    expect(status.root.textContent).not.toContain("forking");
  });
});
