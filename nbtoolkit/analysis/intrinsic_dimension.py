"""The smallest random subspace in which a model trains nearly as well as in all of its parameters."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray

__all__ = ["objective_intrinsic_dim"]

UNITS = {"units": "1"}
ROUNDING = 1e-12
NEVER = "no subspace that was tried reaches {share:g} of the full accuracy {full:.4g}; try larger ones"
NO_SEED = "in no seed does a subspace reach the threshold"


def objective_intrinsic_dim(ds: "xarray.Dataset", *, share: float = 0.9) -> "xarray.Dataset":
    """Objective intrinsic dimension: the least d with mean accuracy of at least ``share`` of that of the full model.

    The threshold lies between ``below``, the largest d tried beneath ``intrinsic_dim`` (0 if there is none), and it.
    ``lowest`` and ``highest`` are the extremes over seeds, each seed's accuracies against the same threshold;
    ``highest`` is NaN where a seed never reaches it. ``reached`` counts the seeds that do.

    Args:
        ds: ``accuracy`` with the dims ``d`` (dimensions of the subspaces) and ``seed``, and ``full_accuracy``, of the
            model with all its parameters, with the dim ``seed`` or none.
        share: of the full accuracy; 0.9 gives d_int90.

    Returns:
        ``intrinsic_dim, below, lowest, highest, reached``, ``threshold``, and over d ``mean_accuracy`` with its
        ``standard_error``. What cannot be said is NaN, with ``not_measured`` in its attributes.

    Raises:
        ValueError: the variables or dims are missing, or the share is not between 0 and 1.

    Source: Li et al. (2018), arXiv:1804.08838, section 2 and, on 0.9, section 2.2.
    """
    import xarray

    if not 0 < share <= 1:
        raise ValueError(f"share={share}: expected a number above 0, at most 1")
    missing = [name for name in ("accuracy", "full_accuracy") if name not in ds]
    if missing or set(ds["accuracy"].dims) != {"d", "seed"}:
        raise ValueError(
            "objective_intrinsic_dim needs accuracy with the dims d and seed, and full_accuracy; this has "
            + (", ".join(f"{name} {var.dims}" for name, var in ds.data_vars.items()) or "nothing")
        )
    runs = ds["accuracy"].sortby("d").transpose("d", "seed")
    full = float(ds["full_accuracy"].mean())
    threshold, seeds = share * full, runs.sizes["seed"]
    mean = runs.mean("seed")
    error = runs.std("seed", ddof=1) / seeds**0.5 if seeds > 1 else mean * np.nan
    dims = runs["d"].values.astype(float)
    first, before = _least(dims, mean.values >= threshold - ROUNDING)
    each = np.array([_least(dims, own >= threshold - ROUNDING)[0] for own in runs.values.T])
    known = each[np.isfinite(each)]
    never = {} if np.isfinite(first) else {"not_measured": NEVER.format(share=share, full=full)}
    none = {} if len(known) else {"not_measured": NO_SEED}
    some = none or ({} if len(known) == seeds else {"not_measured": f"{seeds - len(known)} of {seeds} seeds never do"})
    name = f"intrinsic dimension at {share:g} of the full accuracy"
    return xarray.Dataset(
        {
            "intrinsic_dim": ((), first, {"long_name": name, **UNITS, **never}),
            "below": ((), before, {"long_name": "largest dimension tried that is too small", **UNITS, **never}),
            "lowest": ((), min(known, default=np.nan), {"long_name": f"{name}, lowest seed", **UNITS, **none}),
            "highest": (
                (), max(known) if len(known) == seeds else np.nan,
                {"long_name": f"{name}, highest seed", **UNITS, **some},
            ),
            "reached": ((), len(known), {"long_name": "seeds that reach the threshold", **UNITS}),
            "threshold": ((), threshold, {"long_name": "accuracy to be reached", **UNITS}),
            "mean_accuracy": ("d", mean.values, {"long_name": "accuracy, mean over seeds", **UNITS}),
            "standard_error": ("d", error.values, {"long_name": "standard error of the mean accuracy", **UNITS}),
        },
        {"d": ("d", runs["d"].values, {"long_name": "dimensions of the subspace", **UNITS})},
        {"share": share, "full_accuracy": full},
    )  # fmt: skip


def _least(dims: np.ndarray, enough: np.ndarray) -> tuple[float, float]:
    """The first of increasing dims that is enough, and the one before it; NaN where none is."""
    if not enough.any():
        return np.nan, np.nan
    place = int(np.argmax(enough))
    return dims[place], dims[place - 1] if place else 0.0
