"""Pairs of directions that span a plane through the parameters, and what they must be."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nbtoolkit.numerics.directions import Direction
from nbtoolkit.numerics.flat import Flat
from nbtoolkit.numerics.lanczos import extreme_eigenpairs
from nbtoolkit.numerics.statistics import Normalisation
from nbtoolkit.numerics.trajectory import Trajectory, principal

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # the last is not used in a forward pass
PARALLEL = 1e-6  # of 1 - |cos|
ONE_LINE = "the directions are parallel (cosine {cosine:.6f}) and span a line; give two that differ"
OTHER_BUFFERS = (
    "the models have other {name!r} than this one, which no direction moves, so that the losses on the plane would not "
    "be theirs{way_out}"
)
TOO_FEW = "a plane through the trajectory needs copies of the parameters at three steps that are not on one line"


def checked(directions: Sequence[Mapping[str, Tensor]], params: Mapping[str, Tensor]) -> list[Direction]:
    """The directions on the device and in the dtype of the parameters, if they can be walked along.

    Raises:
        ValueError: names or shapes that the parameters do not have, integers, NaN, a direction of length zero, two
            that are parallel, or fewer parameters than directions.
    """
    size = sum(param.numel() for param in params.values())
    if size < len(directions):
        raise ValueError(f"{len(directions)} directions need as many parameters; there is {size}")
    found = []
    for place, direction in enumerate(directions, 1):
        for name, part in direction.items():
            if name not in params:
                raise ValueError(
                    f"direction {place} moves {name!r}, which is no trained parameter; there are: {_some(params)}"
                )
            if part.shape != params[name].shape:
                raise ValueError(
                    f"direction {place} has shape {tuple(part.shape)} for {name!r}; the parameter has "
                    f"{tuple(params[name].shape)}"
                )
            if not (params[name].is_floating_point() or params[name].is_complex()):
                raise ValueError(f"{name!r} is of {params[name].dtype}; only floating point numbers can be moved")
        found.append({name: part.detach().to(params[name]) for name, part in direction.items()})
        length = math.sqrt(inner(found[-1], found[-1]))
        if not math.isfinite(length) or length == 0:
            raise ValueError(f"direction {place} has length {length:g}; it must move something, by finite amounts")
    if len(found) == 2 and 1 - abs(cosine(*found)) < PARALLEL:
        raise ValueError(ONE_LINE.format(cosine=cosine(*found)))
    return found


def between(params: Mapping[str, Tensor], other: nn.Module | Mapping[str, Tensor], prefix: str = "") -> Direction:
    """From the parameters to those of another model of the same architecture: their difference.

    Args:
        params: where to start.
        other: a module, or its parameters by name; a state dict may have more.
        prefix: of the names in ``params``, which those of a module do not have.

    Raises:
        ValueError: it lacks a parameter, or has it in another shape.
    """
    state = dict(other.named_parameters(remove_duplicate=False)) if isinstance(other, nn.Module) else other
    found = {}
    for name, param in params.items():
        end = state.get(name, state.get(name.removeprefix(prefix)))
        if end is None or end.shape != param.shape:
            has = "does not have" if end is None else f"has in shape {tuple(end.shape)}"
            raise ValueError(f"the other model {has} {name!r}, here of shape {tuple(param.shape)}")
        found[name] = end.detach().to(param) - param.detach()
    return found


def through_three(
    params: Mapping[str, Tensor], second: nn.Module | Mapping[str, Tensor], third: nn.Module | Mapping[str, Tensor],
    prefix: str = "",
) -> tuple[list[Direction], Tensor]:  # fmt: skip
    """Orthonormal directions of the plane through three models, and their coordinates (Garipov et al. 2018, section 2).

    Returns:
        ``u`` from the parameters to the second model and ``v`` towards the third, and ``(3, 2)`` coordinates of the
        parameters, the second and the third, in parameter norm.

    Raises:
        ValueError: the models do not fit, or lie on one line.
    """
    u, v = checked([between(params, other, prefix) for other in (second, third)], params)
    long = math.sqrt(inner(u, u))
    u = scaled(u, 1 / long)
    along = inner(u, v)
    v = {name: part - along * u[name] for name, part in v.items()}
    away = math.sqrt(inner(v, v))
    points = torch.tensor([[0.0, 0.0], [long, 0.0], [along, away]], dtype=torch.float64)
    return [moving(u), moving(scaled(v, 1 / away))], points


def check_buffers(model: nn.Module, others: Sequence[nn.Module], statistics: str) -> None:
    """Refuse models whose buffers differ from those of one, where its loss with their parameters depends on them.

    Args:
        model: in whose place the others are put.
        others: of the same architecture.
        statistics: of normalisation layers, see `with_statistics`.

    Raises:
        ValueError: naming the first buffer that differs.
    """
    own, unused = dict(model.named_buffers()), set()
    for path, module in model.named_modules():
        if isinstance(module, Normalisation):
            fresh = statistics == "reestimated" or (statistics == "as trained" and module.training)
            names = STATISTICS if fresh else STATISTICS[-1:]
            unused |= {".".join(filter(None, (path, name))) for name in names}
    for other in others:
        for name, buffer in other.named_buffers():
            mine = own.get(name)
            if mine is None or name in unused:
                continue
            if mine.shape != buffer.shape or not torch.equal(mine, buffer.to(mine)):
                running = name.endswith(STATISTICS[:2])
                way_out = "; statistics='reestimated' takes those of the probe at each point" if running else ""
                raise ValueError(OTHER_BUFFERS.format(name=name, way_out=way_out))


def check_known(params: Mapping[str, Tensor]) -> None:
    """Refuse parameters that are NaN.

    Raises:
        ValueError: naming the first.
    """
    for name, param in params.items():
        if bool(param.isnan().any()):
            raise ValueError(f"the parameters are NaN ({name!r} is the first), so that nothing is around them")


def moving(direction: Mapping[str, Tensor]) -> Direction:
    """The direction without the parameters that it leaves where they are."""
    return {name: part for name, part in direction.items() if bool(part.any())}


def of_trajectory(trajectory: Trajectory) -> tuple[list[Direction], Tensor, Tensor]:
    """Unit vectors of the plane in which a training moved most, seen from its newest point.

    Returns:
        the directions, ``(copies, 2)`` coordinates of the copies in parameter norm, and their distances ``(copies,)``
        from the plane.

    Raises:
        ValueError: the copies span no plane, or only projections of them were kept.
    """
    if len(trajectory) < 3:
        raise ValueError(TOO_FEW)
    products = trajectory.inner()
    found = principal(products, 2)
    if len(found.ratios) < 2:
        raise ValueError(TOO_FEW)
    last = products[-1]
    squares = products.diagonal() - 2 * last + last[-1]
    distances = (squares - found.coordinates.square().sum(1)).clamp(min=0.0).sqrt()
    return [moving(trajectory.combined(weights)) for weights in found.weights], found.coordinates, distances


def eigenvectors(operator: Any, *, seed: int, products: int = 60, tolerance: float = 1e-3) -> list[Direction]:
    """Unit eigenvectors of the two largest eigenvalues, their largest entry positive.

    Args:
        operator: an `Operator`.
        seed: of the start vector.
        products: at most.
        tolerance: of the eigenvalues.
    """
    flat: Flat = operator.flat
    start = torch.randn(1, flat.size, generator=torch.Generator().manual_seed(seed)).to(operator.device, operator.dtype)
    found = extreme_eigenpairs(operator, start, largest=2, tolerance=tolerance, most=products)
    signs = found.vectors.gather(1, found.vectors.abs().argmax(1, keepdim=True)).sign()
    return [dict(zip(flat.names, flat.split(vector), strict=True)) for vector in found.vectors * signs]


def inner(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Inner product, added up in double precision."""
    parts = [torch.vdot(_flat(one[name]), _flat(other[name])).real for name in one if name in other]
    return float(torch.stack(parts).sum()) if parts else 0.0


def cosine(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Cosine of the angle between two directions."""
    return inner(one, other) / math.sqrt(inner(one, one) * inner(other, other))


def scaled(direction: Mapping[str, Tensor], factor: float) -> Direction:
    """The direction times a number."""
    return {name: part * factor for name, part in direction.items()}


def _flat(tensor: Tensor) -> Tensor:
    return tensor.detach().reshape(-1).to(torch.complex128 if tensor.is_complex() else torch.float64)


def _some(names: Mapping[str, Tensor]) -> str:
    return ", ".join(list(names)[:4]) + (" ..." if len(names) > 4 else "")
