"""What the browser is told about the panels of a run: their words, their curves, their figures."""

import json
import math
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import xarray
from bokeh.embed import json_item
from bokeh.models import ColumnDataSource

from nbtoolkit import panels
from nbtoolkit.panels.look import colour, unit_label
from nbtoolkit.store.columns import Columns, Record
from nbtoolkit.store.schema import SCALES

LOGGED = "run.log"  # the reference of values the user logs
Panel = tuple[Columns, ModuleType, tuple[str, ...]]

# Panels open at first, of each kind; where there are too many, the first kinds have precedence.
FIRST = {"line": 2, "spectrum": 1, "evolution": 1, "own": 1, "curves": 3, "field": 2}
MOST = 8
WHOLE = (panels.spectrum, panels.evolution)  # one picture of all values, not a curve or a row for each
FORMS = {panels.table: SCALES[:1], panels.evolution: SCALES[1:]}  # where not every scale makes sense
DIMS = {"curves": ("step",), "heatmap": ("step", "param"), "table": ("step", "bin")}


def describe(record: Record, names: Sequence[str] | None = None) -> str:
    """All panels of a run as JSON text: ``{"figures": {form: document}, "panels": [...]}``.

    Text and not a dict, because Bokeh documents depend on the order of keys, which a saved notebook sorts.

    Args:
        record: what was measured.
        names: groups whose panels are open at first; by default those of `first_panels`.
    """
    every = all_panels(record)
    shown = first_panels(every, names)
    described = [{**_panel(*panel), "shown": panel in shown} for panel in every]
    # Figures are built for panels still without labels too: now, rather than in the middle of the training.
    forms = {form for panel in described for form in panel["forms"].values()}
    labelled = [panel for panel in described if panel["lines"]]
    return json.dumps({"panels": labelled, "figures": {form: _document(form) for form in sorted(forms)}})


def shape(record: Record) -> tuple:
    """What `describe` depends on; while it is equal, so is the description."""
    return tuple(
        (name, tuple(columns.variables), tuple(len(labels) for labels in columns.labels.values()))
        for name, columns in list(record.groups.items())
    )


def all_panels(record: Record) -> list[Panel]:
    """Group, module and variables of every panel declared so far."""
    return [
        (columns, module, names)
        for columns in list(record.groups.values())
        for names in panels.split(columns.variables)
        for module in panels.pictures(columns.variables[names[0]].dims)
    ]


def first_panels(every: list[Panel], names: Sequence[str] | None = None) -> list[Panel]:
    """The panels open at first.

    Those of the groups named, else at most eight: what is read against a line of two instruments, a spectrum and its
    evolution, one thing that the user logs, of three instruments the curves, of two the field. Where nothing is
    logged, the curves of a fourth.
    """
    if names:
        return [panel for panel in every if panel[0].name in names]
    firsts: dict[tuple, Panel] = {}
    for panel in every:
        firsts.setdefault((panel[0].name, panel[1]), panel)
    kinds = [(_kind(panel), panel) for panel in firsts.values()]
    more = 0 if any(kind == "own" for kind, _ in kinds) else FIRST["own"]
    counts = {**FIRST, "curves": FIRST["curves"] + more}
    chosen = [panel for kind, count in counts.items() for panel in [p for k, p in kinds if k == kind][:count]][:MOST]
    return [panel for panel in every if panel in chosen]


def has_labels(panel: Panel) -> bool:
    """Whether there is anything to show: labels of some dims come with the first measurement."""
    columns, _, names = panel
    return all(columns.labels[dim] for dim in columns.variables[names[0]].dims)


def part(columns: Columns, names: tuple[str, ...]) -> xarray.Dataset:
    """The Dataset of one panel: its variables, and their errors and line."""
    variables = [columns.variables[name] for name in names]
    others = [other for var in variables for other in (var.error, var.line) if other in columns.variables]
    return columns.dataset()[list(dict.fromkeys([*names, *others]))]


