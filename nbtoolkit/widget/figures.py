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
from nbtoolkit.analysis.overlay import Overlaid, block
from nbtoolkit.panels.copies import STEPS
from nbtoolkit.panels.look import colour, unit_label
from nbtoolkit.store.columns import Columns, Record
from nbtoolkit.store.schema import COMPANIONS, SCALES
from nbtoolkit.widget.choice import ON_A_GRID, TOLD, WHOLE, Panel, all_panels, first_panels, known, name_of

SECOND = {panels.evolution: " over steps", panels.surface: ", as a surface"}  # views: what their titles add
SEVERAL = (panels.curves, panels.profile)  # with a line for each variable
FORMS = {  # where not every scale makes sense
    panels.table: SCALES[:1],
    panels.evolution: SCALES[1:],
    panels.trajectory: SCALES[:1],
    panels.gap: SCALES[:1],
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
    "diverging": ("step", "term", "term_other"),
    "gap": ("step", "task_evaluated"),
    "scree": ("step", "layer", "index"),
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
    return getattr(record, "generation", 0), *(
        (name, tuple(columns.variables), tuple(tuple(labels) for labels in columns.labels.values()), known(columns))
        for name, columns in list(record.groups.items())
    )


def part(columns: Columns, names: tuple[str, ...]) -> xarray.Dataset:
    """The Dataset of one panel: its variables, what belongs to them, and the steps of kept copies."""
    return columns.pictured(_with_companions(columns, names))


def _with_companions(columns: Columns, names: tuple[str, ...]) -> list[str]:
    variables = [columns.variables[name] for name in names]
    told = [getattr(var, word) for var in variables for word in COMPANIONS]
    others = [other for other in [*told, *_steps(columns, names)] if other in columns.variables]
    return list(dict.fromkeys([*names, *others]))


def title(panel: Panel) -> str:
    """The quantities of a panel in words."""
    columns, module, names = panel
    first = columns.variables[names[0]].long_name
    if module in SECOND:
        return first + SECOND[module]
    if module is panels.spectrum:
        return first
    return " · ".join(dict.fromkeys(columns.variables[name].long_name for name in names))


def panel_id(panel: Panel) -> str:
    """What a panel is called among those of its run."""
    columns, module, names = panel
    return f"{columns.name}/{names[0]}" + (f"/{name_of(module)}" if module in SECOND else "")


def _panel(columns: Columns, module: ModuleType, names: tuple[str, ...]) -> dict[str, Any]:
    kind, var = name_of(module), columns.variables[names[0]]
    sizes = [len(columns.labels[dim]) for dim in var.dims]
    ds = columns.words()[_with_companions(columns, names)]
    places = range(math.prod(sizes))[: 1 if module in WHOLE else None]
    lines = [_line(columns, name, place) for name in names for place in places]
    for i, (line, label) in enumerate(zip(lines, module.names(ds) if lines else [], strict=True)):
        line |= {"label": label, "color": colour(i)}
    ends = panels.matrix.ends_of(ds[names[0]]) if module is panels.matrix else None
    extras = _extras(module, lines, ends)
    scales = SCALES[:1] if ends else FORMS.get(module, SCALES)
    count = max(1, len(lines)) if module in SEVERAL else 1
    definition = [str(columns.attrs.get("definition", "")).strip(), getattr(module, "NOTE", "")]
    return {
        "id": panel_id((columns, module, names)),
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
        **({"ends": ends} if ends else {}),
        **({"colors": [panels.scree.ink(i, sizes[0]) for i in range(sizes[0])]} if module is panels.scree else {}),
        **_training(columns, module, names[0]),
        "lines": lines,
        "forms": {scale: "-".join([kind, str(count), scale, *extras]) for scale in scales},
    }


def _training(columns: Columns, module: ModuleType, name: str) -> dict[str, str]:
    """Where it is told which task is being trained, for what depends on it or is it."""
    if module is panels.gap:
        return {"training": f"{columns.name}/{columns.variables[name].training}"}
    return {"training": f"{columns.name}/{name}"} if columns.attrs.get("reference") == TOLD else {}


def _extras(module: ModuleType, lines: list[dict[str, Any]], ends: tuple[float, float] | None) -> list[str]:
    """What figures of a kind differ in, besides their curves and scale."""
    if module is panels.gap:
        return ["training"]
    if ends and ends[0] < 0:
        return ["diverging"]
    drawn = ("error", "line") if module is panels.curves else ()
    return [word for word in drawn if any(line[word] is not None for line in lines)]


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
    return {**_place(columns, name, place), "error": _place(columns, var.error, place) if error else None, "line": line}


def _place(columns: Columns, name: str, place: int) -> dict[str, Any]:
    """Where a browser finds one value of the rows of a variable; in an overlay each has rows of its own."""
    if isinstance(columns, Overlaid):
        return {"key": f"{block(columns.name, place)}/{name}", "column": 0}
    return {"key": f"{columns.name}/{name}", "column": place}


@cache
def _document(form: str) -> dict[str, Any]:
    """A figure without data. Panels of one form share it: building one takes 50 ms, and words come separately."""
    kind, count, scale, *extras = form.split("-")
    module, dims = getattr(panels, kind), DIMS["diverging" if "diverging" in extras else kind]
    told = {word: word for word in extras if word in COMPANIONS}
    sizes = [0, *[1] * (len(dims) - 1)]
    variables = {f"v{i}": {"long_name": f"v{i}", "units": "1", **told} for i in range(int(count))}
    variables |= {word: {} for word in told}
    ds = xarray.Dataset(
        {name: (dims, np.empty(sizes), attrs) for name, attrs in variables.items()},
        {dim: (dim, [0] * size) for dim, size in zip(dims, sizes, strict=True)},
    )
    source = ColumnDataSource({key: list(values) for key, values in module.columns(ds).items()}, name="data")
    return dict(json_item(module.figure(source, ds, scale=scale)))
