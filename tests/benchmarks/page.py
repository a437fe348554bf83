"""The page of a long run, live: frames per second, time of an update, its bytes, and the memory of the page.

``python -m tests.benchmarks.page [MINUTES]``: a real Chromium shows eight panels of a run of a million recorded steps,
which goes on at a thousand steps a second and is sent ten times a second. The numbers go to build/page.json.
"""

import argparse
import base64
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import CDPSession, Page, sync_playwright

from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var
from nbtoolkit.widget import bundle, messages
from nbtoolkit.widget.figures import describe
from tests.benchmarks.report import write

HISTORY = 1_000_000
RATE = 10  # updates a second
ROWS = 100  # steps in an update
FILL = 2500  # steps in an update at first, until the page holds as many rows as it ever will
LAYERS = 20
SPARSE = 1000  # steps between spectra
PROBES, NODES = 4, 20

# A widget model without a kernel: what arrives is handed in from outside.
PAGE = """<!doctype html><meta charset="utf-8"><body style="margin:8px"><div id="place"></div>
<script type="module">
import widget from "./board.js";
const listeners = {};
const told = await (await fetch("./told.json")).json();
const asset = { comm_live: true, get: key => told[key], on() {}, off() {} };
const model = {
  get: key => ({ panels: told.panels, uid: "page", asset: "asset" })[key] ?? "",
  set() {}, save_changes() {}, send() {}, off() {},
  on: (event, call) => { listeners[event] = call; },
  widget_manager: { get_model: async () => asset },
};
widget.initialize({ model });
widget.render({ model, el: document.getElementById("place") });
globalThis.took = [];
globalThis.receive = (head, text) => {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  let at = 0;
  const buffers = head.sizes.map(size => new DataView(bytes.buffer, (at += size) - size, size));
  const begun = performance.now();
  listeners["msg:custom"](head, buffers);
  took.push(performance.now() - begun);
};
globalThis.frames = [];
const count = now => { frames.push(now); requestAnimationFrame(count); };
requestAnimationFrame(count);
globalThis.ready = true;
</script>"""


def recorded() -> Record:
    """Eight panels, a million steps."""
    record = Record()
    scalars = {"loss": "loss", "sharpness": "1/step", "update_ratio": "1", "gradient_noise": "1"}
    for name, units in scalars.items():
        record.group(name, {name: Var((), units, name.replace("_", " "))})
    record.group("terms", {"terms": Var(("term",), "loss", "terms")})
    record.group("grad_norm", {"norm": Var(("param",), "loss/param", "gradient norm", "log")})
    spectrum = {
        "ritz_value": Var(("probe", "node"), "loss/param^2", "spectrum of the Hessian"),
        "ritz_weight": Var(("probe", "node"), "1", "weights"),
    }
    record.group("spectrum", spectrum)
    grow(record, 0, HISTORY)
    return record


def grow(record: Record, start: int, stop: int) -> None:
    """Go on from a step to another."""
    rng = np.random.default_rng(start)
    steps = np.arange(start, stop)
    for name in ("loss", "sharpness", "update_ratio", "gradient_noise"):
        values = 1.0 / (1 + 1e-5 * steps) + 0.05 * rng.normal(size=len(steps))
        record.groups[name].append(steps, {name: values})
    terms = rng.random((len(steps), 4)) + np.arange(4)
    record.groups["terms"].append(steps, {"terms": terms}, {"term": [f"term {i}" for i in range(4)]})
    some = steps[steps % 10 == 0]
    norms = np.exp(rng.normal(size=(len(some), LAYERS)))
    labels = {"param": [f"layers.{i}.weight" for i in range(LAYERS)]}
    record.groups["grad_norm"].append(some, {"norm": norms}, labels)
    few = steps[steps % SPARSE == 0]
    if len(few):
        shape = (len(few), PROBES, NODES)
        ritz = np.sort(rng.normal(size=shape) ** 3, axis=-1)
        row = {"ritz_value": ritz, "ritz_weight": np.full(shape, 1 / NODES)}
        record.groups["spectrum"].append(few, row, {"probe": range(PROBES), "node": range(NODES)})


class Kernel:
    """Sends as a Board does, and counts what it sends."""

    def __init__(self, page: Page, record: Record) -> None:
        self.page, self.record = page, record
        self.sent: dict[str, int] = {}
        self.seq = 0
        self.step = HISTORY
        self.bytes: list[int] = []
        self.seconds: list[float] = []

    def post(self, make: Any) -> int:
        """One message; its bytes."""
        self.seq += 1
        status = {"step": self.step, "steps_per_second": 1000.0, "elapsed": 1.0, "share": 0.01, "state": "watching"}
        begun = time.perf_counter()
        head, buffers = make(self.record, self.sent, self.seq, {**status, "notes": [], "name": "page"})
        self.seconds.append(time.perf_counter() - begun)
        data = [np.asarray(buffer).tobytes() for buffer in buffers]
        text = base64.b64encode(b"".join(data)).decode()
        self.page.evaluate("([head, text]) => receive(head, text)", [{**head, "sizes": [*map(len, data)]}, text])
        return len(json.dumps(head)) + sum(map(len, data))

    def update(self, rows: int = ROWS) -> None:
        """Make some steps and send them."""
        grow(self.record, self.step, self.step + rows)
        self.step += rows
        self.bytes.append(self.post(messages.append))


