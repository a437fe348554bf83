"""Angles, lengths and condition of chosen gradients, against dense float64."""

import math

import numpy as np
import pytest
import torch

from nbtoolkit.numerics import conflict
from nbtoolkit.numerics.conflict import relations, vectors


def planted(cosines: list[list[float]], norms: list[float], size: int = 50) -> list[torch.Tensor]:
    """Vectors with these cosines and lengths, in random directions."""
    root = torch.linalg.cholesky(torch.tensor(cosines, dtype=torch.float64))
    frame = torch.linalg.qr(
        torch.randn(size, len(norms), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ).Q
    return [norm * frame @ row for norm, row in zip(norms, root, strict=True)]


COSINES = [[1.0, 0.5, -0.9], [0.5, 1.0, -0.2], [-0.9, -0.2, 1.0]]


def test_planted_angles_and_lengths_are_found() -> None:
    found = relations(planted(COSINES, [1e-3, 2.0, 1e3]))
    np.testing.assert_allclose(found.cosine, COSINES, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.norms, [1e-3, 2.0, 1e3], rtol=1e-12)
    assert found.conflict == pytest.approx(2 / 3)
    assert torch.equal(found.cosine, found.cosine.T)
    assert torch.equal(found.cosine.diagonal(), torch.ones(3, dtype=torch.float64))


def test_a_vector_and_its_multiples_are_at_one_and_minus_one() -> None:
    vector = planted(COSINES, [1.0, 1.0, 1.0])[0]
    found = relations([vector, 3 * vector, -vector])
    np.testing.assert_allclose(found.cosine, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]], atol=1e-15)
    assert math.isinf(found.condition)


@pytest.mark.parametrize("condition", [1.0, 30.0, 1e6, 1e11])
def test_the_condition_number_keeps_its_digits(condition: float) -> None:
    generator = torch.Generator().manual_seed(1)
    left = torch.linalg.qr(torch.randn(400, 4, dtype=torch.float64, generator=generator)).Q
    right = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=generator)).Q
    sigma = torch.logspace(0, -math.log10(condition), 4, dtype=torch.float64)
    found = relations(list(((left * sigma) @ right).T))
    assert found.condition == pytest.approx(condition, rel=max(1e-10, 1e-15 * condition))


def test_pieces_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = planted(COSINES, [1.0, 2.0, 3.0], size=101)
    whole = relations(gradients)
    monkeypatch.setattr(conflict, "CHUNK", 7)
    parts = relations(gradients)
    np.testing.assert_allclose(parts.cosine, whole.cosine, atol=1e-14)
    np.testing.assert_allclose(parts.norms, whole.norms, rtol=1e-14)
    assert parts.condition == pytest.approx(whole.condition, rel=1e-13)


def test_a_gradient_that_is_zero_has_no_angle() -> None:
    one, two, _ = planted(COSINES, [1.0, 1.0, 1.0])
    found = relations([one, torch.zeros_like(one), -two])
    assert torch.isnan(found.cosine[1]).all()
    assert found.norms[1] == 0
    assert found.conflict == 1.0  # of the one pair that there is
    assert math.isinf(found.condition)
    assert math.isnan(relations([one]).conflict)
    assert math.isnan(relations([torch.zeros(3), torch.zeros(3)]).conflict)


def test_more_gradients_than_parameters_are_dependent() -> None:
    found = relations(list(torch.eye(3, dtype=torch.float64)[:, :2]))
    assert math.isinf(found.condition)
    np.testing.assert_array_equal(found.norms, [1, 1, 0])


def test_what_is_no_gradient_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no gradient"):
        relations([])
    with pytest.raises(ValueError, match="a gradient is not finite"):
        relations([torch.tensor([1.0, torch.nan]), torch.ones(2)])
    with pytest.raises(ValueError, match="there is no gradient"):
        vectors([{"w": None}, {}])


def test_trees_become_vectors_in_one_order() -> None:
    sparse = torch.sparse_coo_tensor(torch.tensor([[1]]), torch.tensor([5.0]), (3,), check_invariants=True)
    one, two = vectors([{"a": torch.ones(2, 2), "b": None}, {"b": sparse, "a": None}])
    assert one.tolist() == [1, 1, 1, 1, 0, 0, 0]
    assert two.tolist() == [0, 0, 0, 0, 0, 5, 0]
