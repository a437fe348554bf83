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
from nbtoolkit.panels.copies import STEPS
from nbtoolkit.panels.look import colour, unit_label
from nbtoolkit.store.columns import Columns, Record
from nbtoolkit.store.schema import SCALES

LOGGED = "run.log"  # the reference of values the user logs
Panel = tuple[Columns, ModuleType, tuple[str, ...]]

# Panels open at first, of each kind; where there are too many, the first kinds have precedence.
FIRST = (
    ("curves", 1), ("landscape", 1), ("line", 2), ("spectrum", 1), ("evolution", 1), ("profile", 1), ("matrix", 1),
    ("trajectory", 1), ("own", 1), ("curves", 3), ("field", 2), ("copies", 1),
)  # fmt: skip
MOST = 8
CLOSED = (panels.surface,)  # at first: a second view of what another panel shows
ON_A_GRID = (panels.landscape, panels.surface, panels.profile, panels.matrix, panels.trajectory)
SECOND = {panels.evolution: " over steps", panels.surface: ", as a surface"}  # views: what their titles add
WHOLE = (panels.spectrum, panels.evolution, *ON_A_GRID)  # one picture of all values, not a curve or a row for each
SEVERAL = (panels.curves, panels.profile)  # with a line for each variable
FORMS = {  # where not every scale makes sense
    panels.table: SCALES[:1],
    panels.evolution: SCALES[1:],
    panels.trajectory: SCALES[:1],
}
DIMS = {
    "curves": ("step",),
    "heatmap": ("step", "param"),
    "table": ("step", "bin"),
    "spectrum": ("step", "probe", "node"),
    "evolution": ("step", "probe", "node"),
    "landscape": ("step", "alpha", "beta"),
    "surface": ("step", "alpha", "beta"),
    "profile": ("step", "alpha"),
    "matrix": ("step", "layer", "layer_other"),
    "trajectory": ("step", "snapshot", "pc"),
}


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
        (name, tuple(columns.variables), tuple(tuple(labels) for labels in columns.labels.values()), _known(columns))
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

    Those of the groups named, and of a slice among them its pictures without its numbers, but the first also as a
    surface. Else at most eight: the first curves, a landscape, what is read against a line of two
    instruments, a spectrum and its evolution, a profile, a matrix, a trajectory, one thing that the user logs, of
    three instruments the curves, of two the field. Where nothing is logged, the curves of a fourth. Never a second
    view of a landscape.
    """
    if names:
        return _named([panel for panel in every if panel[0].name in names and _has_values(panel)])
    every = [panel for panel in every if panel[1] not in CLOSED and _has_values(panel)]
    firsts: dict[tuple, Panel] = {}
    for panel in every:
        firsts.setdefault((panel[0].name, panel[1]), panel)
    kinds: dict[str, list[Panel]] = {}
    for panel in firsts.values():
        kinds.setdefault(_kind(panel), []).append(panel)
    more = 0 if "own" in kinds else 1
    chosen: list[Panel] = []
    for kind, count in FIRST:
        found = kinds.get(kind, [])[: count + (more if kind == "curves" and count > 1 else 0)]
        chosen += [panel for panel in found if panel not in chosen]
    return [panel for panel in every if panel in chosen[:MOST]]


def _named(every: list[Panel]) -> list[Panel]:
    sliced = {panel[0].name for panel in every if panel[1] is panels.landscape}
    surfaces = [panel for panel in every if panel[1] in CLOSED]
    second = [panel for panel in surfaces if panel[2] != surfaces[0][2]]
    return [
        panel
        for panel in every
        if panel not in second and (panel[0].name not in sliced or panel[1] is not panels.curves)
    ]


def _known(columns: Columns) -> tuple[str, ...]:
    """The variables on a grid that were measured at any step."""
    if not len(columns):
        return ()
    _, values = columns.rows()
    on_grid = [name for name, var in columns.variables.items() if panels.find(var.dims) in ON_A_GRID]
    return tuple(name for name in on_grid if not (np.isnan(values[name][-1]).all() and np.isnan(values[name]).all()))


def _has_values(panel: Panel) -> bool:
    """Whether something on a grid was measured, or may be while it has no row yet; all else is shown at once."""
    columns, module, names = panel
    if module not in ON_A_GRID:
        return True
    if not len(columns):
        return "alpha" in columns.variables[names[0]].dims
    return not set(names).isdisjoint(_known(columns))


def has_labels(panel: Panel) -> bool:
    """Whether there is anything to show: labels of some dims come with the first measurement."""
    columns, _, names = panel
    return all(columns.labels[dim] for dim in columns.variables[names[0]].dims)


def part(columns: Columns, names: tuple[str, ...]) -> xarray.Dataset:
    """The Dataset of one panel: its variables, their errors, line and path, and the steps of kept copies."""
    variables = [columns.variables[name] for name in names]
    told = [other for var in variables for other in (var.error, var.line, var.path)]
    others = [other for other in [*told, *_steps(columns, names)] if other in columns.variables]
    return columns.dataset()[list(dict.fromkeys([*names, *others]))]


def title(panel: Panel) -> str:
    """The quantities of a panel in words."""
    columns, module, names = panel
    first = columns.variables[names[0]].long_name
    if module in SECOND:
        return first + SECOND[module]
    if module is panels.spectrum:
        return first
    return " · ".join(dict.fromkeys(columns.variables[name].long_name for name in names))


def _name(module: ModuleType) -> str:
    return module.__name__.rsplit(".", 1)[1]


def _kind(panel: Panel) -> str:
    columns, module, names = panel
    if module is panels.heatmap:
        return "field"
    if module is panels.profile and "alpha" not in columns.variables[names[0]].dims:
        return "copies"
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
    count = max(1, len(lines)) if module in SEVERAL else 1
    definition = [str(columns.attrs.get("definition", "")).strip(), getattr(module, "NOTE", "")]
    return {
        "id": f"{columns.name}/{names[0]}" + (f"/{kind}" if module in SECOND else ""),
        "group": columns.name,
        "kind": kind,
        "title": title((columns, module, names)),
        "units": unit_label(var.attrs()),
        "definition": "\n\n".join(filter(None, definition)),
        "reference": str(columns.attrs.get("reference", "")),
        "scale": getattr(module, "SCALE", var.scale),
        "smooth": kind == "curves" and panels.curves.is_smoothed(ds, names[0]),
        "sizes": sizes,
        **(_grid(columns, names) if module in ON_A_GRID else {}),
        "lines": lines,
        "forms": {scale: "-".join([kind, str(count), scale, *extras]) for scale in FORMS.get(module, SCALES)},
    }


def _grid(columns: Columns, names: tuple[str, ...]) -> dict[str, Any]:
    """What a browser needs to place the values of a row: the labels of their dims, the path, the steps of copies."""
    var = columns.variables[names[0]]
    path = None
    if var.path in columns.variables:
        path = {"key": f"{columns.name}/{var.path}", "components": len(columns.labels["pc"])}
    return {
        "dims": list(var.dims),
        "coords": {dim: [_plain(label) for label in columns.labels[dim]] for dim in var.dims},
        "path": path,
        "steps": next((f"{columns.name}/{steps}" for steps in _steps(columns, names)), None),
    }


def _steps(columns: Columns, names: tuple[str, ...]) -> list[str]:
    """The output that says of which steps the copies on an axis are, if there is one."""
    on_copies = "snapshot" in columns.variables[names[0]].dims
    steps = columns.variables.get(STEPS)
    return [STEPS] if on_copies and steps and steps.dims == ("snapshot",) else []


def _plain(label: Any) -> float | str:
    """A label as JSON has it: numbers stay numbers."""
    if isinstance(label, str) or not np.isscalar(label):
        return str(label)
    value = float(label)  # type: ignore[arg-type]
    return value if math.isfinite(value) else str(label)


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
    module, dims = getattr(panels, kind), DIMS[kind]
    told = {word: word for word in extras}
    sizes = [0, *[1] * (len(dims) - 1)]
    variables = {f"v{i}": {"long_name": f"v{i}", **told} for i in range(int(count))} | {word: {} for word in extras}
    ds = xarray.Dataset(
        {name: (dims, np.empty(sizes), attrs) for name, attrs in variables.items()},
        {dim: (dim, [0] * size) for dim, size in zip(dims, sizes, strict=True)},
    )
    source = ColumnDataSource({key: list(values) for key, values in module.columns(ds).items()}, name="data")
    return dict(json_item(module.figure(source, ds, scale=scale)))
