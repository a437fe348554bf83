import { expect, it } from "vitest";
import { Table } from "../src/pictures/table";
import type { PanelSpec } from "../src/types";
import { line, Paper, stored, texts } from "./paper";

it("a table shows the values in force at the step, else the last", () => {
  const lines = ["a", "b"].map((label, column) => ({ ...line, key: "t/t", label, column }));
  const spec = { id: "t/t", kind: "table", lines } as unknown as PanelSpec;
  const rows = [
    [1, 2],
    [3, Number.NaN],
  ];
  const store = stored([10, 1200], { "t/t": rows });
  const table = new Table(spec);
  const paper = new Paper(spec, store);
  expect(paper.drawn(table).value).toEqual(["3", ""]);
  expect([table.isOther(store, null), table.isOther(store, 1199), table.isOther(store, 1300)]).toEqual([
    false,
    true,
    false,
  ]);
  expect(paper.drawn(table, 1199).value).toEqual(["1", "2"]);
  expect(paper.drawn(table, 5).value).toEqual(["", ""]);
  expect(texts(table, spec, store, 1300)).toEqual(["step 1\u2009200"]);
  expect(texts(table, spec, store, null)).toEqual([]);
});
