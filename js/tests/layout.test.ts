import { describe, expect, it } from "vitest";
import { Layout } from "../src/layout";
import type { PanelSpec } from "../src/types";

const panels = (ids: string, shown = ids) =>
  [...ids].map((id) => ({ id, shown: shown.includes(id) }) as PanelSpec);
const ids = (specs: PanelSpec[]) => specs.map(({ id }) => id).join("");

describe("the layout", () => {
  it("moves a panel before another or to the end", () => {
    const layout = new Layout();
    layout.move(panels("abcd"), "d", "b");
    expect(ids(layout.arranged(panels("abcd")))).toBe("adbc");
    layout.move(panels("abcd"), "a", null);
    expect(ids(layout.arranged(panels("abcd")))).toBe("dbca");
  });

  it("puts a panel that appears later after the one that is usually before it", () => {
    const layout = new Layout();
    layout.move(panels("ace"), "e", "a"); // e a c
    expect(ids(layout.arranged(panels("abcde")))).toBe("eabcd");
    expect(ids(layout.arranged(panels("xace")))).toBe("xeac");
  });

  it("leaves out panels that are gone, and knows them when they come back", () => {
    const layout = new Layout();
    layout.move(panels("abc"), "c", "a");
    expect(ids(layout.arranged(panels("ab")))).toBe("ab");
    expect(ids(layout.arranged(panels("abc")))).toBe("cab");
  });

  it("hides what the reader hid, and keeps what was shown", () => {
    const layout = new Layout();
    const [open, closed] = panels("ab", "a") as [PanelSpec, PanelSpec];
    expect([layout.isHidden(open, false), layout.isHidden(closed, false)]).toEqual([false, true]);
    expect(layout.isHidden(closed, true)).toBe(false);
    layout.hidden.set("a", true).set("b", false);
    expect([layout.isHidden(open, true), layout.isHidden(closed, false)]).toEqual([true, false]);
  });

  it("is the same after it was written and read", () => {
    const layout = new Layout();
    layout.move(panels("abc"), "c", "a");
    layout.hidden.set("b", true);
    layout.wide.add("a");
    layout.range = [3, 8.5];
    layout.run = "generator";
    const again = new Layout(layout.text());
    expect(again).toEqual(layout);
  });

  it.each([
    "",
    "no json",
    "null",
    "[1]",
    '{"order": 3, "hidden": [true], "wide": {"a": 1}, "range": "all", "run": 7}',
    '{"order": [1, null], "range": [1, null], "hidden": null, "wide": [["a"]]}',
  ])("makes nothing of %s", (text) => {
    const layout = new Layout(text);
    expect(layout.text()).toBe(new Layout().text());
  });

  it("takes nothing but true for hidden, and names as they are", () => {
    const layout = new Layout(
      '{"hidden": {"a": "yes", "__proto__": true, "b": true}, "order": ["b", "b", "a"]}',
    );
    expect(layout.hidden.get("a")).toBe(false);
    expect(layout.hidden.get("b")).toBe(true);
    expect(ids(layout.arranged(panels("ab")))).toBe("ba");
  });
});
