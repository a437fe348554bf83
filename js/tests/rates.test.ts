import { describe, expect, it } from "vitest";
import { parsed } from "../src/rate";
import { CONTROLS, can, type Desk, eachAtADesk } from "./desk";

describe("the controls of the learning rate", () => {
  let { session, cockpit, sent, find, press, line, last, answer, tell } = {} as Desk;
  eachAtADesk((desk) => {
    ({ session, cockpit, sent, find, press, line, last, answer, tell } = desk);
  });
  const input = () => find<HTMLInputElement>("input.nbtk-new-rate");
  const now = () => find(".nbtk-rate").textContent;
  const enter = (text: string) => {
    input().value = text;
    input().dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  };

  it("show the present one and never touch what is typed", () => {
    input().value = "0.0";
    tell({ lr: [0.03125] });
    expect([now(), input().value]).toEqual(["0.03125", "0.0"]);
    tell({ lr: [null] });
    expect(now()).toBe("unknown");
    tell({ lr: [] });
    expect(now()).toBe("unknown");
  });

  it("send a number as people write it, and clear the field when it is set", () => {
    enter("5e−2");
    expect(last()).toMatchObject({ what: "lr", rate: 0.05, group: null });
    expect(input().value).toBe("5e−2");
    answer("done", "learning rate: 0.1 -> 0.05");
    expect(input().value).toBe("");
    enter("0,05");
    input().value = "7";
    answer("done");
    expect(input().value).toBe("7");
    press("set the learning rate");
    expect(last().rate).toBe(7);
  });

  it("refuse by themselves what is no rate", () => {
    for (const text of ["", "fast", "-1", "1e999", "0x", "0x10", "0b1", "Infinity", "1,000,000"]) {
      enter(text);
      expect(line()).toContain("a learning rate is a number from 0 up");
    }
    expect(sent).toEqual([]);
    expect([".5", "5.", "+1E+2", "-3"].map(parsed)).toEqual([0.5, 5, 100, -3]);
    expect([parsed("1.5"), parsed("1\u2009000"), parsed("1,000.5"), parsed(" ")]).toEqual([
      1.5,
      1000,
      null,
      null,
    ]);
  });

  it("halve and double, twice where that was asked twice before the loop told its own", () => {
    press("double the learning rate");
    press("double the learning rate");
    expect(sent.map(({ rate }) => rate)).toEqual([0.2, 0.4]);
    expect(now()).toBe("0.1");
    answer("done", "", sent[0]!.id);
    answer("done");
    cockpit.show(); // with what was told before
    press("halve the learning rate");
    expect(last().rate).toBe(0.2);
    answer("done");
    tell({ lr: [0.3] }); // a schedule went on meanwhile
    press("halve the learning rate");
    expect(last().rate).toBe(0.15);
    answer("refused");
    press("halve the learning rate");
    expect(last().rate).toBe(0.15);
    tell({ lr: [null] });
    answer("done");
    tell({ lr: [null] });
    press("halve the learning rate");
    expect(line()).toContain("is not known");
  });

  it("know the groups", () => {
    const groups = () => find<HTMLSelectElement>('select[aria-label="parameter group"]');
    expect(groups().hidden).toBe(true);
    session.control(JSON.stringify({ ...CONTROLS, groups: 2 }));
    tell({ lr: [0.1, 0.01] });
    expect(groups().hidden).toBe(false);
    expect([...groups().options].map((one) => one.text)).toEqual(["all groups", "group 0", "group 1"]);
    expect(now()).toBe("0.1, 0.01");
    press("halve the learning rate");
    expect(sent.map(({ rate, group }) => [rate, group])).toEqual([
      [0.05, 0],
      [0.005, 1],
    ]);
    groups().value = "1";
    groups().dispatchEvent(new Event("change"));
    expect(now()).toBe("0.01");
    enter("1");
    expect(last()).toMatchObject({ rate: 1, group: 1 });
    tell({ lr: [0.1, 0.01] });
    expect(groups().value).toBe("1");
    groups().value = "all";
    enter("2");
    expect(last()).toMatchObject({ rate: 2, group: null });
  });
});

describe("the controls of measuring", () => {
  let { session, cockpit, sent, find, press, line, last, answer } = {} as Desk;
  eachAtADesk((desk) => {
    ({ session, cockpit, sent, find, press, line, last, answer } = desk);
  });
  const choice = () => find<HTMLSelectElement>('select[aria-label="what to measure"]');
  const choose = (name: string) => {
    choice().value = name;
    choice().dispatchEvent(new Event("change"));
  };
  const every = () => find<HTMLInputElement>("input.nbtk-every");

  it("name what can be measured, and say why the rest can not", () => {
    const groups = [...choice().querySelectorAll("optgroup")].map((one) => [one.label, one.textContent]);
    expect(groups).toEqual([
      ["measured now and then", "loss: training loss"],
      ["on request", "sharpness: largest Hessian eigenvalue"],
      ["not here", "accuracy"], // which is what it is called
    ]);
    choose("sharpness");
    press("measure it now");
    expect(last()).toMatchObject({ what: "measure", name: "sharpness" });
    expect(line()).toBe("measure sharpness: asked");
    answer("done", "sharpness at step 9");
    choose("accuracy");
    press("measure it now");
    expect(line()).toBe("cannot be measured: no tasks are given");
    expect(sent.length).toBe(1);
  });

  it("set how often", () => {
    expect(every().placeholder).toBe("1");
    every().value = "0";
    press("measure it every so many steps");
    expect(line()).toContain("a whole number of steps");
    every().value = "25";
    press("measure it every so many steps");
    expect(last()).toMatchObject({ what: "every", name: "loss", steps: 25 });
    answer("done");
    expect(every().value).toBe("");
  });

  it("leave an open list alone, and keep what was chosen", () => {
    choose("sharpness");
    choice().focus();
    const later = { groups: 1, instruments: [...CONTROLS.instruments, can("mine", "my own")] };
    session.control(JSON.stringify(later));
    cockpit.show();
    expect(choice().options.length).toBe(3);
    choice().blur();
    cockpit.show();
    expect([choice().options.length, choice().value]).toEqual([4, "sharpness"]);
  });
});
