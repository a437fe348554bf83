"""Copies along a training: what is kept, how exactly, and the plane in which they lie."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nbtoolkit.numerics.trajectory import Passing, Trajectory, count_sketch, principal, random_walk_ratios


def walk(
    steps: int, size: int = 40, *, scale: float = 1.0, dtype: torch.dtype = torch.float32
) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    path = torch.randn(steps, size, generator=generator, dtype=dtype).mul(scale).cumsum(0) + 3.0
    return [{"w": row[: size - 4].reshape(2, -1), "b": row[size - 4 :]} for row in path]


def filled(path: list[dict[str, Tensor]], most: int = 8, memory: int = 2**28, every: int = 10) -> Trajectory:
    trajectory = Trajectory(most, memory)
    for i, params in enumerate(path):
        trajectory.add(i * every, params)
    return trajectory


def displacements(trajectory: Trajectory, path: list[dict[str, Tensor]], every: int = 10) -> Tensor:
    rows = [torch.cat([p.reshape(-1) for p in path[step // every].values()]).double() for step in trajectory.steps]
    return torch.stack(rows) - rows[0]


def test_few_copies_are_exact_and_keep_shape_and_dtype() -> None:
    path = walk(5, dtype=torch.float64)
    trajectory = filled(path)
    assert trajectory.steps == [0, 10, 20, 30, 40]
    for place, params in enumerate(path):
        copy = trajectory.params(place)
        assert list(copy) == ["w", "b"]
        for name in params:
            assert torch.equal(copy[name], params[name])


def test_copies_are_no_views_of_what_they_copy() -> None:
    param = {"w": torch.ones(3)}
    trajectory = Trajectory()
    trajectory.add(0, param)
    param["w"].add_(1.0)
    trajectory.add(1, param)
    assert trajectory.params(0)["w"].tolist() == [1.0] * 3
    assert trajectory.params(1)["w"].tolist() == [2.0] * 3


@pytest.mark.parametrize("steps", [8, 9, 30, 1000])
def test_of_many_the_first_the_newest_and_evenly_spaced_ones_are_kept(steps: int) -> None:
    trajectory = filled(walk(steps, 8), every=1)
    kept = trajectory.steps
    assert kept[0] == 0
    assert kept[-1] == steps - 1
    assert 4 <= len(kept) <= 8
    gaps = [b - a for a, b in itertools.pairwise(kept)]
    assert max(gaps) <= 4 * min(gaps[:-1])
    assert kept == sorted(set(kept))


def test_inner_products_are_those_of_the_displacements_after_thinning() -> None:
    path = walk(100, dtype=torch.float64)
    trajectory = filled(path)
    moved = displacements(trajectory, path)
    torch.testing.assert_close(trajectory.inner(), moved @ moved.T, rtol=1e-12, atol=1e-12)


def test_half_precision_keeps_displacements_to_its_own_digits() -> None:
    path = walk(6, 4000, scale=1e-6)  # far below what half precision could tell apart at 3.0
    trajectory = filled(path, memory=8 * 4000 * 2)
    assert not trajectory.sketched
    moved = displacements(trajectory, path)
    torch.testing.assert_close(
        trajectory.inner(), moved @ moved.T, rtol=2e-3, atol=2e-3 * float(moved.square().sum(1).max())
    )
    for place in range(6):
        found = torch.cat([p.reshape(-1) for p in trajectory.params(place).values()]).double()
        true = torch.cat([p.reshape(-1) for p in path[place].values()]).double()
        assert float((found - true).abs().max()) <= 6e-4 * float(moved[place].abs().max()) + 3e-7


def test_large_models_keep_a_projection_which_cannot_become_parameters() -> None:
    path = walk(6, 40_000)
    trajectory = filled(path, memory=8 * 40_000)
    assert trajectory.sketched
    moved = displacements(trajectory, path)
    true = moved @ moved.T
    lengths = moved.norm(dim=1)
    error = (trajectory.inner() - true).abs() / (lengths[:, None] * lengths[None]).clamp(min=1e-30)
    assert float(error[1:, 1:].max()) < 5 / math.sqrt(trajectory.buckets)
    with pytest.raises(ValueError, match="40000 parameters are too many for 8 copies"):
        trajectory.params(1)


def test_the_projection_is_unbiased() -> None:
    """Over many pairs of vectors the errors of inner products have mean zero and the size that is stated."""
    generator = torch.Generator().manual_seed(0)
    buckets, errors = 256, []
    for _ in range(200):
        a, b = torch.randn(2, 5000, generator=generator, dtype=torch.float64)
        product = count_sketch(a, buckets) @ count_sketch(b, buckets)
        errors.append(float((product - a @ b) / (a.norm() * b.norm())))
    found = torch.tensor(errors)
    spread = float(found.std())
    assert abs(float(found.mean())) < 3 * spread / math.sqrt(len(errors))
    assert 0.8 < spread * math.sqrt(buckets) < 1.25


def test_other_parameters_begin_another_trajectory() -> None:
    trajectory = filled(walk(4))
    trajectory.add(50, {"w": torch.zeros(3)})
    assert trajectory.steps == [50]


def test_the_same_step_is_kept_once() -> None:
    trajectory = Trajectory()
    for value in (1.0, 2.0):
        trajectory.add(7, {"w": torch.full((2,), value)})
    assert trajectory.steps == [7]
    assert trajectory.params(0)["w"].tolist() == [2.0, 2.0]


def test_the_plane_is_that_of_the_dense_decomposition() -> None:
    path = walk(30, dtype=torch.float64)
    trajectory = filled(path, most=32)
    plane = principal(trajectory.inner(), 3)
    about = displacements(trajectory, path)
    about = about - about[-1]
    left, values, _ = torch.linalg.svd(about, full_matrices=False)
    coordinates = left[:, :3] * values[:3]
    signs = torch.sign(coordinates[0])
    torch.testing.assert_close(plane.coordinates, coordinates * signs, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(plane.ratios, values[:3].square() / values.square().sum(), rtol=1e-10, atol=0)
    assert plane.coordinates[-1].abs().max() < 1e-9
    assert (plane.coordinates[0] > 0).all()
    # Directions of parameters are unit vectors whose products with the displacements are the coordinates.
    parts = [trajectory.combined(weight) for weight in plane.weights]
    directions = torch.stack([torch.cat([p.reshape(-1) for p in part.values()]) for part in parts])
    torch.testing.assert_close(directions @ directions.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(about @ directions.T, plane.coordinates, rtol=1e-9, atol=1e-9)


def test_a_straight_path_has_one_component() -> None:
    path = [{"w": torch.tensor([1.0, 2.0], dtype=torch.float64) * i} for i in range(6)]
    plane = principal(filled(path).inner(), 2)
    assert plane.coordinates.shape == (6, 1)
    torch.testing.assert_close(plane.ratios, torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(plane.coordinates[:, 0], math.sqrt(5) * torch.arange(5, -1, -1, dtype=torch.float64))


def test_a_random_walk_in_many_dimensions_shows_what_is_predicted() -> None:
    steps = [0, 10, 20, 40, 80, 90]  # unevenly seen
    generator = torch.Generator().manual_seed(0)
    path = torch.randn(91, 20_000, generator=generator, dtype=torch.float64).cumsum(0)
    trajectory = Trajectory()
    for step in steps:
        trajectory.add(step, {"w": path[step]})
    found = principal(trajectory.inner(), 2).ratios
    torch.testing.assert_close(found, random_walk_ratios(steps, 2), rtol=0.03, atol=0)
    long = random_walk_ratios(range(1000), 2)
    torch.testing.assert_close(
        long, torch.tensor([8 / math.pi**2, 8 / (9 * math.pi**2)], dtype=torch.float64), rtol=2e-3, atol=0
    )


def test_too_few_copies_are_refused() -> None:
    with pytest.raises(ValueError, match="most=2: a trajectory keeps at least 3"):
        Trajectory(2)


def test_copies_that_are_given_out_are_not_those_that_are_kept() -> None:
    trajectory = filled(walk(3))
    before = trajectory.params(1)["w"].clone()
    trajectory.params(1)["w"].add_(7.0)
    assert torch.equal(trajectory.params(1)["w"], before)


def test_of_large_models_nothing_of_their_size_is_kept_and_small_steps_are_seen() -> None:
    path = walk(6, 40_000, scale=1e-5, dtype=torch.float64)
    path = [{name: part.float() for name, part in params.items()} for params in path]
    trajectory = filled(path, memory=8 * 40_000)
    held = [t for v in vars(trajectory).values() for t in (v if isinstance(v, list) else [v]) if isinstance(t, Tensor)]
    assert max(t.numel() for t in held) == trajectory.buckets < 40_000
    moved = displacements(trajectory, path)
    lengths = moved.norm(dim=1)
    error = (trajectory.inner() - moved @ moved.T).abs() / (lengths[:, None] * lengths[None]).clamp(min=1e-30)
    assert float(error[1:, 1:].max()) < 5 / math.sqrt(trajectory.buckets)


def test_the_present_copy_is_taken_when_it_is_first_looked_at() -> None:
    looks: list[Callable[[Trajectory], object]] = [
        len, lambda t: t.steps, lambda t: t.sketched, lambda t: t.params(0), lambda t: t.inner(),
        lambda t: t.combined(torch.zeros(3)),
    ]  # fmt: skip
    for look in looks:
        path, asked = walk(3), []
        kept = filled(path[:2])
        passing = Passing(kept, 20, lambda path=path, asked=asked: asked.append(1) or path[2])
        assert len(kept) == 2
        look(passing)
        assert kept.steps == passing.steps == [0, 10, 20]
        assert len(asked) == 1
        for one, other in ((passing.params(2), path[2]), (passing.params(0), path[0])):
            assert torch.equal(one["w"], other["w"])
        assert torch.equal(passing.inner(), kept.inner())
