"""The notebooks that come with the package."""

import os
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_path

from nbtoolkit.lab import reading


def companions(folders: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """The contents of the notebooks, by file name.

    Args:
        folders: where they may be; by default ``nbtoolkit/notebooks`` in Jupyter's data folders.
    """
    places = jupyter_path("nbtoolkit", "notebooks") if folders is None else folders
    files: dict[str, Path] = {}
    for place in places:
        for path in sorted(Path(place).glob("*.ipynb")):
            files.setdefault(path.name, path)
    # Jupyter's data folders are the installation's own: there may be links in them.
    contents = {name: reading.mapping(Path(os.path.realpath(path))) for name, path in sorted(files.items())}
    return {name: content for name, content in contents.items() if isinstance(content.get("cells"), list)}


def title(content: dict[str, Any]) -> str:
    """The first heading of a notebook."""
    for cell in content["cells"]:
        source = cell.get("source", "") if isinstance(cell, dict) else ""
        for line in "".join(source).splitlines():
            if line.startswith("# "):
                return reading.text(line[2:].strip())
    return ""
