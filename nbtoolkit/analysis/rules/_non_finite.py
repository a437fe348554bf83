"""NaN and infinity: at which step they began, and where."""

from collections.abc import Iterator

import numpy as np

from nbtoolkit.analysis.recorded import Group, Recorded
from nbtoolkit.analysis.rule import Sign, rule

# In the order in which one step goes through them.
PLACES = {
    "loss": ("loss", "the loss is"),
    "grad_norm": ("grad_norm", "gradients are"),
    "update_ratio": ("update_norm", "updates are"),
    "weight_norm": ("weight_norm", "parameters are"),
}
TOLD = "first_non_finite_step"  # by capture; a NaN of which it tells nothing is one that was not measured
SHOWN = 4  # names
BEFORE = 100  # rows in which a parameter must have had a value


@rule(
    "not finite",
    severity="alarm",
    needs=(tuple(PLACES),),
    reference="Micikevicius et al. (2018), arXiv:1710.03740, section 3 (overflow in half precision); IEEE 754-2019, "
    "section 6.2 (how NaN goes on)",
    advice="Go back to a state from before this step; look for log, sqrt or a division of 0 or less at this place "
    "(torch.autograd.set_detect_anomaly names the operation), and for overflow in half precision.",
)
def non_finite(data: Recorded) -> Iterator[Sign]:
    """A loss, gradient, update or parameter is NaN or infinite; the first of them, in the order of one step.

    Within a step the loss comes first, then gradients, updates, parameters (those of the next step). Where some
    gradients are finite, NaN arose on the way back, between the layers that have finite ones and the others. What is
    finite again in the last row is a warning.
    """
    seen = [
        (int(group.steps[row]), name, row)
        for name, (variable, _) in PLACES.items()
        if (group := data.groups.get(name)) is not None and (row := _first(group, variable)) is not None
    ]
    if not seen:
        return
    seen.sort(key=lambda one: one[0])  # stable: of equal steps the order above
    step, name, row = seen[0]
    variable, words = PLACES[name]
    group = data.groups[name]
    then = [f"{PLACES[other][1].split()[-2]} at step {first}" for first, other, _ in seen[1:]]
    recovers = all(_is_finite_now(data.groups[other], PLACES[other][0]) for _, other, _ in seen)
    yield Sign(
        step, f"{words} not finite" + (", but finite again later" if recovers else _where(group, variable, row)),
        f"first at step {step}: {_told(group, variable, row)}" + "".join(f"; {text}" for text in then),
        group=name, severity="warn" if recovers else "",
    )  # fmt: skip


def _first(group: Group, variable: str) -> int | None:
    """The first row with a value that was measured and is not finite."""
    values = group.rows(variable, *(() if variable == "loss" else ("param",)))
    if values is None:
        return None
    if TOLD in group.attrs:
        row = int(np.searchsorted(group.steps, group.attrs[TOLD]))
        return row if row < len(values) and not np.isfinite(values[row]).all() else None
    if values.ndim == 1:
        wrong = np.isinf(values) if variable in group.holes else ~np.isfinite(values)
    elif np.isinf(values[-1]).any():
        wrong = np.isinf(values).any(axis=1)
    else:
        return None
    return int(np.argmax(wrong)) if wrong.any() else None


def _is_finite_now(group: Group, variable: str) -> bool:
    """Whether the last row is, of those parameters that had a value before."""
    values = group.values[variable]
    return bool(np.isfinite(values[-1])) if values.ndim == 1 else not _names(group, variable, len(values) - 1)


def _names(group: Group, variable: str, row: int) -> list[str]:
    """Parameters that are not finite in a row, but for those without a value at all."""
    values = group.values[variable]
    wrong = ~np.isfinite(values[row])
    earlier = np.isfinite(values[max(0, row - BEFORE) : row]).any(axis=0)
    if TOLD in group.attrs and row:
        told = int(np.searchsorted(group.steps, group.attrs[TOLD]))
        earlier |= np.isfinite(values[max(0, told - BEFORE) : told]).any(axis=0)
        wrong &= earlier | np.isinf(values[row])
    return [str(name) for name, bad in zip(group.labels.get("param", ()), wrong, strict=False) if bad]


def _where(group: Group, variable: str, row: int) -> str:
    if group.values[variable].ndim == 1:
        return ""
    names, every = _names(group, variable, row), [str(name) for name in group.labels.get("param", ())]
    finite = [name for name, value in zip(every, group.values[variable][row], strict=False) if np.isfinite(value)]
    if not names or not finite:
        return " in any layer"
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    if variable != "grad_norm":
        return f" in {shown}"
    return f" in {shown}, but finite in {finite[0]}: it arose on the way back, in between"


def _told(group: Group, variable: str, row: int) -> str:
    values = group.values[variable]
    if values.ndim == 1:
        before = f", {values[row - 1]:.3g} at step {group.steps[row - 1]}" if row else ""
        return f"{values[row]:.3g}{before}"
    return f"{int((~np.isfinite(values[row])).sum())} of {values.shape[1]} parameter tensors"
