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

FIRST = {"curves": 3, "field": 2, "own": 1}  # panels open at first, of each kind


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
        (columns, panels.find(columns.variables[names[0]].dims), names)
        for columns in list(record.groups.values())
        for names in panels.split(columns.variables)
    ]


def first_panels(every: list[Panel], names: Sequence[str] | None = None) -> list[Panel]:
    """The panels open at first.

    Those of the groups named, else of three instruments the curves, of two the field, and one thing that the user
    logs or, without that, the curves of a fourth.
    """
    if names:
        return [panel for panel in every if panel[0].name in names]
    firsts: dict[tuple, Panel] = {}
    for panel in every:
        firsts.setdefault((panel[0].name, panel[1] is panels.heatmap), panel)
    kinds = {_kind(panel) for panel in firsts.values()}
    counts = FIRST if "own" in kinds else {**FIRST, "curves": FIRST["curves"] + FIRST["own"]}
    chosen = [
        panel for kind, count in counts.items() for panel in [p for p in firsts.values() if _kind(p) == kind][:count]
    ]
    return [panel for panel in every if panel in chosen]


def has_labels(panel: Panel) -> bool:
    """Whether there is anything to show: labels of some dims come with the first measurement."""
    columns, _, names = panel
    return all(columns.labels[dim] for dim in columns.variables[names[0]].dims)


def part(columns: Columns, names: tuple[str, ...]) -> xarray.Dataset:
    """The Dataset of one panel."""
    return columns.dataset()[list(names)]


def title(columns: Columns, names: tuple[str, ...]) -> str:
    """The quantities of a panel in words."""
    return " · ".join(dict.fromkeys(columns.variables[name].long_name for name in names))


def _kind(panel: Panel) -> str:
    columns, module, _ = panel
    if module is panels.heatmap:
        return "field"
    return "own" if columns.attrs.get("reference") == LOGGED else "curves"


def _panel(columns: Columns, module: ModuleType, names: tuple[str, ...]) -> dict[str, Any]:
    kind = module.__name__.rsplit(".", 1)[1]
    # No rows are needed for the words.
    ds = part(columns, names).isel(step=slice(0, 0))
    var = columns.variables[names[0]]
    width = math.prod(len(columns.labels[dim]) for dim in var.dims)
    places = [(f"{columns.name}/{name}", place) for name in names for place in range(width)]
    lines = [
        {"key": key, "column": place, "label": label, "color": colour(i)}
        for i, ((key, place), label) in enumerate(zip(places, module.names(ds), strict=True))
    ]
    count = max(1, len(lines)) if kind == "curves" else 1
    return {
        "id": f"{columns.name}/{names[0]}",
        "group": columns.name,
        "kind": kind,
        "title": title(columns, names),
        "units": unit_label(var.attrs()),
        "definition": str(columns.attrs.get("definition", "")).strip(),
        "reference": str(columns.attrs.get("reference", "")),
        "scale": var.scale,
        "smooth": kind == "curves" and panels.curves.is_smoothed(ds, names[0]),
        "lines": lines,
        "forms": {scale: f"{kind}-{count}-{scale}" for scale in (SCALES if kind != "table" else SCALES[:1])},
    }


@cache
def _document(form: str) -> dict[str, Any]:
    """A figure without data. Panels of one form share it: building one takes 50 ms, and words come separately."""
    kind, count, scale = form.split("-")
    module = {"curves": panels.curves, "heatmap": panels.heatmap, "table": panels.table}[kind]
    dims = {"curves": ("step",), "heatmap": ("step", "param"), "table": ("step", "bin")}[kind]
    sizes = [0, *[1] * (len(dims) - 1)]
    ds = xarray.Dataset(
        {f"v{i}": (dims, np.empty(sizes), {"long_name": f"v{i}"}) for i in range(int(count))},
        {dim: (dim, [0] * size) for dim, size in zip(dims, sizes, strict=True)},
    )
    source = ColumnDataSource({key: list(values) for key, values in module.columns(ds).items()}, name="data")
    return dict(json_item(module.figure(source, ds, scale=scale)))
