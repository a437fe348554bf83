"""How alike the representations of two models, and of the layers of one, are."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Var, instrument
from nbtoolkit.instruments._models import NO_OTHER, pair
from nbtoolkit.instruments._probe import layers as labels_of
from nbtoolkit.numerics.given import is_whole, shown
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.similarity import FEWEST, features, linear_cka
from nbtoolkit.numerics.trajectory import Trajectory


@instrument(
    outputs={
        "cka": Var(("layer",), "1", "similarity to the other model (CKA)"),
        "debiased_cka": Var(("layer",), "1", "the same, debiased"),
        "layer_cka": Var(("layer", "layer_other"), "1", "similarity of layers (CKA)"),
    },
    every=500,
    reference="Kornblith et al. (2019), arXiv:1905.00414; debiased: Nguyen et al. (2021), arXiv:2010.15327",
)
def feature_similarity(
    loss_at: LossAt, params: Mapping[str, Tensor], trajectory: Trajectory, /, *, other: Any = None,
    layers: Sequence[str] | None = None, examples: int = 1000,
) -> dict[str, Any]:  # fmt: skip
    """Linear CKA |Y'X|^2 / (|X'X| |Y'Y|) of centred features X, Y: what a layer returns on the probe, by example.

    ``cka`` compares each layer of the present model with the same layer of ``other``: a state dict or a module of the
    same architecture, by default the oldest copy of the parameters that the run has kept. ``layer_cka`` compares the
    layers of the present model with each other. 1 for features equal up to a rotation and a factor; 0 without linear
    relation. Where a layer has more features than there are examples it is too high by about
    1 / (1 + examples/features); ``debiased_cka`` is not.

    Layers are modules with trained parameters of their own, or those named by ``layers``; their outputs are flattened
    by example, which must be the first dim. NaN for the others, for layers that are not called as modules, and where
    all examples give the same features. ``examples`` are evenly spread over the probe. In eval mode; layers with
    running statistics use those of these examples. Forward hooks that the model has run too, since they may compute:
    one that keeps activations will keep those of the probe as well.
    """
    if not is_whole(examples, 2):
        raise ValueError(f"examples={shown(examples)}: expected a whole number of 2 or more")
    labels = labels_of(loss_at, params)
    chosen = labels if layers is None else [layers] if isinstance(layers, str) else layers
    if not isinstance(chosen, Sequence) or not all(isinstance(name, str) for name in chosen):
        raise ValueError(f"layers={shown(layers)}: expected names of layers; there are: {', '.join(labels)}")
    own = {label: label.removeprefix(loss_at.prefix) for label in labels if label in chosen}
    unknown = [name for name in chosen if name not in own]
    if unknown:
        raise ValueError(f"no layer {unknown[0]!r} is trained here; there are: {', '.join(labels)}")
    both = pair(loss_at, params, trajectory, other)
    now = features(loss_at, params, list(own.values()), most=int(examples))
    present = [now.get(own.get(label, "")) for label in labels]
    matrix = torch.full((len(labels), len(labels)), torch.nan, dtype=torch.float64)
    for i, one in enumerate(present):
        for j, two in enumerate(present[: i + 1]):
            if one is not None and two is not None:
                matrix[i, j] = matrix[j, i] = linear_cka(one, two)
    found: dict[str, Any] = {"cka": NO_OTHER, "debiased_cka": NO_OTHER, "layer_cka": matrix}
    if both is not None:
        then = features(loss_at, both[0], list(own.values()), most=int(examples))
        pairs = [
            None if one is None or own[label] not in then else (one, then[own[label]])
            for label, one in zip(labels, present, strict=True)
        ]
        found["cka"] = [None if two is None else linear_cka(*two) for two in pairs]
        found["debiased_cka"] = [
            None if two is None or len(two[0].matrix) < FEWEST else linear_cka(*two, debiased=True) for two in pairs
        ]
    return found
