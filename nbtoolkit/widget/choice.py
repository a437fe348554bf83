"""Which panels a run has, and which of them are open at first."""

import difflib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from nbtoolkit import instruments, panels
from nbtoolkit.errors import LandscapeError
from nbtoolkit.panels.look import PALETTE
from nbtoolkit.store.columns import Columns, Record

LOGGED, TOLD = "run.log", "run.begin_task"  # the references of values the user logs, and of boundaries
Panel = tuple[Columns, ModuleType, tuple[str, ...]]

# Panels open at first, of each kind; where there are too many, the first kinds have precedence.
FIRST = (
    ("curves", 1), ("gap", 1), ("stream", 1), ("landscape", 1), ("asked", 8), ("line", 2), ("spectrum", 1),
    ("evolution", 1), ("profile", 1), ("matrix", 1), ("trajectory", 1), ("own", 1), ("curves", 3), ("field", 2),
    ("scree", 1), ("copies", 1),
)  # fmt: skip
# What a group that was asked for is shown by first.
WITHIN = (
    "gap", "stream", "landscape", "line", "spectrum", "evolution", "profile", "copies", "matrix", "trajectory",
    "curves", "field", "scree",
)  # fmt: skip
MOST = 8
CLOSED = (panels.surface,)  # at first: a second view of what another panel shows
ON_A_GRID = (panels.landscape, panels.surface, panels.profile, panels.matrix, panels.trajectory, panels.scree)
WHOLE = (panels.spectrum, panels.evolution, *ON_A_GRID)  # one picture of all values, not a curve or a row for each


def all_panels(record: Record) -> list[Panel]:
    """Group, module and variables of every panel declared so far.

    After those of the first group come gaps and matrix of a stream of tasks, then what was asked for by name.
    """
    every = [
        (columns, _suited(module, columns, names), names)
        for columns in list(record.groups.values())
        for names in panels.split(columns.variables)
        for module in panels.pictures_of(columns.variables[names[0]])
    ]
    return sorted(every, key=lambda panel: 0 if panel[0] is every[0][0] else _rank(panel))


def _suited(module: ModuleType, columns: Columns, names: tuple[str, ...]) -> ModuleType:
    """A field in place of more curves of tasks than there are colours."""
    of_tasks = columns.variables[names[0]].dims == ("task_evaluated",) and len(names) == 1
    many = of_tasks and len(columns.labels["task_evaluated"]) > len(PALETTE)
    return panels.heatmap if many and module is panels.curves else module


def _rank(panel: Panel) -> int:
    columns, module, names = panel
    if module is panels.gap:
        return 1
    if columns.variables[names[0]].dims == panels.matrix.TASKS:
        return 2
    return 3 if _is_asked(columns) else 4


def _is_asked(columns: Columns) -> bool:
    """Whether a group is of an instrument that the user named: neither measured unasked, nor a logged value."""
    always = {item.name for item in (*instruments.default(), *instruments.of_tasks())}
    return columns.name not in always and columns.attrs.get("reference") not in (LOGGED, TOLD)


def first_panels(every: list[Panel], names: Sequence[str] | None = None) -> list[Panel]:
    """The panels open at first.

    Those of the groups named, and of a slice among them its pictures without its numbers, but the first also as a
    surface. Else at most eight: the first curves, accuracy by task, a landscape, the best panel of each instrument
    that the user asked for, in their order. Then, as far as there is room: what is read against a line of two
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
    kinds["asked"] = best_panels([panel for panel in firsts.values() if _is_asked(panel[0])])
    more = 0 if "own" in kinds else 1
    chosen: list[Panel] = []
    for kind, count in FIRST:
        found = kinds.get(kind, [])[: count + (more if kind == "curves" and count > 1 else 0)]
        if kind == "asked":
            found = [panel for panel in found if panel[0] not in [columns for columns, _, _ in chosen]]
        chosen += [panel for panel in found if panel not in chosen]
    return [panel for panel in every if panel in chosen[:MOST]]


def best_panels(every: list[Panel]) -> list[Panel]:
    """One panel of each group."""
    best: dict[str, Panel] = {}
    for panel in sorted((one for one in every if _kind(one) in WITHIN), key=lambda one: WITHIN.index(_kind(one))):
        best.setdefault(panel[0].name, panel)
    return [panel for panel in every if panel is best.get(panel[0].name)]


def named_groups(run: Any, names: Sequence[str]) -> list[str]:
    """The groups of a run's record called so.

    Raises:
        LandscapeError: there is none of a name.
    """
    known, wanted = list(run.record.groups), [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in known:
            raise LandscapeError(nothing_called(run, name, known))
    return [name for name in known if name in wanted]


def nothing_called(run: Any, name: Any, groups: Sequence[str], words: Sequence[str] = ()) -> str:
    """That a run has nothing of a name, what it has, and the nearest of its groups and other words."""
    near = difflib.get_close_matches(str(name), [*groups, *words], 1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"run {run.name!r} has no {name!r}; {guess}It has: {', '.join(groups) or 'nothing'}."


def _named(every: list[Panel]) -> list[Panel]:
    sliced = {panel[0].name for panel in every if panel[1] is panels.landscape}
    surfaces = [panel for panel in every if panel[1] in CLOSED]
    second = [panel for panel in surfaces if panel[2] != surfaces[0][2]]
    return [
        panel
        for panel in every
        if panel not in second and (panel[0].name not in sliced or panel[1] is not panels.curves)
    ]


def known(columns: Columns) -> tuple[str, ...]:
    """The variables on a grid that were measured at any step."""
    on_grid = [name for name, var in columns.variables.items() if panels.pictures_of(var)[0] in ON_A_GRID]
    if not on_grid or not len(columns):
        return ()
    return tuple(name for name in on_grid if columns.holds(name))


def _has_values(panel: Panel) -> bool:
    """Whether something on a grid was measured, or may be while it has no row yet; all else is shown at once."""
    columns, module, names = panel
    if module not in ON_A_GRID:
        return True
    if not len(columns):
        return "alpha" in columns.variables[names[0]].dims
    return not set(names).isdisjoint(known(columns))


def has_labels(panel: Panel) -> bool:
    """Whether there is anything to show: labels of some dims come with the first measurement."""
    columns, _, names = panel
    return all(columns.labels[dim] for dim in columns.variables[names[0]].dims)


def _is_beside_a_matrix(panel: Panel) -> bool:
    columns, _, names = panel
    of_tasks = any(var.dims == panels.matrix.TASKS for var in columns.variables.values())
    return of_tasks and columns.variables[names[0]].dims == ("task_evaluated",)


def name_of(module: ModuleType) -> str:
    """The kind of a panel."""
    return module.__name__.rsplit(".", 1)[1]


def _kind(panel: Panel) -> str:
    columns, module, names = panel
    dims = columns.variables[names[0]].dims
    if dims == ("task_trained",) or _is_beside_a_matrix(panel):
        return "tasks"  # what gaps and matrices show better
    if dims == panels.matrix.TASKS:
        return "stream"
    if module is panels.heatmap:
        return "field"
    if module is panels.profile and "snapshot" in dims:
        return "copies"
    if module in WHOLE or module is panels.gap:
        return name_of(module)
    if columns.attrs.get("reference") == LOGGED:
        return "own"
    return "curves" if columns.variables[names[0]].line == "" else "line"
