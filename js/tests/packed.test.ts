import { describe, expect, it, vi } from "vitest";
import { inflate, OLD_BROWSER, parse } from "../src/packed";
import { golden } from "./golden";

const { text, read } = golden<{ text: string; read: number[][] }>("widget/golden_payload.json");

describe("what a page carries", () => {
  it("is read as Python packed it", async () => {
    const { head, buffers } = parse(await inflate(text));
    expect(buffers.map((buffer) => [...buffer])).toEqual(read);
    expect(head).toEqual({ op: "reset", word: "é" });
  });

  it("may stand between line breaks", async () => {
    expect(await inflate(`\n${text}\n`)).toEqual(await inflate(text));
  });

  it("asks for a newer browser where nothing can unpack it", async () => {
    vi.stubGlobal("DecompressionStream", undefined);
    await expect(inflate(text)).rejects.toThrow(OLD_BROWSER);
    vi.unstubAllGlobals();
  });
});
