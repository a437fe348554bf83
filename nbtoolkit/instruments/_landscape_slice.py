"""A slice of the loss landscape."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.instruments._probe import leaves
from nbtoolkit.numerics import directions as random
from nbtoolkit.numerics import planes
from nbtoolkit.numerics.barriers import whole_params
from nbtoolkit.numerics.given import is_seed, shown
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.points import Points, Values
from nbtoolkit.numerics.products import hessian, trainable
from nbtoolkit.numerics.slices import axis, evaluations, grid
from nbtoolkit.numerics.statistics import with_statistics
from nbtoolkit.numerics.trajectory import MOST, Trajectory

MOST_SEED = 2**62  # two directions are drawn from each
CHOICES = ("filter", "layer", "gaussian", "eigenvectors", "trajectory")
MARGIN = 1.2  # between the path and the edge of the picture
PRODUCTS = 60  # for eigenvectors, at most
CHECKS = 5  # passes in which the way to evaluate is found
NO_PATH = Unknown("only the planes of a trajectory and of given models have a path drawn on them")
NO_STEPS = Unknown("models are given without the step at which they were")
WHAT = (
    f"directions={{got}}: expected one of {', '.join(CHOICES)}, two directions as dicts of tensors by parameter name, "
    "or two models"
)


@dataclass(frozen=True)
class Plane:
    """Two directions, and the path of training on them: the coordinates ``(copies, 2)`` and distances of its copies."""

    directions: Sequence[Mapping[str, Tensor]]
    path: Tensor | None = None
    distance: Tensor | None = None
    steps: Sequence[int] = ()  # of the copies


def _cost(settings: Mapping[str, Any]) -> float:
    more = {"eigenvectors": 3 + 4 * PRODUCTS, "trajectory": 2 * MOST}
    named = settings["directions"] if isinstance(settings["directions"], str) else ""
    try:
        return evaluations(settings["points"], settings["share"]) + CHECKS + more.get(named, 0)
    except (TypeError, ValueError):
        return float("nan")  # the measurement says what is wrong


def _labels(settings: Mapping[str, Any]) -> list[float]:
    try:
        return axis(settings["points"], settings["extent"]).tolist()
    except ValueError:
        return []  # the measurement says what is wrong


@instrument(
    outputs={
        "loss_slice": Var(("alpha", "beta"), "loss", "slice of the loss landscape", path="path"),
        "error_slice": Var(("alpha", "beta"), "1", "slice of the error rate", path="path"),
        "alpha_length": Var((), "param", "length of the first direction"),
        "beta_length": Var((), "param", "length of the second direction"),
        "direction_cosine": Var((), "1", "cosine between the directions"),
        "path": Var(("snapshot", "pc"), "1", "path of training on the slice"),
        "path_loss": Var(("snapshot",), "loss", "loss along the path of training"),
        "plane_loss": Var(("snapshot",), "loss", "loss where the path is projected to"),
        "path_distance": Var(("snapshot",), "param", "distance of the path from the slice"),
        "snapshot_step": Var(("snapshot",), "1", "optimizer steps done at each copy"),
    },
    cost=_cost,
    every=500,
    labels={"alpha": _labels, "beta": _labels, "snapshot": lambda s: range(MOST), "pc": lambda s: (1, 2)},
    reference="Li et al. (2018), arXiv:1712.09913, sections 4 and 7; planes of models: Garipov et al. (2018)",
)
def landscape_slice(
    loss_at: LossAt, params: Mapping[str, Tensor], trajectory: Trajectory, /, *, points: int = 25,
    extent: float = 1.0, directions: Any = "filter", biases: bool = False, statistics: str = "frozen",
    share: float = 1.0, seed: int = 0,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """The loss L(theta + alpha d + beta e) of the probe on a plane through the parameters, and the error rate there.

    ``points`` a side from ``-extent`` to ``extent``, evaluated from coarse to fine, none twice; what is not evaluated
    is NaN, and what is infinite stays so. The centre is the loss of the probe to the last bit.

    ``directions``: ``"filter"``, random normal, each filter as long as the filter of the weights that it moves, which
    makes slices of rescaled ReLU networks the same; ``"layer"``, the same by tensor; ``"gaussian"``, as drawn;
    ``"eigenvectors"`` of the two largest eigenvalues of the Hessian, of length 1; ``"trajectory"``, the principal plane
    of the path of training so far (of the steps at which it was asked for), scaled so that the path lies within;
    two directions as dicts of tensors by parameter name; or two models, for the plane through them and this one, which
    moves all parameters in which they differ, trained or not, and for which the buffers must be the same. Of random
    directions the biases and the parameters of normalisation layers are zero, unless ``biases``.

    ``statistics``: ``"frozen"``, in eval mode; ``"reestimated"``, normalisation by the statistics that the probe has at
    each point; ``"as trained"``, the model in its present mode. ``share`` is the part of the finest points that is
    evaluated, where the slice bends most.

    ``alpha_length`` and ``beta_length``: one unit of each coordinate in parameter norm. With a path, ``path`` are its
    coordinates, the newest last, at the centre; ``path_loss`` the loss there, ``plane_loss`` the loss at its projection
    and ``path_distance`` how far that is off.
    """
    axis(points, extent)
    if directions == "trajectory" and len(trajectory) < 3:  # as at the first steps of every run
        yield dict.fromkeys(landscape_slice.outputs, Unknown(planes.TOO_FEW))
        return
    moved = trainable(leaves(loss_at, params)) or dict(params)
    planes.check_known(moved)
    plane = _plane(loss_at, moved, trajectory, directions, extent, statistics, seed, biases)
    whole = {**params, **whole_params(loss_at, params)}  # models and copies may differ in what is not trained now
    first, second = planes.checked(plane.directions, whole)
    at = Points(loss_at, {**params, **{n: whole[n] for n in (*first, *second)}}, [first, second], statistics=statistics)
    known = {
        "alpha_length": planes.inner(first, first) ** 0.5,
        "beta_length": planes.inner(second, second) ** 0.5,
        "direction_cosine": planes.cosine(first, second),
    }
    copies = 0 if plane.path is None else len(plane.path)
    unseen = torch.full((copies,), torch.nan, dtype=torch.float64)
    values = Values(unseen, unseen)
    for values in grid(at, size=points, extent=extent, share=share):
        yield _outputs(values, at, known, plane, unseen, unseen)
    if plane.path is not None:
        there = at(plane.path).loss
        true = _along(loss_at, params, trajectory, statistics) if directions == "trajectory" else there
        yield _outputs(values, at, known, plane, true, there)


def _plane(
    loss_at: LossAt, params: Mapping[str, Tensor], trajectory: Trajectory, directions: Any, extent: float,
    statistics: str, seed: int, biases: bool,
) -> Plane:  # fmt: skip
    if not is_seed(seed) or seed > MOST_SEED:
        raise ValueError(f"seed={shown(seed)}: expected a whole number from 0 to {MOST_SEED}")
    if not isinstance(biases, bool):
        raise ValueError(f"biases={shown(biases)}: expected True or False")
    seed = int(seed)
    if sum(param.numel() for param in params.values()) < 2:
        raise ValueError("the model has one parameter; a plane needs two")
    if not isinstance(directions, str):
        return _given(loss_at, params, directions, extent, statistics)
    if directions == "trajectory":
        units, path, distance = planes.of_trajectory(trajectory)
        return replace(_fitted(units, path, path.abs().amax(0), extent, distance), steps=trajectory.steps)
    if directions == "eigenvectors":
        operator = hessian(with_statistics(loss_at, statistics), trainable(leaves(loss_at, params)))
        return Plane(planes.eigenvectors(operator, seed=seed, products=PRODUCTS))
    if directions not in CHOICES:
        raise ValueError(WHAT.format(got=repr(directions)))
    model, prefix = loss_at.model, loss_at.prefix
    drawn = [random.gaussian(params, 2 * seed + place) for place in (0, 1)]
    if not biases:
        drawn = [random.without_biases(direction, model, prefix) for direction in drawn]
    if not drawn[0]:
        raise ValueError("all parameters are biases or of normalisation layers; use biases=True to move them")
    if directions == "filter":
        drawn = [random.filter_normalised(direction, params, model, prefix) for direction in drawn]
    elif directions == "layer":
        drawn = [random.layer_normalised(direction, params) for direction in drawn]
    return Plane(drawn)


def _given(loss_at: LossAt, params: Mapping[str, Tensor], pair: Any, extent: float, statistics: str) -> Plane:
    """The user's own directions, or the plane through two models of the user's and the one at hand."""
    if not isinstance(pair, Sequence) or len(pair) != 2:
        raise ValueError(WHAT.format(got=f"a {type(pair).__name__}"))
    if all(isinstance(one, nn.Module) for one in pair):
        units, corners = planes.through_three(whole_params(loss_at, params), *pair, prefix=loss_at.prefix)
        planes.check_buffers(loss_at.model, pair, statistics)
        path = corners[[1, 2, 0]]  # the one at hand is last, as in a trajectory
        return _fitted(units, path, path.abs().max().expand(2), extent, torch.zeros(3, dtype=torch.float64))
    if not all(isinstance(one, Mapping) for one in pair):
        raise ValueError(WHAT.format(got=f"a pair of {' and '.join(type(one).__name__ for one in pair)}"))
    return Plane(planes.checked(pair, params))


def _fitted(
    units: Sequence[Mapping[str, Tensor]], path: Tensor, reach: Tensor, extent: float, distance: Tensor
) -> Plane:  # fmt: skip
    """Directions so long that a path in parameter norm lies within the picture."""
    scale = reach * MARGIN / extent
    return Plane([planes.scaled(u, float(s)) for u, s in zip(units, scale, strict=True)], path / scale, distance)


def _along(loss_at: LossAt, params: Mapping[str, Tensor], trajectory: Trajectory, statistics: str) -> Tensor:
    """The loss at the copies themselves."""
    twin = with_statistics(loss_at, statistics)
    with torch.no_grad():
        found = [float(twin({**params, **trajectory.params(place)})) for place in range(len(trajectory))]
    return torch.tensor(found, dtype=torch.float64)


def _outputs(
    values: Values, at: Points, known: Mapping[str, float], plane: Plane, path_loss: Tensor, plane_loss: Tensor
) -> dict[str, Any]:
    error = Unknown(at.no_error) if at.no_error else values.error
    if plane.path is None:
        path: dict[str, Any] = dict.fromkeys(("path", "path_loss", "plane_loss", "path_distance"), NO_PATH)
        path["snapshot_step"] = NO_PATH
    else:
        assert plane.distance is not None
        rows = {"path": plane.path, "path_loss": path_loss, "plane_loss": plane_loss, "path_distance": plane.distance}
        path = {key: _padded(value) for key, value in rows.items()}
        path["snapshot_step"] = _padded(torch.tensor(plane.steps)) if plane.steps else NO_STEPS
    return {"loss_slice": values.loss, "error_slice": error, **known, **path}


def _padded(rows: Tensor) -> Tensor:
    padded = torch.full((MOST, *rows.shape[1:]), torch.nan, dtype=torch.float64)
    padded[: len(rows)] = rows
    return padded
