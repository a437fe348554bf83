"""Front ends and kernels in which a running loop is acted on: a cell that blocks, and a Board beside it."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page

from tests.browser.lab import Lab
from tests.browser.notebook import Notebook, write
from tests.ipykernels import unpacked

# The application, and the ipykernel if it is not the one installed.
FRONTS = {"lab-7": ("jupyterlab", None), "lab-6": ("jupyterlab", "6.31.0"), "notebook-7": ("notebook", None)}


@contextmanager
def started(front: str, folder: Path, root: Path) -> Iterator[Lab]:
    """A server of one of `FRONTS` in an empty folder."""
    app, version = FRONTS[front]
    older = None if version is None else unpacked(version)
    with Lab(folder, root / "binder" / "overrides.json", app, older) as lab:
        yield lab


class Desk:
    """A notebook in a folder of its own, whose training cell tells in a file how far it is.

    Args:
        lab: where it is served.
        page: a blank page.
        cells: its cells.
        name: of its folder.
    """

    def __init__(self, lab: Lab, page: Page, cells: Sequence[str], name: str) -> None:
        self.lab, self.name = lab, name
        self.folder = lab.work / name
        self.folder.mkdir()
        self.notebook = Notebook(page, lab, f"{name}/{write(self.folder / 'training.ipynb', cells).name}")

    def told(self) -> tuple[int, float]:
        """Steps that the loop has made and gone on from, and its learning rate then."""
        made, rate = json.loads((self.folder / "told").read_text())
        return made, rate

    def enough(self) -> None:
        """Let the training cell end by itself."""
        (self.folder / "enough").touch()

    def close(self) -> None:
        """End the kernels of this server and remove the folder."""
        for kernel in self.lab.api("kernels"):
            self.lab.api(f"kernels/{kernel['id']}", method="DELETE")
        shutil.rmtree(self.folder)
