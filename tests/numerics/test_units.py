"""Dormant, dead, active and distinct units, planted one by one."""

import pytest
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from nbtoolkit.numerics import units


def independent(count: int, width: int) -> torch.Tensor:
    """Units without correlation: orthogonal, and orthogonal to the constant."""
    raw = torch.randn(count, width + 1, dtype=torch.float64)
    raw[:, 0] = 1.0
    return torch.linalg.qr(raw).Q[:, 1:]


def test_the_score_is_the_mean_size_over_that_of_the_layer() -> None:
    h = torch.tensor([[1.0, -0.1, 0.0, 2.9], [-1.0, 0.1, 0.0, 2.9]])  # sizes 1, 0.1, 0, 2.9, whose mean is 1
    scores = [1.0, 0.1, 0.0, 2.9]
    for threshold in (0.0, 0.05, 0.11, 1.5, 3.0):
        assert units.dormant(h, threshold).tolist() == [score <= threshold for score in scores]


def test_a_unit_at_the_threshold_is_dormant_and_of_a_silent_layer_each_one_is() -> None:
    assert units.dormant(torch.tensor([[1.0, 3.0]]), 0.5).tolist() == [True, False]  # the score is exactly 0.5
    assert units.dormant(torch.zeros(5, 3), 0.025).tolist() == [True, True, True]
    assert units.dormant(torch.ones(5, 3), 0.025).tolist() == [False, False, False]


def test_dead_is_exactly_zero_everywhere() -> None:
    h = torch.rand(6, 4) + 0.1
    h[:, 1] = 0.0
    h[:, 2] = 0.0
    h[3, 2] = 1e-38
    h[:, 3] *= -1
    assert units.dead(h).tolist() == [False, True, False, False]


def test_active_is_the_mean_share_above_zero() -> None:
    h = torch.tensor([[1.0, -1.0, 0.0, 2.0], [1.0, 1.0, 1.0, 0.0]])
    assert float(units.active(h)) == (2 / 4 + 3 / 4) / 2


def test_a_channel_is_a_unit_with_all_its_positions() -> None:
    maps = torch.zeros(2, 3, 4, 4)
    maps[:, 0] = 1.0
    maps[1, 2, 3, 3] = 1e-3  # one position of one example
    assert units.dormant(maps, 0.025).tolist() == [False, True, True]
    assert units.dead(maps).tolist() == [False, True, False]
    assert float(units.active(maps)) == pytest.approx((32 + 1) / 96)
    assert units.samples(maps).shape == (32, 3)
    torch.testing.assert_close(units.samples(maps)[:, 2].sum(), torch.tensor(1e-3))


def test_duplicates_are_counted_once_whatever_their_scale_sign_and_offset() -> None:
    h = independent(50, 6)
    assert units.distinct(h, 0.95) == 6
    copies = torch.cat([h, 3 * h[:, :1], -0.1 * h[:, :1] + 7, torch.zeros(50, 2, dtype=h.dtype)], 1)
    assert units.distinct(copies, 0.95) == 6
    assert units.distinct(copies.float(), 0.95) == 6


def test_the_correlation_decides_and_chains_are_one() -> None:
    h = independent(50, 2)
    angle = torch.tensor([0.0, 0.2, 0.4, 1.5], dtype=h.dtype)  # neighbours correlate by cos 0.2 = 0.980, ends by 0.921
    fan = h[:, :1] * angle.cos() + h[:, 1:] * angle.sin()
    assert units.distinct(fan, 0.95) == 2
    assert units.distinct(fan, 0.985) == 4
    assert units.distinct(fan[:, [0, 2, 3]], 0.95) == 3  # without the link between them


@pytest.mark.parametrize("links", [0, 15, 40, 90, 2000])
def test_groups_are_the_connected_components(links: int) -> None:
    ends = torch.randint(60, (2, links))
    graph = torch.eye(60, dtype=torch.bool)
    graph[ends[0], ends[1]] = graph[ends[1], ends[0]] = True
    assert units._groups(graph) == connected_components(csr_matrix(graph.numpy()), return_labels=False)


def test_units_that_are_constant_are_one_and_those_that_are_zero_none() -> None:
    h = torch.cat([independent(40, 3), torch.full((40, 2), 0.1, dtype=torch.float64)], 1)
    assert units.distinct(h, 0.95) == 4
    assert units.distinct(h.float(), 0.95) == 4
    assert units.distinct(h[:, 3:], 0.95) == 1
    assert units.distinct(torch.zeros(40, 3), 0.95) == 0


def test_the_parts_in_which_it_is_computed_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    h = torch.relu(torch.randn(7, 5, 9)).double()
    wanted = [units.distinct(h, share) for share in (0.0, 0.05, 0.1, 0.2)]
    assert len(set(wanted)) > 2
    monkeypatch.setattr(units, "CHUNK", 20)
    assert [units.distinct(h, share) for share in (0.0, 0.05, 0.1, 0.2)] == wanted


def test_too_many_units_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "MOST", 4)
    assert units.distinct(independent(20, 4), 0.95) == 4
    assert units.distinct(independent(20, 5), 0.95) is None
