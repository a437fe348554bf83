import { afterEach, describe, expect, it, vi } from "vitest";
import type { Layer } from "../src/bokeh";
import { type About, fileName, saveImage } from "../src/saving";

const theme = { dark: false, page: "#fff", ink: "#000", faint: "#eee", font: "sans-serif" };
const about: About = { title: "loss", reading: "0.1", run: "sgd", step: 1200, at: null, theme };

describe("the image of a panel", () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it("has a name that every file system takes", () => {
    expect(fileName(about, "png")).toBe("sgd-loss-step-1200.png");
    expect(fileName({ ...about, run: "../a/b", title: 'x:"*?<>|\\\u202e λmax' }, "svg")).toBe(
      "a-b-x-λmax-step-1200.svg",
    );
    expect(fileName({ ...about, title: "x".repeat(9999) }, "png").length).toBeLessThan(130);
    expect(fileName({ ...about, run: "" }, "png")).toBe("loss-step-1200.png");
  });

  it("is a drawing with its words as text and the step held", async () => {
    let blob: Blob | null = null;
    vi.spyOn(URL, "createObjectURL").mockImplementation((made) => {
      blob = made as Blob;
      return "blob:x";
    });
    const clicked = vi.spyOn(HTMLAnchorElement.prototype, "click").mockReturnValue();
    const canvas = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const figure: Layer = { canvas, pixel_ratio: 1, bbox: { width: 300, height: 200 } };
    const hostile = '<script>alert("1")</script>';
    await saveImage(figure, { ...about, title: hostile, at: { left: 70, top: 5, height: 100 } });
    expect(clicked).toHaveBeenCalledOnce();
    const parsed = new DOMParser().parseFromString(await text(blob!), "image/svg+xml");
    expect(parsed.querySelector("script, parsererror")).toBe(null);
    expect([...parsed.querySelectorAll("text")].map((one) => one.textContent)).toEqual([hostile, "0.1"]);
    expect(parsed.querySelector("line")!.getAttribute("x1")).toBe("70");
    expect(parsed.querySelector("svg > svg")!.getAttribute("y")).toBe("40");
  });
});

const text = (blob: Blob) =>
  new Promise<string>((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.readAsText(blob);
  });
