"""Curves of several runs side by side, by label; of runs under one label their mean with its interval."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nbtoolkit.analysis.seeds import INTERVAL, Mean
from nbtoolkit.store.columns import Columns, Record
from nbtoolkit.store.schema import Var, companions

PLACES = {"param", "layer", "group", "term", "rank", "task_evaluated", "task_trained"}  # each can be a curve
MOST = 24  # places of a variable that are shown when asked for
MEANT = (
    "Of n runs under one label: their mean, as far as all of them go, and around it the 95 % interval of that mean by "
    "Student's t. Between the steps at which a run was measured it is interpolated linearly."
)
Places = dict[str, tuple[str, int]]  # for each curve its variable, and its place among the values of a row


class Part:
    """Some columns of one group of a run, as they grow; rows are views."""

    def __init__(self, source: Columns, places: Places, variables: Mapping[str, Var]) -> None:
        self.source, self.places, self.variables = source, places, variables

    def __len__(self) -> int:
        """Rows held."""
        return len(self.source)

    def rows(self, start: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The steps and values from row ``start`` on."""
        steps, values = self.source.rows(start)
        return steps, {name: _column(values[key], place) for name, (key, place) in self.places.items()}


class Overlaid(Columns):
    """One group of an overlay: variables along ``run``, whose labels each have steps of their own.

    Args:
        name: of the group.
        variables: with the one dim ``run``.
        attrs: of the group.
        labels: of all runs.
        parts: by label, where it has this group; each is a `Part` or a `Mean`.
    """

    def __init__(
        self,
        name: str,
        variables: Mapping[str, Var],
        attrs: Mapping[str, Any],
        labels: list[str],
        parts: dict[str, Any],
    ) -> None:
        super().__init__(name, variables, attrs)
        self.widen({"run": labels})
        self.parts = parts

    def __len__(self) -> int:
        """Rows of the longest label: none if nothing was measured."""
        return max(map(len, self.parts.values()), default=0)

    def rows(self, start: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """All steps of any label, and the values there; NaN where a label has none."""
        labels = self.labels["run"]
        held = {label: part.rows() for label, part in self.parts.items()}
        steps = np.unique(np.concatenate([np.empty(0, np.int64), *(own for own, _ in held.values())]))
        values = {key: np.full((len(steps), len(labels)), np.nan) for key in self.variables}
        for label, (own, columns) in held.items():
            where = np.searchsorted(steps, own)
            for key in columns.keys() & values.keys():
                values[key][where, labels.index(label)] = columns[key]
        return steps[start:], {key: array[start:] for key, array in values.items()}


class Overlay(Record):
    """The curves of several records, by label; told to `refresh` it follows them as they grow.

    All scalars are there, and what has a single place (learning rate of one parameter group); of the groups ``asked``
    for also what has a few named places (layers, parameters), each as a curve of its own. Fields are left out, which
    ``notes`` says. Datasets have the dim ``run``; where a label has no value at a step of another, there is NaN.

    Args:
        parts: the records under each label.
        asked: groups of which more than scalars is wanted.
    """

    def __init__(self, parts: Mapping[str, Sequence[Record]], asked: Iterable[str] = ()) -> None:
        super().__init__()
        self._given = {label: len(records) for label, records in parts.items()}
        labels = self._labels(self._given.values())
        self.sources = {label: list(records) for label, records in zip(labels, parts.values(), strict=True)}
        self.several = any(len(records) > 1 for records in self.sources.values())
        self.asked = set(asked)
        self.generation = 0  # counts changes of what was there already
        self._left_out: list[str] = []
        self._shape: Any = None
        self.refresh()

    @property
    def notes(self) -> list[str]:
        """What is left out."""
        groups: Any = list(self.groups.items())
        lost = [
            f"{name} has no mean of {label}: its runs have no steps in common"
            for name, group in groups
            for label, part in group.parts.items()
            if isinstance(part, Mean) and part.lost
        ]
        return [*self._left_out, *lost]

    @property
    def blocks(self) -> dict[str, Any]:
        """The values of each label by themselves, under the keys of `block`."""
        groups: Any = list(self.groups.items())
        return {
            block(name, group.labels["run"].index(label)): part
            for name, group in groups
            for label, part in group.parts.items()
        }

    def refresh(self) -> bool:
        """Take in what appeared, and new rows under labels of several runs; whether all is to be read anew."""
        shape = [_shape(columns) for columns in self._every()]
        if shape != self._shape:
            self._shape = shape
            self._build()
            self.generation += 1
            return True
        changed = [part.refresh() for part in self.blocks.values() if isinstance(part, Mean)]
        self.generation += any(changed)
        return any(changed)

    def _every(self) -> list[Columns]:
        records = [record for group in self.sources.values() for record in group]
        return [columns for record in records for columns in list(record.groups.values())]

    def _labels(self, counts: Iterable[int]) -> list[str]:
        """The labels, those of several runs with the number of runs that are there; no two alike."""
        told: list[str] = []
        for (label, several), count in zip(self._given.items(), counts, strict=True):
            others = {*told, *self._given} - {label}
            told.append(distinct(label if several == 1 else f"{label} (n={count})", others))
        return told

    def _build(self) -> None:
        self._left_out = []
        names = list(dict.fromkeys(columns.name for columns in self._every()))
        made = {name: self._group(name) for name in names}
        self.groups = {name: group for name, group in made.items() if group is not None}
        left = [name for name in names if made[name] is None]
        if left:
            self._left_out.append(f"shown for one run at a time, by show(run): {', '.join(left)}")

    def _group(self, name: str) -> Overlaid | None:
        """One group over all labels; None where it has no curves."""
        held = {
            label: [record.groups[name] for record in records if name in record.groups]
            for label, records in self.sources.items()
        }
        every = [columns for group in held.values() for columns in group]
        wanted = [_curves(columns, name in self.asked) for columns in every]
        told = {key: found for places in reversed(wanted) for key, found in places.items()}
        if not told:
            return None
        suffix = INTERVAL
        while any(key + suffix in told for key in told):  # it is a variable of the user's
            suffix += "_"
        variables = {key: self._variable(key, var, every, suffix) for key, (_, var) in told.items()}
        for var in list(variables.values()):
            if var.error:
                variables[var.error] = Var(("run",), var.units, f"error of {var.long_name}")
        alone = {key: Var((), v.units, v.long_name, v.scale, v.error, v.line) for key, v in variables.items()}
        found: list[tuple[list[Part], int]] = []
        for label, group in held.items():
            own = [Part(columns, self._places(columns, told), alone) for columns in group]
            own = [part for part in own if part.places]
            if 0 < len(own) < len(self.sources[label]):
                self._left_out.append(f"{name} was measured in {len(own)} of the runs of {label}")
            found.append((own, len(own) or len(self.sources[label])))
        labels = self._labels(count for _, count in found)
        parts: dict[str, Any] = {
            label: Mean(own, alone, suffix) if self.several else own[0]
            for label, (own, _) in zip(labels, found, strict=True)
            if own
        }
        attrs = dict(every[0].attrs)
        if self.several:
            attrs["definition"] = "\n\n".join(filter(None, [str(attrs.get("definition", "")).strip(), MEANT]))
        return Overlaid(name, variables, attrs, labels, parts)

    def _variable(self, key: str, var: Var, every: list[Columns], suffix: str) -> Var:
        error = key + suffix if self.several else var.error
        return Var(("run",), var.units, var.long_name, var.scale, error, _common_line(var, every))

    def _places(self, columns: Columns, told: dict[str, tuple[tuple[str, int], Var]]) -> Places:
        """Where one run has these curves; not where it has other units."""
        places: Places = {}
        for key, ((name, place), var) in told.items():
            own = columns.variables.get(name)
            if own is None:
                continue
            if own.units != var.units:
                self._left_out.append(
                    f"{var.long_name} in {own.units} is not shown beside {var.long_name} in {var.units}"
                )
                continue
            places[key] = name, place
            if var.error in columns.variables and not self.several:
                places[var.error] = var.error, place
        return places


def block(group: str, place: int) -> str:
    """The key under which the values of one label are sent."""
    return f"{group}#{place}"


def distinct(label: str, taken: Collection[str]) -> str:
    """The label, numbered if it is there already."""
    numbered = [label, *(f"{label} ({i})" for i in range(2, len(taken) + 2))]
    return next(one for one in numbered if one not in taken)


def _curves(columns: Columns, asked: bool) -> dict[str, tuple[tuple[str, int], Var]]:
    """The curves of a group by name: variable and place, and what each is."""
    found: dict[str, tuple[tuple[str, int], Var]] = {}
    others = companions(columns.variables)
    for key, var in list(columns.variables.items()):
        if key in others or len(var.dims) > 1 or not PLACES.issuperset(var.dims):
            continue
        labels = columns.labels[var.dims[0]] if var.dims else [""]
        if len(labels) == 1:
            found[key] = (key, 0), var
        elif asked:
            for place, label in enumerate(labels[:MOST]):
                one = Var((), var.units, f"{var.long_name}, {label}", var.scale, line=var.line)
                found[f"{key}@{label}"] = (key, place), one
    return found


def _common_line(var: Var, every: list[Columns]) -> str | float:
    """The value that all runs have their curves read against; none where they differ or it changes."""
    if not isinstance(var.line, str) or not var.line:
        return var.line
    values = [columns.rows()[1][var.line] for columns in every if var.line in columns.variables and len(columns)]
    known = {float(value) for rows in values for value in (rows[0], rows[-1]) if math.isfinite(value)}
    return known.pop() if len(known) == 1 else ""


def _shape(columns: Columns) -> tuple:
    """What the curves of a group depend on."""
    sizes = tuple(len(columns.labels[dim]) for dim in columns.labels)
    lines = [var.line for var in list(columns.variables.values()) if isinstance(var.line, str) and var.line]
    known = tuple(_common_line(var, [columns]) for var in list(columns.variables.values())) if lines else ()
    return columns.name, tuple(columns.variables), sizes, known


def _column(rows: np.ndarray, place: int) -> np.ndarray:
    """One of the values of each row; NaN while its label is not there."""
    width = math.prod(rows.shape[1:])
    return rows.reshape(len(rows), width)[:, place] if place < width else np.full(len(rows), np.nan)
