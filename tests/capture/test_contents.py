"""The content of each kind of object is put back in place."""

import collections
import random
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nbtoolkit.capture.situation import Situation


def holders() -> dict[str, tuple[Any, Callable[[Any], Any]]]:
    """Things with content, and what changes them."""
    return {
        "list": ([1, 2, 3], lambda x: x.insert(0, 9)),
        "dict": ({"a": 1, "b": 2}, lambda x: (x.pop("a"), x.update(c=3, a=1))),
        "ordered": (collections.OrderedDict(a=1, b=2), lambda x: x.move_to_end("a")),
        "defaultdict": (collections.defaultdict(list, a=[1]), lambda x: x["z"].append(1)),
        "set": ({1, 2, 3}, lambda x: (x.discard(2), x.add(7))),
        "deque": (collections.deque([1, 2, 3], maxlen=3), lambda x: x.append(4)),
        "bytearray": (bytearray(b"abc"), lambda x: x.extend(b"d")),
        "array": (np.arange(6.0).reshape(2, 3)[:, ::2], lambda x: x.fill(7)),
        "resized": (np.arange(3.0), lambda x: x.resize(5, refcheck=False)),
        "locked": (np.arange(3.0), lambda x: (x.fill(7), x.setflags(write=False))),
        "tensor": (torch.arange(6.0), lambda x: x.mul_(2)),
        "expanded": (torch.ones(1).expand(4), lambda x: x[:1].data.add_(1)),
        "sparse": (torch.eye(3).to_sparse(), lambda x: x.mul_(2)),
        "int": (torch.arange(4), lambda x: x.add_(1)),
        "namespace": (types.SimpleNamespace(a=1), lambda x: (setattr(x, "a", 2), setattr(x, "b", 3))),
        "nested": ([{"a": [torch.zeros(2)]}], lambda x: (x[0]["a"][0].add_(1), x[0]["a"].append(0))),
    }


@pytest.mark.parametrize("kind", holders())
def test_contents_are_put_back_in_place(kind: str) -> None:
    thing, change = holders()[kind]
    reference, _ = holders()[kind]

    def look(one: Any) -> Any:
        if isinstance(one, torch.Tensor):
            return one.to_dense().tolist()
        if isinstance(one, np.ndarray):
            return one.tolist()
        if isinstance(one, dict):
            return [(key, look(value)) for key, value in one.items()]
        if isinstance(one, list):
            return [look(item) for item in one]
        return vars(one) if isinstance(one, types.SimpleNamespace) else one

    situation = Situation(lambda: thing)
    change(thing)
    assert look(thing) != look(reference)
    for _ in range(2):  # again, as after an interrupt
        situation.restore()
        assert look(thing) == look(reference)
    assert type(thing) is type(reference)


def test_a_tensors_memory_gradient_flags_and_attributes() -> None:
    weight = nn.Parameter(torch.randn(3))
    weight.grad = torch.ones(3)
    weight.note = "x"  # type: ignore[attr-defined]
    grad, where, values, version = weight.grad, weight.data_ptr(), weight.detach().clone(), weight._version
    product = (weight * weight).sum()  # its graph has kept the values
    situation = Situation(lambda: weight)
    weight.data = torch.zeros(3)
    weight.requires_grad_(False)
    grad.add_(1)
    weight.grad = None
    weight.note, weight.fresh = "y", 1  # type: ignore[attr-defined]
    situation.restore()
    assert weight.data_ptr() == where
    assert torch.equal(weight, values)
    assert weight.requires_grad
    assert weight.grad is grad
    assert torch.equal(grad, torch.ones(3))
    assert vars(weight) == {"note": "x"}
    with torch.no_grad():
        weight.add_(1)
    situation.restore()
    assert weight._version == version
    product.backward()
    assert torch.equal(grad, torch.ones(3) + 2 * values)


def test_random_numbers_of_all_kinds() -> None:
    own = [torch.Generator(), random.Random(5), np.random.default_rng(5), np.random.RandomState(5), np.random.PCG64(5)]
    draw = own[1].gauss  # bound methods lead to their generators
    sample = own[2].normal

    def work() -> list[Any]:
        drawn = [torch.rand(2, generator=own[0]).tolist(), draw(0, 1), sample(), own[3].rand(), own[4].random_raw()]
        return [*drawn, random.random(), np.random.rand(), torch.rand(2).tolist()]  # noqa: NPY002

    situation = Situation(work)
    first = work()
    assert work() != first
    situation.restore()
    assert work() == first
    assert {id(one) for one in own} <= {id(one) for one in situation.generators}


def test_memory_mapped_to_be_read_is_not_written(tmp_path: Any) -> None:
    path = tmp_path / "values"
    np.arange(4.0).tofile(path)
    mapped = torch.from_file(str(path), shared=False, size=4, dtype=torch.float64)
    array = np.memmap(path, dtype=np.float64, mode="r")
    situation = Situation(lambda: (mapped, array))
    situation.restore()
    assert mapped.tolist() == array.tolist() == [0.0, 1.0, 2.0, 3.0]
