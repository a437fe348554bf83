"""Ritz values and weights of chosen spectra, by Lanczos with full reorthogonalisation on a diagonal matrix."""

import numpy as np
import xarray

from nbtoolkit.store.columns import Columns
from nbtoolkit.store.schema import Var

VARIABLES = {
    "ritz_value": Var(("probe", "node"), "loss/param^2", "Hessian eigenvalue density"),
    "ritz_weight": Var(("probe", "node"), "1", "weight of the Ritz value"),
}


def quadrature(spectrum: np.ndarray, probes: int, nodes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ritz values and weights ``(probe, node)``; NaN behind a breakdown."""
    rng = np.random.default_rng(seed)
    values = np.full((probes, nodes), np.nan)
    weights = values.copy()
    for probe in range(probes):
        vector = rng.standard_normal(len(spectrum))
        basis = [vector / np.linalg.norm(vector)]
        diagonal: list[float] = []
        beside: list[float] = []
        while True:
            vector = spectrum * basis[-1]
            diagonal.append(float(vector @ basis[-1]))
            for _ in range(2):
                vector = vector - np.array(basis).T @ (np.array(basis) @ vector)
            size = float(np.linalg.norm(vector))
            if len(diagonal) == nodes or size < 1e-10:
                break
            beside.append(size)
            basis.append(vector / size)
        found, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
        values[probe, : len(found)], weights[probe, : len(found)] = found, vectors[0] ** 2
    return values, weights


def bulk(size: int, seed: int = 0, ratio: float = 0.5) -> np.ndarray:
    """Eigenvalues of a random Gram matrix: a Marchenko-Pastur bulk."""
    data = np.random.default_rng(seed).standard_normal((size, int(size / ratio)))
    return np.linalg.eigvalsh(data @ data.T / data.shape[1])


def measured(*measurements: tuple[np.ndarray, np.ndarray], every: int = 10) -> xarray.Dataset:
    """Measurements at steps 0, ``every`` ... as a run would hold them."""
    columns = Columns("hessian_density", VARIABLES, {"reference": "us"})
    values, weights = (np.array(arrays) for arrays in zip(*measurements, strict=True))
    labels = {"probe": range(values.shape[1]), "node": range(values.shape[2])}
    columns.append(np.arange(len(values)) * every, {"ritz_value": values, "ritz_weight": weights}, labels)
    return columns.dataset()
