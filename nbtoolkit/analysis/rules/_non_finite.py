"""NaN and infinity: at which step they began, and where."""

from collections.abc import Iterator

import numpy as np

from nbtoolkit.analysis.recorded import Group, Recorded
from nbtoolkit.analysis.rule import Sign, rule
from nbtoolkit.analysis.rules._words import words

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
ORDERS = 1000.0  # by which losses had grown when they diverged
DIVERGED = "Lower the learning rate or warm it up, clip the gradient, and go back to a state from before the loss rose."


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
    gradients are finite, NaN arose on the way back, between the layers that have finite ones and the others. An
    infinite norm says that it overflows: the entries may be finite. Where the losses before it had grown a
    thousandfold it says that this is divergence. What is finite again in the last row is a warning.
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
    variable, told = PLACES[name]
    group = data.groups[name]
    then = [f"{PLACES[other][1].split()[-2]} {_at(data.groups[other], first)}" for first, other, _ in seen[1:]]
    recovers = all(_is_finite_now(data.groups[other], PLACES[other][0]) for _, other, _ in seen)
    overflows = group.values[variable].ndim == 2 and not _has_nan(group, variable, row)
    place = ", but finite again later" if recovers else _where(group, variable, row, arose=not overflows)
    what = f"the norm of {told.split()[0]} overflows" if overflows else f"{told} not finite"
    large = ": entries are infinite, or too large for its 32 bits" if overflows else ""
    grown = "" if recovers else _diverged(data, step)
    yield Sign(
        step, what + place + large + (f": the {words(data).name} diverges" if grown else ""),
        f"first {_at(group, step).removeprefix('first ')}: {_told(group, variable, row)}"
        + "".join(f"; {text}" for text in (*then, grown) if text),
        group=name, severity="warn" if recovers else "", advice=DIVERGED if grown else "",
    )  # fmt: skip


def _at(group: Group, step: int) -> str:
    """A step, and of what is not measured in each of them that it was only seen there."""
    gaps = np.diff(group.steps[-BEFORE:])
    every = int(np.median(gaps)) if len(gaps) else 1
    return f"first seen at step {step} (measured every {every})" if every > 1 else f"at step {step}"


def _has_nan(group: Group, variable: str, row: int) -> bool:
    """Whether a parameter that had a value before has none now, other than infinity."""
    names, values = set(_names(group, variable, row)), group.values[variable][row]
    every = [str(name) for name in group.labels.get("param", ())]
    return any(name in names and np.isnan(value) for name, value in zip(every, values, strict=False))


def _diverged(data: Recorded, step: int) -> str:
    """The losses before, where they had grown by orders; "" where they had not."""
    steps, loss = data.task_loss
    loss = loss[: int(np.searchsorted(steps, step))]
    scale = float(max(abs(loss[0]), abs(loss.min()))) if len(loss) else 0.0
    if not 0 < ORDERS * scale < np.median(loss[-2:]):
        return ""
    say = words(data)
    return f"the {say.name} had grown from {say.sign * loss[0]:.3g} to {say.sign * loss[-1]:.3g} before"


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


def _where(group: Group, variable: str, row: int, *, arose: bool) -> str:
    if group.values[variable].ndim == 1:
        return ""
    names, every = _names(group, variable, row), [str(name) for name in group.labels.get("param", ())]
    finite = [name for name, value in zip(every, group.values[variable][row], strict=False) if np.isfinite(value)]
    if not names or not finite:
        return " in any layer"
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    if variable != "grad_norm" or not arose:
        return f" in {shown}"
    return f" in {shown}, but finite in {finite[0]}: it arose on the way back, in between"


def _told(group: Group, variable: str, row: int) -> str:
    values = group.values[variable]
    if values.ndim == 1:
        before = f", {values[row - 1]:.3g} at step {group.steps[row - 1]}" if row else ""
        return f"{values[row]:.3g}{before}"
    return f"{int((~np.isfinite(values[row])).sum())} of {values.shape[1]} parameter tensors"
