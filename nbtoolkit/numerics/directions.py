"""Random directions in the space of parameters, as large as the weights that they move."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

Direction = dict[str, Tensor]
Lengths = Callable[[Tensor], Tensor]

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
TRANSPOSED = nn.modules.conv._ConvTransposeNd


def gaussian(params: Mapping[str, Tensor], seed: int) -> Direction:
    """Independent standard normal entries, drawn on the host: the same on every device.

    Raises:
        ValueError: a parameter holds integers.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = {}
    for name, param in params.items():
        if not (param.is_floating_point() or param.is_complex()):
            raise ValueError(f"the parameter {name!r} is of {param.dtype}; only floating point numbers can be moved")
        dtype = torch.complex64 if param.is_complex() else torch.float32
        drawn[name] = torch.randn(param.shape, generator=generator, dtype=dtype).to(param.device, param.dtype)
    return drawn


def filter_normalised(
    direction: Mapping[str, Tensor], params: Mapping[str, Tensor], model: nn.Module | None = None, prefix: str = ""
) -> Direction:
    """``d_ij * |theta_ij| / |d_ij|`` for every filter j of every tensor i (Li et al. 2018, section 4).

    A filter is what makes one output: a row of a linear layer, of an embedding, of the projections of attention and of
    the gates of a recurrent layer; an output channel of a convolution, also of a transposed or grouped one. Biases and
    the parameters of normalisation layers are scaled as one.

    Args:
        direction: any.
        params: to whose size it is brought.
        model: tells the layers whose outputs are not dim 0, and those that normalise.
        prefix: of the names of the parameters, before those of the model.
    """
    special = _special(model, prefix)
    return {name: _scaled(part, params[name], special.get(name, _of_rows)) for name, part in direction.items()}


def layer_normalised(direction: Mapping[str, Tensor], params: Mapping[str, Tensor]) -> Direction:
    """``d_i * |theta_i| / |d_i|`` for every tensor i."""
    return {name: _scaled(part, params[name], _of_all) for name, part in direction.items()}


def without_biases(direction: Mapping[str, Tensor], model: nn.Module | None = None, prefix: str = "") -> Direction:
    """The same direction with zeros, by absence, on tensors of fewer than two dims and on normalisation layers."""
    special = _special(model, prefix)
    return {n: part for n, part in direction.items() if part.ndim > 1 and special.get(n) is not _of_all}


def _scaled(part: Tensor, param: Tensor, lengths: Lengths) -> Tensor:
    long = lengths(part)
    return part * torch.where(long > 0, lengths(param.detach()) / long, torch.zeros_like(long))


def _special(model: nn.Module | None, prefix: str) -> dict[str, Lengths]:
    """The parameters whose filters are not their rows."""
    found: dict[str, Lengths] = {}
    for path, module in model.named_modules() if model is not None else ():
        for name, param in module.named_parameters(recurse=False):
            key = prefix + ".".join(filter(None, (path, name)))
            if isinstance(module, NORMS):
                found[key] = _of_all
            elif isinstance(module, TRANSPOSED) and param.ndim > 1:
                found[key] = partial(_of_columns, groups=module.groups)
            elif type(module).__name__ == "Conv1D" and param.ndim == 2:  # of transformers: (inputs, outputs)
                found[key] = partial(_of_columns, groups=1)
    return found


def _of_rows(tensor: Tensor) -> Tensor:
    dims = tuple(range(1, tensor.ndim))
    return torch.linalg.vector_norm(tensor, dim=dims, keepdim=True) if dims else _of_all(tensor)


def _of_all(tensor: Tensor) -> Tensor:
    return torch.linalg.vector_norm(tensor)


def _of_columns(tensor: Tensor, groups: int) -> Tensor:
    """Lengths by output, which is dim 1 within each group of inputs; expanded to the shape of the tensor."""
    apart = tensor.unflatten(0, (groups, -1))
    dims = (1, *range(3, apart.ndim))
    return torch.linalg.vector_norm(apart, dim=dims, keepdim=True).expand(apart.shape).reshape(tensor.shape)
