"""Whether one ranking of a sweep's points holds along another of its axes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from nbtoolkit.analysis.grids import SEEDS, chosen, over_seeds, with_axes

if TYPE_CHECKING:
    import xarray

__all__ = ["rank_agreement"]

SOURCE = "Kendall (1945), The treatment of ties in ranking problems, Biometrika 33(3)"


def rank_agreement(
    data: Any, along: str = "width", *, variable: str | None = None, seeds: str = SEEDS
) -> "xarray.Dataset":  # fmt: skip
    """Kendall's tau-b between the rankings that two slices of a sweep give of the points on its other axes.

    ``tau = (C - D) / sqrt((n - T) (n - U))`` over the n pairs of points known in both slices: C are ranked alike and D
    the other way round, T are tied in the one and U in the other. 1: what is better at a small width, on one stream of
    tasks or with one optimizer is so at the other; -1: it is the worse; 0: one tells nothing about the other. Infinite
    values are the largest, tied with each other; a point that is NaN in one of the two slices is left out. NaN
    where fewer than two points are known in both, or all are tied in one.

    Args:
        data: of a sweep.
        along: the axis whose slices are compared.
        variable: its name; may be left out where there is one only.
        seeds: the axis of repetitions, of which the mean is taken.

    Returns:
        ``tau`` and ``known``, the number of points known in both, over ``along`` and ``{along}_other``.

    Raises:
        ValueError: there is no such variable or axis, it has no other axis, or the variable is a curve over steps.

    Source: Kendall (1945), The treatment of ties in ranking problems, Biometrika 33(3).
    """
    import xarray

    values = with_axes(chosen(data, variable, "rank_agreement()"), {"along": along}, "rank_agreement()")
    values = over_seeds(values, seeds if along != seeds else "")
    others = [dim for dim in values.dims if dim != along]
    if not others:
        raise ValueError(
            f"rank_agreement() got {values.name!r} with no axis besides {along!r}; it ranks the points on the others."
        )
    slices = values.transpose(along, *others).values.reshape(values.sizes[along], -1)
    found = np.array([[_tau(one, other) for other in slices] for one in slices]).reshape(len(slices), len(slices), 2)
    dims, labels = (along, f"{along}_other"), values[along].values
    told = {"long_name": f"agreement of rankings along {along}", "units": "1", "reference": SOURCE}
    return xarray.Dataset(
        {
            "tau": (dims, found[..., 0], told),
            "known": (dims, found[..., 1].astype(int), {"long_name": "points known in both", "units": "1"}),
        },
        {dim: (dim, labels, values[along].attrs) for dim in dims},
    )


def _tau(one: np.ndarray, other: np.ndarray) -> tuple[float, int]:
    """Kendall's tau-b and the number of points."""
    from scipy import stats  # slow to load

    both = ~np.isnan(one) & ~np.isnan(other)
    count = int(both.sum())
    pair = [np.unique(values[both], return_inverse=True)[1] for values in (one, other)]  # infinite ones have ranks too
    if count < 2 or any(ranks.max() == 0 for ranks in pair):
        return np.nan, count
    found: Any = stats.kendalltau(*pair)
    return float(found.statistic), count
