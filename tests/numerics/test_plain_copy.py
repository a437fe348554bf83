"""A copy of a model without what spreads it over processes."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from nbtoolkit.numerics.plain_copy import plain_copy


def doubled(module: nn.Module, args: Any, out: Any) -> Any:
    return 2 * out


class Spreading:
    """Hooks as `fully_shard` registers them."""

    def before(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        raise AssertionError("the copy must not gather")


Spreading.__module__ = "torch.distributed.fsdp.somewhere"


class Sharded:
    """As `fully_shard` derives classes."""

    _orig_cls_mro_index = 2

    def __deepcopy__(self, memo: object) -> None:
        raise AssertionError("no copies of this")


def sharded(module: nn.Module) -> nn.Module:
    module.register_forward_pre_hook(Spreading().before)
    module.__dict__["__composable_api_state_key-1"] = {"state": Spreading()}
    kind = type(module)
    module.__class__ = type(f"FSDP{kind.__name__}", (Sharded, kind), {})  # type: ignore[assignment]
    return module


def test_computes_the_same_with_other_tensors() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sequential(nn.Linear(4, 4), nn.Tanh()))
    x = torch.randn(5, 3)
    model.eval()
    plain: Any = copy.deepcopy(model)
    plain[0].register_forward_hook(doubled)
    model[0].register_forward_hook(doubled)
    for module in (model[0], model[2], model):
        sharded(module)
    tensors = {name: param.detach() + 1 for name, param in model.named_parameters()}
    buffers = {name: buffer + 1 for name, buffer in model.named_buffers()}
    found: Any = plain_copy(model, tensors, buffers)
    plain.load_state_dict({**tensors, **buffers})
    assert torch.equal(found(x), plain(x))
    assert [type(module) for module in found.modules()] == [type(module) for module in plain.modules()]
    assert not found.training


def test_shares_what_is_not_replaced_and_keeps_flags() -> None:
    model: Any = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3))
    model[1].weight = model[0].weight  # tied
    model[0].weight.requires_grad_(False)
    found: Any = plain_copy(model, {"0.weight": torch.zeros(3, 3)}, {})
    assert found[0].weight is found[1].weight
    assert not found[0].weight.requires_grad
    assert found[1].bias is model[1].bias
    assert found[2].running_mean is model[2].running_mean
    assert float(model[0].weight.abs().sum()) > 0
    found[0].added = 1
    assert not hasattr(model[0], "added")
