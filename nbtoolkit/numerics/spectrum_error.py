"""How far the spectrum from a few random probes may be from the true one."""

import numpy as np

# Two-sided 95 % quantiles of Student's t by degrees of freedom; beyond, the normal one is near enough.
T95 = (
    12.71,
    4.30,
    3.18,
    2.78,
    2.57,
    2.45,
    2.36,
    2.31,
    2.26,
    2.23,
    2.20,
    2.18,
    2.16,
    2.14,
    2.13,
    2.12,
    2.11,
    2.10,
    2.09,
)


def spectrum_error(values: np.ndarray, weights: np.ndarray) -> float:
    """Wasserstein-1 distance within which the true spectrum lies from the mean of the probes, in 95 of 100 cases.

    The distance of two spectra is the area between their cumulative functions. That of each probe, F_p, is an unbiased
    sample of the true F, up to the quadrature. So at every x the mean of P probes is off by about ``s(x) / sqrt(P)``,
    s being the spread between probes; the area under Student's 95 % quantile times that is the first part of the error
    stated (errors at different x have one sign only in the worst case, so it is an upper bound for most spectra).
    The second is what m nodes can resolve: a node of weight w stands for what lies around it, up to half-way to the
    nearer neighbour a distance h off, and moving that there costs ``w h / 4``.

    Args:
        values: Ritz values ``(probe, node)``, NaN where there is none.
        weights: their weights, which sum to 1 for each probe.

    Returns:
        In units of the eigenvalues; NaN for fewer than two probes.
    """
    probes = len(values)
    kept = np.isfinite(values) & np.isfinite(weights)
    if probes < 2 or not kept.any(axis=1).all():
        return float("nan")
    edges = np.unique(values[kept])
    below = np.stack([
        np.concatenate([[0.0], np.cumsum(w[k][np.argsort(v[k])])])[np.searchsorted(np.sort(v[k]), edges, side="right")]
        for v, w, k in zip(values, weights, kept, strict=True)
    ])  # fmt: skip
    spread = below.std(axis=0, ddof=1)[:-1]
    quantile = T95[probes - 2] if probes - 2 < len(T95) else 1.96
    coarse = np.mean([_coarseness(v[k], w[k]) for v, w, k in zip(values, weights, kept, strict=True)])
    return float(quantile * np.sum(spread * np.diff(edges)) / probes**0.5 + coarse)


def _coarseness(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    gaps = np.concatenate([[np.inf], np.diff(values[order]), [np.inf]])
    nearer = np.minimum(gaps[1:], gaps[:-1])
    return float(np.sum(weights[order] * np.where(np.isfinite(nearer), nearer, 0.0)) / 4)