def title(panel: Panel) -> str:
    """The quantities of a panel in words."""
    columns, module, names = panel
    first = columns.variables[names[0]].long_name
    if module in WHOLE:
        return first + (" over steps" if module is panels.evolution else "")
    return " · ".join(dict.fromkeys(columns.variables[name].long_name for name in names))


def _name(module: ModuleType) -> str:
    return module.__name__.rsplit(".", 1)[1]


def _kind(panel: Panel) -> str:
    columns, module, names = panel
    if module is panels.heatmap:
        return "field"
    if module in WHOLE:
        return _name(module)
    if columns.attrs.get("reference") == LOGGED:
        return "own"
    return "curves" if columns.variables[names[0]].line == "" else "line"


def _panel(columns: Columns, module: ModuleType, names: tuple[str, ...]) -> dict[str, Any]:
    kind, var = _name(module), columns.variables[names[0]]
    sizes = [len(columns.labels[dim]) for dim in var.dims]
    # No rows are needed for the words.
    ds = part(columns, names).isel(step=slice(0, 0))
    places = range(math.prod(sizes))[: 1 if module in WHOLE else None]
    lines = [_line(columns, name, place) for name in names for place in places]
    for i, (line, label) in enumerate(zip(lines, module.names(ds) if lines else [], strict=True)):
        line |= {"label": label, "color": colour(i)}
    extras = [word for word in ("error", "line") if kind == "curves" and any(line[word] is not None for line in lines)]
    count = max(1, len(lines)) if kind == "curves" else 1
    definition = [str(columns.attrs.get("definition", "")).strip(), getattr(module, "NOTE", "")]
    return {
        "id": f"{columns.name}/{names[0]}" + ("/evolution" if module is panels.evolution else ""),
        "group": columns.name,
        "kind": kind,
        "title": title((columns, module, names)),
        "units": unit_label(var.attrs()),
        "definition": "\n\n".join(filter(None, definition)),
        "reference": str(columns.attrs.get("reference", "")),
        "scale": getattr(module, "SCALE", var.scale),
        "smooth": kind == "curves" and panels.curves.is_smoothed(ds, names[0]),
        "sizes": sizes,
        "lines": lines,
        "forms": {scale: "-".join([kind, str(count), scale, *extras]) for scale in FORMS.get(module, SCALES)},
    }


def _line(columns: Columns, name: str, place: int) -> dict[str, Any]:
    """Where a browser finds one curve, its error and what it is read against."""
    var = columns.variables[name]
    error = columns.variables.get(var.error)
    line: Any = None if var.line == "" else var.line
    if isinstance(line, str):
        reference = columns.variables.get(line)
        line = {"key": f"{columns.name}/{line}", "column": 0, "label": reference.long_name} if reference else None
    return {
        "key": f"{columns.name}/{name}",
        "column": place,
        "error": {"key": f"{columns.name}/{var.error}", "column": place} if error else None,
        "line": line,
    }


@cache
def _document(form: str) -> dict[str, Any]:
    """A figure without data. Panels of one form share it: building one takes 50 ms, and words come separately."""
    kind, count, scale, *extras = form.split("-")
    module, dims = getattr(panels, kind), DIMS.get(kind, ("step", "probe", "node"))
    told = {word: word for word in extras}
    sizes = [0, *[1] * (len(dims) - 1)]
    variables = {f"v{i}": {"long_name": f"v{i}", **told} for i in range(int(count))} | {word: {} for word in extras}
    ds = xarray.Dataset(
        {name: (dims, np.empty(sizes), attrs) for name, attrs in variables.items()},
        {dim: (dim, [0] * size) for dim, size in zip(dims, sizes, strict=True)},
    )
    source = ColumnDataSource({key: list(values) for key, values in module.columns(ds).items()}, name="data")
    return dict(json_item(module.figure(source, ds, scale=scale)))
