"""Norms and differences of named tensors, against float64 references."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nbtoolkit.numerics import trees


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.integers(0, 2**31))
def test_norms_equal_the_float64_reference(sizes: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tree = {str(i): torch.randn(n, 3, generator=generator, dtype=torch.float64) for i, n in enumerate(sizes)}
    for norm, tensor in zip(trees.norms(tree), tree.values(), strict=True):
        assert norm is not None
        assert abs(norm.item() - tensor.square().sum().sqrt().item()) <= 1e-12 * (1 + norm.item())


def test_holes_stay_in_their_places() -> None:
    norms = trees.norms({"a": None, "b": torch.tensor([3.0, 4.0]), "c": None})
    assert norms[0] is None
    assert norms[1] == 5.0
    assert norms[2] is None
    assert trees.norms({"a": None}) == [None]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_and_returned_in_float32(dtype: torch.dtype) -> None:
    tensor = torch.full((4096,), 0.1).to(dtype)
    norm = trees.norms({"w": tensor, "x": torch.ones(1)})[0]
    assert norm is not None
    assert norm.dtype == torch.float32
    assert norm.item() == pytest.approx(tensor.double().norm().item(), rel=1e-5)  # bfloat16 itself: 2e-3


def test_duplicate_indices_of_a_sparse_gradient_are_added_first() -> None:
    places, values = torch.tensor([[1, 1, 4]]), torch.tensor([1.0, 2.0, 4.0])
    sparse = torch.sparse_coo_tensor(places, values, (6,), check_invariants=True)
    assert trees.norms({"g": sparse})[0] == 5.0


def test_differences_are_by_name_and_only_of_equal_shapes() -> None:
    after = {"a": torch.tensor([3.0]), "b": torch.zeros(2), "new": torch.ones(1)}
    moved = trees.difference(after, {"a": torch.tensor([1.0]), "b": torch.zeros(3)})
    assert moved["a"] == torch.tensor([2.0])
    assert moved["b"] is None
    assert moved["new"] is None
    assert trees.difference(after, {}) == {"a": None, "b": None, "new": None}


def test_clones_are_apart_from_the_originals() -> None:
    source = {"a": torch.ones(2, requires_grad=True)}
    copy = trees.clone(source)
    with torch.no_grad():
        source["a"].zero_()
    assert copy["a"].tolist() == [1.0, 1.0]
    assert not copy["a"].requires_grad


def test_norms_of_large_tensors_on_the_host_keep_their_precision() -> None:
    generator = torch.Generator().manual_seed(0)
    tree = {
        "large": torch.randn(3_000_007, generator=generator),
        "small": torch.randn(10, generator=generator),
        "turned": torch.randn(1000, 1001, generator=generator).T,
    }
    for norm, tensor in zip(trees.norms(tree), tree.values(), strict=True):
        assert norm is not None
        assert float(norm) == pytest.approx(float(tensor.double().norm()), rel=1e-6)
