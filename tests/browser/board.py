"""What a reader sees of a Board, read from the page."""

import re

from playwright.sync_api import Locator, Page

# The canvases of a panel, in shadow roots too.
CANVASES = """
  const canvases = [];
  const collect = root => {
    for (const one of root.querySelectorAll("*")) {
      if (one instanceof HTMLCanvasElement && one.width && one.height) canvases.push(one);
      if (one.shadowRoot) collect(one.shadowRoot);
    }
  };
  collect(panel);
"""
# How many colours a panel shows, over all its canvases: 1 is an empty one.
COLOURS = (
    f"""panel => {{{CANVASES}"""
    + """
  const colours = canvases.map(canvas => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(new Uint32Array(pixels.buffer)).size;
  });
  return Math.max(0, ...colours);
}"""
)

STORED = """key => {
  const found = [...globalThis.nbtoolkit.lives.values()].map(live => live.session.store.get(key)).filter(Boolean);
  const block = found.at(-1);
  return block ? [[...block.x()], [...block.column(0)]] : [[], []];
}"""


class Board:
    """The Board on a page.

    Args:
        page: the page.
        place: which one, when there are several.
    """

    def __init__(self, page: Page, place: int = 0) -> None:
        self.page = page
        self.root: Locator = page.locator(".nbtk-board").nth(place)

    def wait(self, seconds: float = 60) -> "Board":
        """Until it is on the page and the figures of its panels in sight are drawn."""
        self.root.wait_for(timeout=1e3 * seconds)
        for _ in range(int(10 * seconds)):
            if self.drawn():
                return self
            self.page.wait_for_timeout(100)
        raise TimeoutError(f"the Board draws nothing; colours in its panels: {self.colours()}")

    @property
    def status(self) -> str:
        """The status line."""
        return self.root.locator(".nbtk-status").inner_text(timeout=5_000)

    @property
    def step(self) -> int:
        """The step that the status line tells; -1 before the first."""
        found = re.search(r"step ([\d\u2009]+)", self.status)
        return int(found[1].replace("\u2009", "")) if found else -1

    @property
    def panels(self) -> Locator:
        """The panels shown."""
        return self.root.locator(".nbtk-panel")

    def colours(self) -> list[int]:
        """How many colours each panel shows."""
        return [panel.evaluate(COLOURS) for panel in self.panels.all()]

    def drawn(self) -> bool:
        """Whether there are panels, and the first of them has a picture in it."""
        colours = self.colours()
        return bool(colours) and colours[0] > 10

    def stored(self, key: str) -> tuple[list[int], list[float]]:
        """Steps and values that the browser has for a variable, such as ``loss/loss``."""
        steps, values = self.page.evaluate(STORED, key)
        return steps, values

    def wait_until(self, state: str, seconds: float = 30) -> None:
        """Until the status line has these words."""
        for _ in range(int(10 * seconds)):
            if state in self.status:
                return
            self.page.wait_for_timeout(100)
        raise TimeoutError(f"the status line says {self.status!r}, expected {state!r} in it")

    def distinct_steps(self, wanted: int, seconds: float = 60) -> set[int]:
        """Watch the status line until it has shown ``wanted`` different steps; those seen."""
        seen: set[int] = set()
        for _ in range(int(50 * seconds)):
            seen.add(self.step)
            if len(seen - {-1}) >= wanted:
                break
            self.page.wait_for_timeout(20)
        return seen - {-1}

    # -- acting on the loop ---------------------------------------------------------------------------

    @property
    def bar(self) -> Locator:
        """The controls of the running loop."""
        return self.root.locator(".nbtk-bar")

    @property
    def word(self) -> str:
        """What came of the last command."""
        return self.root.locator(".nbtk-line-of-orders").inner_text(timeout=5_000)

    def press(self, label: str, *, idle: bool = False) -> None:
        """Click a button by its label; ``idle``: one that says of itself that it can do nothing."""
        self.root.get_by_role("button", name=label, exact=True).click(force=idle)

    def wait_for_word(self, part: str, seconds: float = 30) -> str:
        """Until the line about commands has ``part`` in it."""
        for _ in range(int(20 * seconds)):
            if part in self.word:
                return self.word
            self.page.wait_for_timeout(50)
        raise TimeoutError(f"the line about commands says {self.word!r}, expected {part!r} in it; {self.status}")

    def set_rate(self, rate: str) -> None:
        """Type a learning rate and press Enter."""
        field = self.root.get_by_label("new learning rate")
        field.fill(rate)
        field.press("Enter")

    def measure(self, name: str) -> None:
        """Measure an instrument now."""
        self.root.get_by_label("what to measure").select_option(value=name)
        self.press("measure it now")

    def fork(self, steps: str, rate: str) -> None:
        """Type how many steps at which rate, and fork the training."""
        self.root.get_by_label("steps of the fork").fill(steps)
        self.root.get_by_label("learning rate of the fork").fill(rate)
        self.press("fork the training")

    def marks(self, kind: str) -> Locator:
        """Marks of one kind of command, on all panels."""
        return self.root.locator(f".nbtk-mark-{kind}")