def measured(minutes: float, hold: bool) -> dict[str, float]:
    """Stream for so long; with ``hold`` while the reader holds a step.

    Raises:
        RuntimeError: there is no Chromium.
    """
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if executable is None:
        raise RuntimeError("no chromium: install it, or set CHROMIUM to its path")
    record = recorded()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        told = {
            "panels": describe(record, list(record.groups)),
            "version": bundle.BOKEH_VERSION,
            "source": bundle.bokeh_js(),
        }
        served = {"page.html": PAGE, "board.js": bundle.board_js(), "told.json": json.dumps(told)}
        for name, text in served.items():
            (Path(folder) / name).write_text(text)
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 1500})
        page.route("http://page/*", lambda route: route.fulfill(path=Path(folder) / route.request.url.rsplit("/")[-1]))
        page.goto("http://page/page.html")
        page.wait_for_function("globalThis.ready")
        kernel = Kernel(page, record)
        reset = kernel.post(messages.reset)
        page.wait_for_timeout(5_000)
        if hold:
            page.get_by_role("slider", name="step shown").press("PageDown")
        found = streamed(kernel, page.context.new_cdp_session(page), 60 * minutes)
        page.screenshot(path="build/page.png")
        browser.close()
    return {"panels": 8, "reset_kb": reset / 1e3, **found}


def streamed(kernel: Kernel, cdp: CDPSession, seconds: float) -> dict[str, float]:
    """Ten updates a second for so long."""
    page = kernel.page
    for _ in range(2 * 2**17 // FILL):  # browser rows are halved at 2**17
        kernel.update(FILL)
        page.wait_for_timeout(1e3 / RATE)
    begun, held, work = time.monotonic(), used(cdp, "start"), spent(cdp)
    page.evaluate("() => { frames.length = took.length = 0; }")
    kernel.bytes, kernel.seconds = [], []
    end = begun + seconds
    while time.monotonic() < end:
        due = begun + len(kernel.bytes) / RATE
        page.wait_for_timeout(max(1, 1e3 * (due - time.monotonic())))
        kernel.update()
    lasted = time.monotonic() - begun
    frames, took = page.evaluate("[frames, took]")
    gaps = np.diff(frames)
    updates = len(kernel.bytes)
    busy = {f"{key}_ms_per_update": 1e3 * (spent(cdp)[key] - work[key]) / updates for key in work}
    return {
        "minutes": lasted / 60,
        "updates_per_second": updates / lasted,
        "frames_per_second": 1e3 * (len(frames) - 1) / (frames[-1] - frames[0]),
        "frame_ms_median": float(np.median(gaps)),
        "frame_ms_p99": float(np.quantile(gaps, 0.99)),
        "taking_in_ms_median": float(np.median(took)),
        **busy,
        "bytes_per_update": float(np.mean(kernel.bytes)),
        "kernel_ms_per_update": 1e3 * float(np.median(kernel.seconds)),
        **held,
        **used(cdp, "end"),
    }


def used(cdp: CDPSession, when: str) -> dict[str, float]:
    """Megabytes held after a collection: the JavaScript heap, and the arrays, which lie outside it and are bounded."""
    cdp.send("HeapProfiler.collectGarbage")
    found = cdp.send("Runtime.getHeapUsage")
    return {f"heap_{when}_mb": found["usedSize"] / 1e6, f"arrays_{when}_mb": found["backingStorageSize"] / 1e6}


def spent(cdp: CDPSession) -> dict[str, float]:
    """Seconds of the page's main thread so far: all tasks, and scripts in them."""
    found = metrics(cdp)
    return {"task": found["TaskDuration"], "script": found["ScriptDuration"]}


def metrics(cdp: CDPSession) -> dict[str, float]:
    """What Chromium counts."""
    cdp.send("Performance.enable")
    return {one["name"]: one["value"] for one in cdp.send("Performance.getMetrics")["metrics"]}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.page", description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=1.0)
    parser.add_argument("--hold", action="store_true", help="the reader holds a step meanwhile")
    options = parser.parse_args()
    Path("build").mkdir(exist_ok=True)
    found = measured(options.minutes, options.hold)
    print("\n".join(f"{key:24} {value:10.3f}" for key, value in found.items()))
    write(Path("build/page.json"), found)


if __name__ == "__main__":
    main()
