"""How far the forks of a run have come from it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.numerics.barriers import barrier, default_statistics, path, whole_params
from nbtoolkit.numerics.class_error import classes
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.similarity import features, linear_cka
from nbtoolkit.numerics.statistics import with_statistics
from nbtoolkit.numerics.trees import layer_of

ALONE = "no fork of this run has kept a copy of its parameters at this step"
NO_PROBE = "needs a probe: give watch(..., probe=(inputs, targets), loss=loss)"
EXAMPLES = 1000  # for the similarity
Params = Mapping[str, Tensor]


@instrument(
    outputs={
        "distance": Var(("fork",), "param", "distance to the fork"),
        "relative_distance": Var(("fork",), "1", "distance to the fork, relative to the norm of the parameters"),
        "disagreement": Var(("fork",), "1", "share of examples that the fork classifies otherwise"),
        "cka": Var(("fork",), "1", "similarity to the fork's features (linear CKA)"),
        "barrier": Var(("fork",), "loss", "loss barrier on the line to the fork"),
    },
    every=10,
    reference=(
        "Altintas et al. (2025), arXiv:2506.13234, section 2; Frankle et al. (2020), arXiv:1912.05671, section 2 "
        "(barrier); Kornblith et al. (2019), arXiv:1905.00414, section 3 (CKA)"
    ),
)
def twin_divergence(
    forks: Mapping[str, Params | None], params: Params, loss_at_or_none: LossAt | None, /, *, points: int = 11
) -> dict[str, Any]:
    """Distance between the parameters theta of a run and those theta' of its forks after as many steps.

    ``distance`` = |theta - theta'|, ``relative_distance`` = |theta - theta'| / |theta|; with a probe also
    ``disagreement``, the share of its targets (class labels; negative ones do not count) at which the largest outputs
    differ, of outputs (N, C, ...) or (N, ..., C); ``cka``, linear CKA of the outputs of the last layer but one, in
    the order in which the model declares its layers (of the model, if it has one layer only), on at most 1000 examples
    spread over the probe; ``barrier`` = max_a [L((1 - a) theta + a theta') - ((1 - a) L(theta) + a L(theta'))] at
    ``points`` values of a. All in eval mode; normalisation layers with running statistics use those of the whole
    probe, for ``cka`` of its examples. A fork without any change stays at distance 0 exactly.

    Attached by `Run.fork`, and then measured at the steps at which the fork has kept copies. What it costs depends on
    how many have.
    """
    if not any(fork is not None for fork in forks.values()):
        return dict.fromkeys(twin_divergence.outputs, Unknown(ALONE))
    theirs = {name: None if fork is None else _beside(fork, params) for name, fork in forks.items()}
    size = _norm(params)
    distances = [None if fork is None else _norm(_minus(params, fork)) for fork in theirs.values()]
    known: dict[str, Any] = {
        "distance": distances,
        "relative_distance": [None if d is None else d / size for d in distances],
    }
    if loss_at_or_none is None:
        return known | dict.fromkeys(("disagreement", "cka", "barrier"), Unknown(NO_PROBE))
    measured: dict[str, Any] = {"disagreement": _disagreements, "cka": _similarities}
    for key, measure in measured.items():
        try:
            known[key] = measure(loss_at_or_none, params, list(theirs.values()))
        except ValueError as error:
            known[key] = Unknown(str(error))
    known["barrier"] = [
        None if fork is None else _barrier(loss_at_or_none, params, fork, points) for fork in theirs.values()
    ]
    return known


def _disagreements(loss_at: LossAt, params: Params, forks: list[Params | None]) -> list[float | None]:
    measured = with_statistics(loss_at, default_statistics(loss_at.model))
    own = _classes(measured, params)
    return [None if f is None else _share(own, _classes(measured, f)) for f in forks]


def _share(own: Tensor, other: Tensor) -> float:
    """Of the places at which two differ; NaN where there are NaN."""
    known = not bool((own.isnan() | other.isnan()).any())
    return float((own != other).double().mean()) if known else float("nan")


def _classes(loss_at: LossAt, params: Params) -> Tensor:
    """The class of each example, or of each place in it."""
    batches = [batch for _, batch in loss_at.weighted()]
    with torch.no_grad():
        found = [classes(loss_at.outputs(batch, params), loss_at.targets(batch, params)) for batch in batches]
    return torch.cat(found)


def _similarities(loss_at: LossAt, params: Params, forks: list[Params | None]) -> list[float | None]:
    layers = list(dict.fromkeys(layer_of(name.removeprefix(loss_at.prefix)) for name in whole_params(loss_at, params)))
    names = [*layers[-2:-1], ""]  # the whole model, where that layer returns nothing of each example
    own = features(loss_at, params, names, most=EXAMPLES)
    name = next((name for name in names if name in own), None)
    if name is None:
        raise ValueError("neither the last layer but one nor the model returns a tensor with a row for each example")
    return [
        None if f is None else linear_cka(own[name], features(loss_at, f, [name], most=EXAMPLES)[name]) for f in forks
    ]


def _barrier(loss_at: LossAt, params: Params, fork: Params, points: int) -> float:
    found = path(loss_at, whole_params(loss_at, params), whole_params(loss_at, fork), points=points)
    return barrier(found.fractions, found.loss)


def _beside(fork: Params, params: Params) -> dict[str, Tensor]:
    """A fork's parameters where those are that they are held against."""
    changed = [name for name, tensor in params.items() if name not in fork or fork[name].shape != tensor.shape]
    if changed:
        raise ValueError(f"the run has other parameters than when the fork was made, the first is {changed[0]}")
    return {name: fork[name].to(tensor.device) for name, tensor in params.items()}


def _minus(one: Params, other: Params) -> dict[str, Tensor]:
    return {name: tensor.detach().double() - other[name].double() for name, tensor in one.items()}


def _norm(tensors: Params) -> float:
    return float(sum(float(tensor.detach().double().square().sum()) for tensor in tensors.values()) ** 0.5)
