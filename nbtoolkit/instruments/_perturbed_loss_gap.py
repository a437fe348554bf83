"""How far the loss rises at some distance from the parameters."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Var, instrument
from nbtoolkit.instruments._eigenpairs import random_vectors
from nbtoolkit.instruments._probe import gradient, leaves
from nbtoolkit.numerics.flat import Flat
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.products import trainable


@instrument(
    outputs={
        "rise": Var(("radius",), "loss", "rise of the loss along its gradient"),
        "random_rise": Var(("radius",), "loss", "mean rise in random directions", error="random_rise_error"),
        "random_rise_error": Var(("radius",), "loss", "standard error of the mean rise"),
    },
    cost=lambda s: 3 + len(s["radii"]) * (1 + 2 * s["directions"]),
    every=50,
    labels={"radius": lambda s: s["radii"]},
    reference="Foret et al. (2021), arXiv:2010.01412, section 2 and equation 2",
)
def perturbed_loss_gap(
    loss_at: LossAt, params: Mapping[str, Tensor], /, *, radii: Sequence[float] = (0.05, 0.1, 0.2),
    directions: int = 4, seed: int = 0,
) -> dict[str, Tensor]:  # fmt: skip
    """Rise of the loss L(theta + r d) - L(theta) at radius r: along the gradient, and in random directions.

    With d = g/|g|, g the gradient of the probe's loss, ``rise`` is what sharpness-aware minimisation makes small;
    to second order r |g| + r^2 d'Hd/2. ``random_rise`` is its mean over d uniform on the sphere, r^2 tr(H)/2n in n
    dimensions, with its standard error; each of ``directions`` is taken together with its opposite, which cancels
    the slope. The same directions are used at every measurement.

    NaN along the gradient where that is zero.
    """
    at = leaves(loss_at, params)
    flat = Flat(trainable(at))
    here, slope = gradient(loss_at, at)

    def loss(direction: Tensor, radius: float) -> Tensor:
        parts = zip(flat.names, flat.split(radius * direction), strict=True)
        return loss_at({**params, **{name: params[name] + part.to(params[name]) for name, part in parts}})

    with torch.no_grad():
        uphill = slope / torch.linalg.vector_norm(slope)
        rise = [loss(uphill, radius) - here for radius in radii]
        rises = []
        for draw in range(directions):
            direction = random_vectors(flat, 1, seed + draw)[0]
            direction = direction / torch.linalg.vector_norm(direction)
            rises.append([(loss(direction, r) + loss(-direction, r)) / 2 - here for r in radii])
        random = torch.stack([torch.stack(row) for row in rises]).double()  # (directions, radii)
        error = random.std(0) / directions**0.5 if directions > 1 else torch.full_like(random[0], torch.nan)
    return {"rise": torch.stack(rise), "random_rise": random.mean(0), "random_rise_error": error}
