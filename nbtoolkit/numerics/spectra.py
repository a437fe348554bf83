"""What Ritz values tell of a spectrum: which of them are outliers.

A measurement is two arrays ``(probe, node)``: the Ritz values of each random probe vector and their weights, which
sum to 1 for each probe; NaN where a probe broke down early.
"""

import numpy as np

__all__ = ["outlier_values", "outliers"]

NODES = 10  # Ritz values below which nothing is known of where a bulk ends
GAP = 1.5  # an outlier is so many times as far from the centre as what follows it
SHARE = 0.1  # of the spectrum that outliers may hold together
SPREAD = 1e-3  # between probes, relative to the distance from the centre: the Ritz value has converged


def outliers(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Which Ritz values are isolated eigenvalues outside the bulk of the spectrum, on either side of it.

    Take the j-th largest Ritz value of every probe, for j = 1, 2 ...; their median over the probes is the j-th largest
    eigenvalue, and d_j its distance from the centre, the median of the spectrum. The first j are outliers where

    - each of them has converged: the probes agree, their quartiles lie within 1e-3 d apart;
    - a gap follows: d_j >= 1.5 d_(j+1);
    - together they hold at most a tenth of the spectrum;

    for the largest such j. The smallest Ritz values are judged in the same way. Neighbours in a bulk fail the
    second rule, and what varies with the probe, as Ritz values inside a bulk do, fails the first. A single probe
    agrees with itself, so that only the gap counts. Fewer than ten nodes tell nothing: no outliers.

    Args:
        values: Ritz values ``(probe, node)``.
        weights: their weights, of the same shape.

    Returns:
        A mask of the same shape; the median over probes of its sums along ``node`` is the number of outliers.
    """
    kept = np.isfinite(values) & np.isfinite(weights)
    mask = np.zeros(values.shape, bool)
    if kept.any():
        for side in (1.0, -1.0):
            above = _edge(side * values, weights, kept)
            mask |= kept & (side * np.where(kept, values, 0.0) > above)
    return mask


def outlier_values(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The outlying eigenvalues in ascending order: of each rank, on each side, the median over the probes.

    Args:
        values: Ritz values ``(probe, node)``.
        mask: as `outliers` gives it.
    """
    if not mask.any():
        return np.empty(0)
    centre = np.median(values[np.isfinite(values) & ~mask])
    found: list[float] = []
    for side in (1.0, -1.0):
        beyond = [
            np.sort(side * row[chosen & (side * row > side * centre)])[::-1]
            for row, chosen in zip(values, mask, strict=True)
            if np.isfinite(row).any()
        ]
        count = int(np.median([len(row) for row in beyond]))
        found += [side * float(np.median([row[j] for row in beyond if len(row) > j])) for j in range(count)]
    return np.sort(found)


def _edge(values: np.ndarray, weights: np.ndarray, kept: np.ndarray) -> float:
    """The middle of the gap above which the outliers lie; infinite where there is none."""
    probes = kept.any(axis=1)
    depth = int(kept.sum(axis=1)[probes].min())  # ranks that every probe has
    if depth < NODES:
        return np.inf
    order = np.argsort(np.where(kept, -values, np.inf)[probes], axis=1)[:, :depth]
    ranked = np.take_along_axis(values[probes], order, axis=1)
    low, middle, high = np.quantile(ranked, [0.25, 0.5, 0.75], axis=0)
    share = np.median(np.cumsum(np.take_along_axis(weights[probes], order, axis=1), axis=1), axis=0)
    distance = middle - _centre(values[kept], weights[kept])
    converged = np.logical_and.accumulate(high - low <= SPREAD * distance)[:-1]
    gap = (distance[:-1] > 0) & (distance[:-1] >= GAP * distance[1:])
    last = np.flatnonzero(converged & gap & (share[:-1] <= SHARE))
    return float(middle[last[-1]] + middle[last[-1] + 1]) / 2 if len(last) else np.inf


def _centre(values: np.ndarray, weights: np.ndarray) -> float:
    """The median of the spectrum: the first value at which half of the weight is reached."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, 0.5 * reached[-1])])
