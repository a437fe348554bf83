"""Training in a random subspace of the parameters, in any loop."""

import copy
import json
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nbtoolkit.numerics.given import is_seed, is_whole, shown

PROJECTIONS = ("dense", "orthonormal", "sparse")


class RandomSubspace(nn.Module):
    """A model confined to ``theta = theta_0 + P phi``: its only parameters are ``phi``, which start at zero.

    ``theta_0`` are the parameters that the model has now and P has ``dimension`` random unit vectors as its columns::

        model = RandomSubspace(model, 200)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    and then as ever. The model given is not touched; inside is a copy whose parameters are buffers, so that modes,
    devices, batch statistics and state dicts go their usual way. Parameters that do not require a gradient stay out of
    the subspace. The gradient with respect to ``phi`` is ``P' grad L(theta)``. A state dict says how P was drawn, and
    loading it draws that P: what is loaded computes what was saved, whatever its own seed and projection were.

    Args:
        model: to be confined.
        dimension: of the subspace, at most the number of trained parameters.
        seed: of P; the global random state is not used.
        projection: ``"dense"``: Gaussian columns, normalised, ``dimension`` times the memory of the model.
            ``"orthonormal"``: an orthonormal basis of their span, for few parameters. ``"sparse"``: columns with the
            root of as many entries, of random signs and equal size, for large models.

    Raises:
        ValueError: the model is no module, the dimension is not between 1 and the number of parameters, the seed is no
            whole number, or the projection is not known.

    Source: Li et al. (2018), Measuring the intrinsic dimension of objective landscapes, arXiv:1804.08838, section 2
    and, on projections, appendix S7.
    """

    def __init__(self, model: nn.Module, dimension: int, *, seed: int = 0, projection: str = "dense") -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise ValueError(f"RandomSubspace got a {type(model).__name__} as the model; it needs a torch.nn.Module.")
        trained = {name: param.detach() for name, param in model.named_parameters() if param.requires_grad}
        size = sum(param.numel() for param in trained.values())
        if not is_whole(dimension, 1) or dimension > size:
            raise ValueError(
                f"RandomSubspace got dimension={shown(dimension)}; the model has {size} trained parameters, so that it "
                "must be a whole number between 1 and that."
            )
        if not is_seed(seed):
            raise ValueError(f"RandomSubspace got seed={shown(seed)}; give a whole number from 0 to 2**64 - 1.")
        if projection not in PROJECTIONS:
            raise ValueError(
                f"RandomSubspace got projection={shown(projection)}; choose one of {', '.join(PROJECTIONS)}."
            )
        first = next(iter(trained.values()))
        self.within = _without_parameters(model)
        self.shapes = {name: param.shape for name, param in trained.items()}
        first_name = {id(param): name for name, param in model.named_parameters() if name in trained}
        self.tied = {  # all names of what is trained, which copies of buffers to a device would not keep together
            name: first_name[id(param)]
            for name, param in model.named_parameters(remove_duplicate=False) if id(param) in first_name
        }  # fmt: skip
        self.phi = nn.Parameter(torch.zeros(int(dimension), dtype=first.dtype, device=first.device))
        dtype = str(first.dtype).removeprefix("torch.")
        self.drawn: dict[str, Any] = {
            "dimension": int(dimension), "seed": int(seed), "projection": projection, "dtype": dtype
        }  # fmt: skip
        self.register_buffer("columns", _projection(size, **self.drawn).to(first.device), persistent=False)
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

    def get_extra_state(self) -> Tensor:
        """How P was drawn, for the state dict: the bytes of a JSON text, since tools expect tensors there."""
        return torch.tensor([*json.dumps(self.drawn).encode()], dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Draw P as it was drawn for the model whose state this is.

        Raises:
            ValueError: that subspace has another dimension.
        """
        drawn = json.loads(bytes(state.tolist()))
        there, here = drawn["dimension"], self.drawn["dimension"]
        if there != here:
            raise ValueError(
                f"this state is of a subspace with dimension={there}, and this one has dimension={here}; make "
                f"RandomSubspace(model, {there}) and load it there."
            )
        if drawn != self.drawn:
            self.columns = _projection(self.columns.shape[0], **drawn).to(self.columns)
            self.drawn = drawn


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


def _projection(size: int, *, dimension: int, seed: int, projection: str, dtype: str) -> Tensor:
    """P, ``(size, dimension)``, drawn on the host; in another dtype it is another."""
    generator, final = torch.Generator().manual_seed(seed), getattr(torch, dtype)
    exact = torch.promote_types(final, torch.float32)
    if projection == "sparse":
        entries = max(1, round(size**0.5))
        rows = torch.stack([torch.randperm(size, generator=generator)[:entries] for _ in range(dimension)])
        signs = torch.randint(0, 2, rows.shape, generator=generator).to(exact) * 2 - 1
        places = torch.stack([rows.flatten(), torch.arange(dimension).repeat_interleave(entries)])
        values = signs.flatten() / entries**0.5
        columns = torch.sparse_coo_tensor(places, values, (size, dimension), check_invariants=True).coalesce()
        return columns.to(final)
    columns = torch.randn(size, dimension, generator=generator, dtype=exact)
    columns = torch.linalg.qr(columns.double())[0] if projection == "orthonormal" else columns / columns.norm(dim=0)
    return columns.to(final)


def _sparse(columns: Tensor, phi: Tensor) -> Tensor:
    return torch.sparse.mm(columns, phi[:, None])[:, 0]
