"""A store that a run goes on with: what was written after the step that it begins again from is removed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from nbtoolkit.errors import StoreError
from nbtoolkit.store import overviews
from nbtoolkit.store.columns import Record
from nbtoolkit.store.groups import read_group
from nbtoolkit.store.places import Place
from nbtoolkit.store.reading import Reader
from nbtoolkit.store.stored import StoredColumns
from nbtoolkit.store.writing import UNWRITTEN

LOGGED = "run.log"  # the reference of groups whose rows stand at the number of steps done, not before a step


@dataclass(frozen=True)
class Continued:
    """A store after the cut.

    Args:
        root: to write to.
        rows: kept, by group.
        generation: of the store from now on.
        note: what was done, in words.
    """

    root: zarr.Group
    rows: dict[str, int]
    generation: int
    note: str


def go_on(place: Place, record: Record, step: int) -> Continued:
    """Remove the rows of a store from a step on, and bring what it says of the run into the record.

    Rows of instruments at ``step`` are of the step that is made next, and are removed. What `run.log` has kept at
    ``step`` was logged after the last step that the checkpoint holds: it stays, and where the run logs again before
    its first step, both rows are there, the earlier first.

    Everything is checked before anything is changed. Rows are cut in ``step`` first: whoever reads meanwhile, or after
    a kill in the middle, finds complete rows only.

    Raises:
        StoreError: the store cannot be read, or holds something else under a name that the run measures.
    """
    earlier = Reader(place)
    try:
        root = place.open_group("r+")
        groups = {name: group for name in earlier.record.groups if (group := read_group(root, name)) is not None}
        kept = {name: _rows_before(group, step) for name, group in groups.items()}
    except Exception as error:
        raise StoreError(f"{place} cannot be gone on with: {place.fault(error)}; nothing was changed.") from error
    for name, stored in groups.items():
        if name in record.groups:
            _check(place, stored, record.groups[name].variables)
    removed = sum(len(group) - kept[name] for name, group in groups.items())
    try:
        for name, group in groups.items():
            _cut(root, group, kept[name])
    except Exception as error:
        raise StoreError(
            f"rows of {place} from step {step} on could not all be removed: {place.fault(error)}; try again."
        ) from error
    _carry_on(earlier.record, record, step)
    note = f"went on from step {step}; {removed} rows of the part that was lost were removed"
    return Continued(root, kept, int(root.attrs.get("generation", 0)) + 1, note)  # type: ignore[arg-type]


def _carry_on(earlier: Record, record: Record, step: int) -> None:
    """Bring into a record what an earlier part of the run says of itself."""
    before, mine = earlier.attrs, dict(record.attrs)
    notes, commands = (_listed(before, word) for word in ("notes", "commands"))
    record.attrs |= {key: value for key, value in before.items() if key not in mine or key == "created"}
    if notes or "notes" in mine:
        record.attrs["notes"] = [*notes, *mine.get("notes", ())]
    commands = [one for one in commands if isinstance(one, dict) and _of(one) < step]
    record.attrs["commands"] = [*commands, *mine.get("commands", ())]
    for name, columns in record.groups.items():
        if name in earlier.groups:
            columns.kept_reasons = {**earlier.groups[name].kept_reasons, **columns.kept_reasons}


def _listed(attrs: dict[str, Any], word: str) -> list[Any]:
    found = attrs.get(word, [])
    return list(found) if isinstance(found, list) else []


def _of(command: dict[str, Any]) -> float:
    step = command.get("step")
    return step if isinstance(step, int | float) else 0


def _rows_before(group: StoredColumns, step: int) -> int:
    """Rows before the first that is of a part that was lost."""
    first = step + 1 if group.attrs.get("reference") == LOGGED else step
    later = np.flatnonzero(group.rows()[0] >= first)
    return int(later[0]) if len(later) else len(group)


def _check(place: Place, stored: StoredColumns, variables: Any) -> None:
    """Refuse to mix what is not the same."""
    told, new = ({key: (var.dims, var.units) for key, var in one.items()} for one in (stored.variables, variables))
    if told != new:
        differing = sorted(key for key in told.keys() | new.keys() if told.get(key) != new.get(key))
        raise StoreError(
            f"{place} cannot be gone on with: {stored.name!r} was measured otherwise there "
            f"({', '.join(differing)} differ); nothing was changed. Choose another path."
        )


def _cut(root: zarr.Group, group: StoredColumns, rows: int) -> None:
    """End the arrays of a group after so many rows."""
    steps = group.arrays["step"]
    if steps.shape[0] > rows:
        # The chunk in which the cut lies keeps what lies behind it, and would show it when it grows again.
        steps[rows : min(steps.shape[0], -(-rows // steps.chunks[0]) * steps.chunks[0])] = UNWRITTEN
        steps.resize((rows,))
    for key, array in group.arrays.items():
        if key != "step" and array.shape[0] != rows:
            array.resize((rows, *array.shape[1:]))
    kept: Any = root.get(f"{overviews.GROUP}/{group.name}")
    if kept is None:
        return
    for name, array in list(kept.arrays()):
        plan = next((one for one in overviews.plans(group.variables, group.sizes) if one.name == name), None)
        if plan is None:
            del kept[name]
        elif array.shape[0] > rows // plan.block:
            array.resize((rows // plan.block, *array.shape[1:]))
