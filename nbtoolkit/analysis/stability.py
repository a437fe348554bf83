"""Stability lines of a recorded run, at every step at which its learning rate is known."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbtoolkit.numerics import stability

if TYPE_CHECKING:
    import xarray

__all__ = ["stability_lines"]


def stability_lines(data: "xarray.DataTree") -> "xarray.Dataset":
    """Edge of stability of the plain and of the preconditioned Hessian, and the trace line, over the steps of ``lr``.

    ``edge`` is 2/lr for gradient descent and (2 + 2b)/lr with momentum b; ``preconditioned_edge`` the same, and
    (2 + 2 b1)/((1 - b1) lr) for Adam and AdamW; ``trace_edge`` 2/lr for plain SGD. A schedule moves them. NaN where
    there is no one line. Nesterov's momentum, dampening and weight decay are not in the record of ``lr``; with them
    the lines recorded beside `sharpness` and `preconditioned_sharpness` are the right ones.

    Args:
        data: a run's DataTree (``run.data``) with the group ``lr``.

    Raises:
        KeyError: the learning rate was not recorded.
    """
    import xarray

    if "lr" not in data.children:
        raise KeyError(f"stability_lines needs the group 'lr'; this run has: {', '.join(data.children) or 'nothing'}")
    recorded = data["lr"].to_dataset()
    kind = str(data.attrs.get("optimizer", ""))
    rates = recorded["lr"].values
    momenta = np.nan_to_num(recorded["momentum"].values)
    rules: dict[str, tuple[str, Callable[[str, Sequence[Any]], float]]] = {
        "edge": ("edge of stability", stability.edge),
        "preconditioned_edge": ("edge of stability of the preconditioned Hessian", stability.preconditioned_edge),
        "trace_edge": ("stability line of SGD with batches of one", stability.trace_edge),
    }
    lines: dict[str, Any] = {}
    for name, (title, rule) in rules.items():
        known: dict[bytes, float] = {}  # schedules hold their values for long
        values = []
        for lr, momentum in zip(rates, momenta, strict=True):
            key = lr.tobytes() + momentum.tobytes()
            if key not in known:
                known[key] = rule(kind, _groups(lr, momentum)) if np.isfinite(lr).all() and len(lr) else np.nan
            values.append(known[key])
        lines[name] = ("step", np.array(values), {"long_name": title, "units": "loss/param^2"})
    return xarray.Dataset(lines, {"step": recorded["step"]}, {"optimizer": kind})


def _groups(rates: np.ndarray, momenta: np.ndarray) -> list[dict[str, Any]]:
    return [
        {"lr": lr, "momentum": momentum, "betas": (momentum, 0.0)}
        for lr, momentum in zip(rates.tolist(), momenta.tolist(), strict=True)
    ]
