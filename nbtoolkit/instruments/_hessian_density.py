"""Spectral density of the Hessian by stochastic Lanczos quadrature."""

from typing import Any

import numpy as np
import torch

from nbtoolkit.instruments._base import Var, instrument
from nbtoolkit.instruments._eigenpairs import FIRST_PRODUCTS, random_vectors
from nbtoolkit.numerics.lanczos import tridiagonal
from nbtoolkit.numerics.spectra import outliers
from nbtoolkit.numerics.spectrum_error import spectrum_error

NOISE = 1e-6  # of the largest magnitude: eigenvalues below it may as well be 0


@instrument(
    outputs={
        "ritz_value": Var(("probe", "node"), "loss/param^2", "Hessian eigenvalue density"),
        "ritz_weight": Var(("probe", "node"), "1", "weight of Ritz values"),
        "mean_eigenvalue": Var((), "loss/param^2", "mean Hessian eigenvalue", error="mean_error"),
        "mean_error": Var((), "loss/param^2", "standard error of the mean eigenvalue"),
        "mean_square": Var((), "(loss/param^2)^2", "mean squared Hessian eigenvalue", error="mean_square_error"),
        "mean_square_error": Var((), "(loss/param^2)^2", "standard error of the mean squared eigenvalue"),
        "negative_mass": Var((), "1", "share of negative Hessian eigenvalues", error="negative_mass_error"),
        "negative_mass_error": Var((), "1", "standard error of the share of negative eigenvalues"),
        "outliers": Var((), "1", "Hessian eigenvalues outside the bulk"),
        "spectrum_error": Var((), "loss/param^2", "Wasserstein-1 error of the spectrum"),
    },
    cost=lambda s: FIRST_PRODUCTS + 4 * s["probes"] * s["steps"],
    every=500,
    reference="Ghorbani et al. (2019), arXiv:1901.10159; Ubaru et al. (2017), SIAM J. Matrix Anal. 38, 1075",
)
def hessian_density(
    curvature: Any, /, *, probes: int = 8, steps: int = 64, matrix: str = "hessian", seed: int = 0
) -> dict[str, Any]:  # fmt: skip
    """Spectral density of the Hessian: Ritz values and weights of Lanczos runs from random sign vectors.

    Each of ``probes`` vectors v gives the quadrature ``sum_k w_k delta(x - theta_k)`` of the measure
    ``sum_i (u_i'v)^2 / n delta(x - lambda_i)``, whose mean over v is the density; all advance together, fully
    reorthogonalised, so that no eigenvalue is counted twice. From them the first two moments (``tr H / n`` and
    ``|H|_F^2 / n``) and the share of negative eigenvalues with standard errors over the probes, the number of
    eigenvalues outside the bulk, and the Wasserstein-1 distance within which the true spectrum lies in 95 of 100
    cases. The probes are the same at every step.
    """
    if probes < 2 or steps < 2:
        raise ValueError(f"probes={probes}, steps={steps}: at least 2 of each, or there is no error to give")
    operator = curvature.matrix(matrix)
    found = tridiagonal(operator, random_vectors(operator, probes, seed, signs=True), steps)
    nodes, weights = (tensor.numpy() for tensor in found.quadrature())
    largest = np.nanmax(np.abs(nodes))
    counts = np.sum(outliers(nodes, weights), axis=1)
    outputs: dict[str, Any] = {
        "ritz_value": _padded(nodes, steps), "ritz_weight": _padded(weights, steps),
        "outliers": float(np.median(counts)), "spectrum_error": spectrum_error(nodes, weights),
    }  # fmt: skip
    for name, samples in {
        "mean_eigenvalue": np.nansum(weights * nodes, axis=1),
        "mean_square": np.nansum(weights * nodes**2, axis=1),
        "negative_mass": np.nansum(weights * (nodes < -NOISE * largest), axis=1),
    }.items():
        outputs[name] = float(samples.mean())
        outputs[name.replace("_eigenvalue", "") + "_error"] = float(samples.std(ddof=1) / probes**0.5)
    return outputs


def _padded(rows: np.ndarray, steps: int) -> torch.Tensor:
    """Rows of a small model, whose Krylov spaces end early, as wide as those of any other."""
    return torch.from_numpy(np.pad(rows, ((0, 0), (0, steps - rows.shape[1])), constant_values=np.nan))
