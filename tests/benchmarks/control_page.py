"""From a click on the Board to its effect in the loop, while a cell blocks the kernel.

Run by ``python -m tests.benchmarks.control_page [lab-7] [lab-6] [notebook-7]``. Kernel, server and browser run on this
machine, so one clock times both ends. For each front end, over 20 clicks:

- rate: from the click to the step whose loop sees the new learning rate, and to the answer on the page;
- pause: from the click to "paused" in the status line; resume: to the next step.
"""

import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.board import Board
from tests.browser.cells import LOOP, SETUP
from tests.browser.conftest import CHROMIUM_FLAGS
from tests.browser.fronts import FRONTS, Desk, started
from tests.conftest import ROOT

CLICKS = 20

TRAIN = f"""%%landscape -v run
import time
seen, log = None, open("changes", "w", buffering=1)
began = time.time()
{LOOP}        rate, now = optimizer.param_groups[0]["lr"], time.time()
        if rate != seen:
            print("rate", now, file=log)
        if now - began > 0.25:
            print("on", now, file=log)  # after a pause
        seen, began = rate, now
"""

# When the last click was, and since when the page says what.
WATCH = """() => {
  const now = () => (performance.timeOrigin + performance.now()) / 1e3;
  window.told = {};
  document.addEventListener("click", () => { window.clicked = now(); window.told = {}; }, true);
  const look = () => {
    const line = document.querySelector(".nbtk-line-of-orders").textContent;
    const status = document.querySelector(".nbtk-status").textContent;
    if (!/(asked|waits for the end of this step)$/.test(line)) window.told.answer ??= now();
    if (status.includes("paused")) window.told.paused ??= now();
  };
  const all = {subtree: true, childList: true, characterData: true};
  new MutationObserver(look).observe(document.querySelector(".nbtk-board"), all);
}"""


def main() -> None:
    """Measure the front ends named, or all."""
    chosen = sys.argv[1:] or list(FRONTS)
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        for front in chosen:
            page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
            with tempfile.TemporaryDirectory() as folder, started(front, Path(folder) / "server", ROOT) as lab:
                report(front, measured(Desk(lab, page, [SETUP, TRAIN], "latency"), page))
            page.context.close()
        browser.close()


def measured(desk: Desk, page: Page) -> dict[str, list[float]]:
    """Seconds of each kind."""
    desk.notebook.run(0)
    desk.notebook.start(1)
    board = Board(page).wait()
    board.distinct_steps(5)
    page.evaluate(WATCH)
    times: dict[str, list[float]] = {name: [] for name in ("rate in the loop", "answer", "paused", "resumed")}
    for i in range(CLICKS):
        before = told(desk, "rate")
        board.press("halve the learning rate" if i % 2 else "double the learning rate")
        page.wait_for_function("() => window.told.answer")
        times["rate in the loop"].append(next_told(desk, page, "rate", before) - page.evaluate("window.clicked"))
        times["answer"].append(page.evaluate("window.told.answer - window.clicked"))
        page.wait_for_timeout(300 + 37 * (i % 5))
        board.press("pause the training")
        page.wait_for_function("() => window.told.paused")
        times["paused"].append(page.evaluate("window.told.paused - window.clicked"))
        page.wait_for_timeout(400)
        before = told(desk, "on")
        board.press("resume the training")
        times["resumed"].append(next_told(desk, page, "on", before) - page.evaluate("window.clicked"))
        page.wait_for_timeout(300)
    page.wait_for_timeout(1000)
    begin = board.step
    page.wait_for_timeout(2000)
    times["step"] = [2.0 / max(1, board.step - begin)]
    desk.enough()
    desk.notebook.finish(1)
    return times


def told(desk: Desk, what: str) -> list[float]:
    """When the loop saw a new rate, or went on after a while."""
    lines = [line.split() for line in (desk.folder / "changes").read_text().splitlines()]
    return [float(line[1]) for line in lines if line[0] == what]


def next_told(desk: Desk, page: Page, what: str, before: list[float]) -> float:
    """The first of `told` after those."""
    while len(told(desk, what)) <= len(before):
        page.wait_for_timeout(10)
    return told(desk, what)[len(before)]


def report(front: str, times: dict[str, list[float]]) -> None:
    """One line for each kind: median, and from the fastest to the slowest."""
    print(f"{front}, {1e3 * times.pop('step')[0]:.1f} ms a step")
    for name, seconds in times.items():
        ms = sorted(1e3 * one for one in seconds)
        print(f"  {name:17} median {statistics.median(ms):5.0f} ms   {ms[0]:5.0f} to {ms[-1]:.0f} ms", flush=True)


if __name__ == "__main__":
    main()
