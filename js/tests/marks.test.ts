import { describe, expect, it } from "vitest";
import { Marks } from "../src/marks";
import type { Command } from "../src/types";

const command = (
  step: number,
  what = "lr",
  text = `learning rate 0.1 -> 0.05 from step ${step}`,
): Command => ({
  ...{ step, what, text },
});
/** A frame of 300 pixels over the steps 0 to 300, at 50 from the left. */
const place = (step: number) => (step < 0 || step > 300 ? null : { left: 50 + step, top: 8, height: 120 });
const drawn = (marks: Marks) =>
  [...marks.root.children].map((one) => [
    one.className.split("nbtk-mark-")[1],
    (one as HTMLElement).style.transform,
    one.querySelector("span")!.title,
  ]);

describe("marks of what was done to the loop", () => {
  it("stand where the step is, each kind in its own stroke, with their words", () => {
    const marks = new Marks();
    marks.show([command(20), command(100, "pause", "paused for 2 s"), command(200, "every", "")], place);
    expect(drawn(marks)).toEqual([
      ["lr", "translate(70px, 8px)", "learning rate 0.1 -> 0.05 from step 20"],
      ["pause", "translate(150px, 8px)", "step 100: paused for 2 s"],
      ["other", "translate(250px, 8px)", "step 200: every"],
    ]);
    expect((marks.root.firstChild as HTMLElement).style.height).toBe("120px");
  });

  it("are not there outside the frame, nor where steps do not run along", () => {
    const marks = new Marks();
    marks.show([command(-1), command(301), command(5)], place);
    expect(drawn(marks).length).toBe(1);
    marks.show([command(5)], () => null);
    expect(drawn(marks).length).toBe(0);
  });

  it("are one where they would lie on one another, and the change of a rate is seen", () => {
    const marks = new Marks();
    marks.show([command(100, "pause", "paused"), command(102), command(105)], place);
    expect(drawn(marks)).toEqual([
      ["lr", "translate(150px, 8px)", "step 100: paused\nlearning rate 0.1 -> 0.05 from step 102"],
      ["lr", "translate(155px, 8px)", "learning rate 0.1 -> 0.05 from step 105"],
    ]);
  });

  it("are never more than thirty, and lose none", () => {
    const marks = new Marks();
    const many = Array.from({ length: 200 }, (_, i) => command(1.5 * i));
    marks.show(many, place);
    const titles = [...marks.root.children].map((one) => one.querySelector("span")!.title);
    expect(titles.length).toBeLessThanOrEqual(30);
    expect(titles.length).toBeGreaterThan(20);
    expect(titles.join("\n").split("\n").length).toBe(200);
  });

  it("move with the axis without being made anew, so that a tooltip stays", () => {
    const marks = new Marks();
    const commands = [command(20), command(100)];
    marks.show(commands, place);
    const first = marks.root.firstChild as HTMLElement;
    marks.show(commands, (step) => ({ ...place(step)!, left: step / 2 }));
    expect(marks.root.firstChild).toBe(first);
    expect(first.style.transform).toBe("translate(10px, 8px)");
    marks.show([command(20), command(100)], place);
    expect(marks.root.firstChild).not.toBe(first);
  });

  it("are words, and not many of them", () => {
    const marks = new Marks();
    marks.show([command(1, "lr", `<script>1</script>${"x".repeat(10_000)}`)], place);
    const span = marks.root.querySelector("span")!;
    expect(span.title.startsWith("step 1: <script>1</script>xxx")).toBe(true);
    expect(span.title.length).toBeLessThan(700);
    expect(marks.root.querySelectorAll("script").length).toBe(0);
  });
});
