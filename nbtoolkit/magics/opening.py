"""``%landscape open PATH``: a run that was stored, or that a job is writing."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from nbtoolkit.magics import grammar, tasks

if TYPE_CHECKING:
    from nbtoolkit.capture import Run
    from nbtoolkit.magics.landscape import LandscapeMagics

STORE = "zarr.json"  # what the folder of a store holds
LISTED = 8  # stores in an error
NONE = "%landscape save PATH and --store PATH write one; --follow shows one that is still to come."


def stored(magics: "LandscapeMagics", command: grammar.Command) -> "Run":
    """Open a store and draw it; see `open_run`. In the path, ``{variable}`` is its value."""
    from nbtoolkit.capture import open_run

    path = tasks.expanded(magics, command.words[0])
    follow = "--follow" in command.switches
    if not follow and "://" not in path and not Path(path).exists():
        raise UsageError(_missing(path))
    run = open_run(path, follow=follow)
    if magics.stream.runs is None:  # in a watched cell it is no run of that cell
        magics.runs.append(run)
    if "--quiet" not in command.switches:
        from nbtoolkit.widget import show

        show(run)
    return run


def paths(begun: str) -> list[str]:
    """Stores and folders that a path may go on with; of a URL none, which would have to be waited for."""
    head = begun[: begun.rfind("/") + 1]
    if "://" in begun:
        return []
    found = [f"{head}{path.name}{'' if is_store else '/'}" for path, is_store in _folders(Path(head or "."))]
    return [path for path in found if path.startswith(begun) and " " not in path]


def _missing(path: str) -> str:
    """That there is nothing at a path, and the stores beside it."""
    folder = Path(path).parent
    beside = {store.stem: str(store) for store, is_store in _folders(folder) if is_store}
    more = f" and {len(beside) - LISTED} more" if len(beside) > LISTED else ""
    told = ", ".join(list(beside.values())[:LISTED]) + more
    there = f"There are: {told}." if beside else f"There is no store in {folder.absolute()}: {NONE}"
    near = difflib.get_close_matches(Path(path).stem, beside, n=1)
    return f"there is nothing at {path!r}{f'; did you mean {beside[near[0]]!r}?' if near else '.'} {there}"


def _folders(folder: Path) -> Iterator[tuple[Path, bool]]:
    """The folders in one, in order, and whether each is a store; none where it cannot be read."""
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return
    for path in inside:
        yield path, (path / STORE).exists()
