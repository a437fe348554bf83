"""Training in a random subspace of the parameters, in any loop."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

PROJECTIONS = ("dense", "orthonormal", "sparse")


class RandomSubspace(nn.Module):
    """A model confined to ``theta = theta_0 + P phi``: its only parameters are ``phi``, which start at zero.

    ``theta_0`` are the parameters that the model has now and P has ``dimension`` random unit vectors as its columns::

        model = RandomSubspace(model, 200)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    and then as ever. The model given is not touched; inside is a copy whose parameters are buffers, so that modes,
    devices, batch statistics and state dicts go their usual way. Parameters that do not require a gradient stay out of
    the subspace. The gradient with respect to ``phi`` is ``P' grad L(theta)``.

    Args:
        model: to be confined.
        dimension: of the subspace, at most the number of trained parameters.
        seed: of P; the global random state is not used.
        projection: ``"dense"``: Gaussian columns, normalised, ``dimension`` times the memory of the model.
            ``"orthonormal"``: an orthonormal basis of their span, for few parameters. ``"sparse"``: columns with the
            root of as many entries, of random signs and equal size, for large models.

    Raises:
        ValueError: the dimension is not between 1 and the number of parameters, or the projection is not known.

    Source: Li et al. (2018), Measuring the intrinsic dimension of objective landscapes, arXiv:1804.08838, section 2
    and, on projections, appendix S7.
    """

    def __init__(self, model: nn.Module, dimension: int, *, seed: int = 0, projection: str = "dense") -> None:
        super().__init__()
        trained = {name: param.detach() for name, param in model.named_parameters() if param.requires_grad}
        size = sum(param.numel() for param in trained.values())
        if not 1 <= dimension <= size:
            raise ValueError(
                f"RandomSubspace got dimension={dimension}; the model has {size} trained parameters, so that it must "
                "be between 1 and that."
            )
        if projection not in PROJECTIONS:
            raise ValueError(f"RandomSubspace got projection={projection!r}; choose one of {', '.join(PROJECTIONS)}.")
        first = next(iter(trained.values()))
        self.within = _without_parameters(model)
        self.shapes = {name: param.shape for name, param in trained.items()}
        first_name = {id(param): name for name, param in model.named_parameters() if name in trained}
        self.tied = {  # all names of what is trained, which copies of buffers to a device would not keep together
            name: first_name[id(param)]
            for name, param in model.named_parameters(remove_duplicate=False) if id(param) in first_name
        }  # fmt: skip
        self.phi = nn.Parameter(torch.zeros(dimension, dtype=first.dtype, device=first.device))
        columns = _projection(size, dimension, seed, projection, torch.promote_types(first.dtype, torch.float32))
        self.register_buffer("columns", columns.to(first), persistent=False)
        self.columns: Tensor

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model returns at ``theta``."""
        theta = self.theta()
        whole = {name: theta[first] for name, first in self.tied.items()}
        return functional_call(self.within, whole, args, kwargs, tie_weights=False)

    def theta(self) -> dict[str, Tensor]:
        """The parameters of the model, by name: ``theta_0 + P phi``."""
        moved = self.columns @ self.phi if self.columns.layout is torch.strided else _sparse(self.columns, self.phi)
        parts = moved.split([shape.numel() for shape in self.shapes.values()])
        return {
            name: self.within.get_buffer(name) + part.view(shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


def _without_parameters(model: nn.Module) -> nn.Module:
    """A copy whose parameters are buffers."""
    within = copy.deepcopy(model)
    for module in within.modules():
        for name, param in list(module._parameters.items()):
            del module._parameters[name]
            if param is not None:
                module.register_buffer(name, param.detach())
            else:
                module.register_parameter(name, None)
    return within


def _projection(size: int, dimension: int, seed: int, kind: str, dtype: torch.dtype) -> Tensor:
    """P, ``(size, dimension)``, drawn on the host."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "sparse":
        entries = max(1, round(size**0.5))
        rows = torch.stack([torch.randperm(size, generator=generator)[:entries] for _ in range(dimension)])
        signs = torch.randint(0, 2, rows.shape, generator=generator).to(dtype) * 2 - 1
        places = torch.stack([rows.flatten(), torch.arange(dimension).repeat_interleave(entries)])
        values = signs.flatten() / entries**0.5
        return torch.sparse_coo_tensor(places, values, (size, dimension), check_invariants=True).coalesce()
    columns = torch.randn(size, dimension, generator=generator, dtype=dtype)
    return torch.linalg.qr(columns.double())[0] if kind == "orthonormal" else columns / columns.norm(dim=0)


def _sparse(columns: Tensor, phi: Tensor) -> Tensor:
    return torch.sparse.mm(columns, phi[:, None])[:, 0]
