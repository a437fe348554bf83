"""Dataset in, Bokeh figure out. The panels of a variable follow from its dims, and from whether it knows of tasks.

Each panel is a module with two functions: ``columns(ds)``, the numbers drawn, and
``figure(source, ds, *, scale=None)``, the picture of them. Those of a sweep (`sweep_figure`) are found by its axes.
"""

from collections.abc import Iterable, Mapping
from types import ModuleType

from nbtoolkit.panels import (
    comparison,
    curve_family,
    curves,
    evolution,
    gap,
    heatmap,
    landscape,
    matrix,
    phase_diagram,
    profile,
    scree,
    spectrum,
    surface,
    table,
    trajectory,
    transfer_plot,
)
from nbtoolkit.panels.copies import STEPS
from nbtoolkit.panels.sweep import sweep_figure
from nbtoolkit.store.schema import Var, companions

__all__ = [
    "comparison", "curve_family", "curves", "evolution", "find", "gap", "heatmap", "landscape", "matrix",
    "phase_diagram", "pictures", "pictures_of", "profile", "scree", "spectrum", "split", "surface", "sweep_figure",
    "table", "trajectory", "transfer_plot",
]  # fmt: skip

RITZ = frozenset({"probe", "node"})
FOUND = {
    frozenset(): (curves,),
    frozenset({"group"}): (curves,),
    frozenset({"term"}): (curves,),
    frozenset({"rank"}): (curves,),
    frozenset({"radius"}): (curves,),
    frozenset({"batch_size"}): (curves,),
    frozenset({"pc"}): (curves,),
    frozenset({"fork"}): (curves,),
    frozenset({"run"}): (curves,),
    frozenset({"quantile"}): (curves,),
    frozenset({"task_evaluated"}): (curves,),
    frozenset({"task_trained"}): (heatmap,),
    frozenset({"param"}): (heatmap,),
    frozenset({"layer"}): (heatmap,),
    RITZ: (spectrum, evolution),
    frozenset({"alpha"}): (profile,),
    frozenset({"snapshot"}): (profile,),
    frozenset({"probe_step"}): (profile,),
    frozenset({"layer", "index"}): (scree,),
    frozenset({"alpha", "beta"}): (landscape, surface),
    frozenset({"snapshot", "other"}): (matrix,),
    frozenset({"layer", "layer_other"}): (matrix,),
    frozenset({"layer", "task_evaluated"}): (matrix,),
    frozenset({"task_trained", "task_evaluated"}): (matrix,),
    frozenset({"task_evaluated", "task_other"}): (matrix,),
    frozenset({"term", "term_other"}): (matrix,),
    frozenset({"snapshot", "pc"}): (trajectory,),
}


def find(dims: Iterable[str]) -> ModuleType:
    """The first panel module for variables with these dims (``step``, which all have, may be left out)."""
    return pictures(dims)[0]


def pictures(dims: Iterable[str]) -> tuple[ModuleType, ...]:
    """All panel modules for variables with these dims."""
    return FOUND.get(frozenset(dims) - {"step"}, (table,))


def pictures_of(var: Var) -> tuple[ModuleType, ...]:
    """All panel modules for a variable: what knows which task is being trained shows the gaps, all else its dims."""
    return (gap,) if var.training else pictures(var.dims)


def split(variables: Mapping[str, Var]) -> list[tuple[str, ...]]:
    """Names of an instrument's variables, one tuple for each panel, in the order declared.

    Curves and profiles with the same dims, units, scale and line share a panel; pure numbers do not, for nothing says
    that a learning rate and a momentum can be compared, but shares along principal components do; nor do curves of
    several runs, a panel of which is full. Ritz values are drawn with the weights declared after them. Every field has
    a panel of its own. What is the error, the line or the path of another variable has none, nor have the steps of
    kept copies, which label the axes of others.
    """
    alone = {name: var for name, var in variables.items() if name not in companions(variables) and name != STEPS}
    ritz = [name for name, var in alone.items() if frozenset(var.dims) == RITZ]
    panels: dict[tuple, list[str]] = {}
    for name, var in alone.items():
        key = (var.dims, var.units, var.scale, var.line, None if _is_shared(var) else name)
        if name in ritz:
            key = ("ritz", ritz.index(name) // 2)
        panels.setdefault(key, []).append(name)
    return [tuple(names) for names in panels.values()]


def _is_shared(var: Var) -> bool:
    if var.training or var.dims == ("run",):
        return False
    comparable = var.units != "1" or var.dims == ("pc",)
    return find(var.dims) is table or (find(var.dims) in (curves, profile) and comparable)
