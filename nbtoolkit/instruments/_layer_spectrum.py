"""Singular values of the weight matrix of each layer, and of how it moves."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.numerics import noise_edge, ranks
from nbtoolkit.numerics.given import is_whole, shown
from nbtoolkit.numerics.trees import layer_of

BY_LAYER = ("layer",)
NO_MATRIX = Unknown("no layer has a weight with two dims or more")
TOO_SMALL = Unknown(f"no layer has the {noise_edge.FEWEST} singular values that tell noise")


@instrument(
    outputs={
        "singular_values": Var(("layer", "index"), "param", "singular values of the weights", scale="log"),
        "spectral_norm": Var(BY_LAYER, "param", "spectral norm of the weights"),
        "rms_norm": Var(BY_LAYER, "1", "largest gain of the weights (RMS to RMS)"),
        "stable_rank": Var(BY_LAYER, "1", "stable rank of the weights"),
        "bulk_edge": Var(BY_LAYER, "param", "edge of the bulk of singular values"),
        "outliers": Var(BY_LAYER, "1", "singular values beyond the bulk"),
        "moved_norm": Var(BY_LAYER, "param", "spectral norm of the change since the beginning"),
        "gradient_rank": Var(BY_LAYER, "1", "rank of the gradient"),
        "update_norm": Var(BY_LAYER, "param", "spectral norm of the update", scale="log"),
    },
    every=100,
    reference=(
        "Yang, Simon & Bernstein (2023), arXiv:2310.17813 (gain); Marchenko & Pastur (1967) and Gavish & Donoho "
        "(2014), arXiv:1305.5870 (bulk); Johnstone (2001), Ann. Statist. 29 (outliers)"
    ),
)
def layer_spectrum(
    params: Mapping[str, Tensor], initial_params: Mapping[str, Tensor], grads: Mapping[str, Tensor | None],
    updates: Mapping[str, Tensor | None], layers: Sequence[str], /, *, most: int = 64,
) -> dict[str, Any]:  # fmt: skip
    """Singular values s_1 >= s_2 >= ... of the weight W of each layer, its first dim against all others.

    That is (out, in) for a linear layer and (out, in x kernel) for a convolution, m x n; of several weights the one
    with the most entries. ``singular_values``: the ``most`` largest. ``spectral_norm`` = s_1; ``rms_norm`` =
    sqrt(n/m) s_1, by which W raises a root mean square at most; ``stable_rank`` = |W|_F^2 / s_1^2.

    ``bulk_edge`` = s (sqrt(m) + sqrt(n)): where the singular values of a matrix of noise end whose entries have the
    standard deviation s. That is taken from the median of the s_i, which a few large ones do not move, so that it is
    the noise that W still has, not that of its initialisation. ``outliers``: how many s_i are above what the largest
    one of such noise exceeds once in a hundred times. NaN for fewer than 10 singular values.

    ``moved_norm``: s_1 of W - W_0, from where watching began; ``update_norm``: of the update. ``gradient_rank``: how
    many singular values the gradient has above rounding in its dtype; for a linear layer never more than there are
    examples (times positions), but in mixed precision rounding fills it up.

    No exponent is fitted to the tail: one is found for pure noise too, and depends on m/n.
    """
    if not is_whole(most, 1):
        raise ValueError(f"most={shown(most)}: expected a whole number of 1 or more")
    names = [_matrix_of(layer, params) for layer in layers]
    if not any(names):
        return dict.fromkeys(layer_spectrum.outputs, NO_MATRIX)
    rows = [{} if name is None else _of_weight(params[name]) for name in names]
    for name, row in zip(names, rows, strict=True):
        if name is not None:
            row |= _of_change(params[name], initial_params.get(name), grads.get(name), updates.get(name))
    spectra = [row.get("singular_values", torch.empty(0)) for row in rows]
    values = torch.full((len(rows), min(most, max(map(len, spectra)))), torch.nan, dtype=torch.float64)
    for place, spectrum in enumerate(spectra):
        values[place, : len(spectrum)] = spectrum[: values.shape[1]]
    found: dict[str, Any] = {key: [row.get(key) for row in rows] for key in layer_spectrum.outputs}
    found["singular_values"] = values
    for key in ("bulk_edge", "outliers"):
        if all(value is None for value in found[key]):
            found[key] = TOO_SMALL
    return found


def _matrix_of(layer: str, params: Mapping[str, Tensor]) -> str | None:
    """The name of the largest weight of a layer."""
    own = {name: param for name, param in params.items() if layer_of(name) == layer}
    weights = [name for name, param in own.items() if param.ndim >= 2 and param.numel() and not param.is_complex()]
    return max(weights, key=lambda name: own[name].numel(), default=None)


def _of_weight(weight: Tensor) -> dict[str, Any]:
    matrix = weight.detach().flatten(1)
    if not bool(torch.isfinite(matrix).all()):
        nan = float("nan")
        return dict.fromkeys(("spectral_norm", "rms_norm", "stable_rank", "bulk_edge", "outliers"), nan)
    m, n = matrix.shape
    values = ranks.singular_values(matrix).cpu()
    largest = float(values[0])
    found = {"singular_values": values, "spectral_norm": largest, "rms_norm": (n / m) ** 0.5 * largest}
    if largest > 0:
        found["stable_rank"] = ranks.stable_rank(values)
    noise = noise_edge.noise(values, m, n)
    if noise is not None:
        beyond = max(noise_edge.highest(noise, m, n), ranks.rounding(matrix) * largest)
        found |= {"bulk_edge": noise_edge.edge(noise, m, n), "outliers": int((values > beyond).sum())}
    return found


def _of_change(weight: Tensor, initial: Tensor | None, grad: Tensor | None, update: Tensor | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if initial is not None and initial.shape == weight.shape:
        found["moved_norm"] = _norm(weight - initial)
    if update is not None:
        found["update_norm"] = _norm(update)
    if grad is not None:
        slope = _dense(grad)
        finite = bool(torch.isfinite(slope).all())
        found["gradient_rank"] = ranks.numerical_rank(slope) if finite else float("nan")
    return found


def _norm(tensor: Tensor) -> float:
    matrix = _dense(tensor)
    return float(ranks.singular_values(matrix)[0]) if bool(torch.isfinite(matrix).all()) else float("nan")


def _dense(tensor: Tensor) -> Tensor:
    return (tensor.to_dense() if tensor.is_sparse else tensor).detach().flatten(1)
