"""Kendall's tau between slices: as counted pair by pair, in exact cases, with ties and holes."""

import itertools
import math

import numpy as np
import pytest
import xarray

from nbtoolkit import analysis


def sweep(*slices: object, **more: object) -> xarray.Dataset:
    """A loss of some methods, a slice for each stream."""
    loss = np.array(slices, float)
    coords = {"stream": [f"s{i}" for i in range(len(loss))], "method": np.arange(loss.shape[1])}
    return xarray.Dataset({"loss": (("stream", "method"), loss)}, {**coords, **more})


def counted(one: np.ndarray, other: np.ndarray) -> float:
    """Tau-b by its definition."""
    agree = tied_one = tied_other = pairs = 0
    for i, j in itertools.combinations(np.flatnonzero(~np.isnan(one) & ~np.isnan(other)), 2):
        a, b = (int(x[i] > x[j]) - int(x[i] < x[j]) for x in (one, other))
        agree, pairs = agree + a * b, pairs + 1
        tied_one, tied_other = tied_one + (a == 0), tied_other + (b == 0)
    return agree / math.sqrt((pairs - tied_one) * (pairs - tied_other))


@pytest.mark.parametrize(("one", "other", "tau"), [
    ([1, 2, 3, 4], [10, 20, 30, 40], 1.0), ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
    ([1, 2, 3, 4], [1, 2, 4, 3], 4 / 6),  # five pairs alike, one the other way round
    ([1, 2, 3], [1, 1, 2], 2 / math.sqrt(3 * 2)), ([1, 2, np.inf, np.inf], [1, 2, 3, np.inf], 5 / math.sqrt(5 * 6)),
    ([1, np.nan, 2, 3], [3, 0, 2, np.nan], -1.0),
])  # fmt: skip
def test_rankings_agree_as_far_as_their_pairs_do(one: list[float], other: list[float], tau: float) -> None:
    found = analysis.rank_agreement(sweep(one, other), "stream")
    assert found.tau.dims == ("stream", "stream_other")
    assert (float(found.tau[0, 1]), float(found.tau[1, 0])) == pytest.approx((tau, tau), abs=1e-15)
    np.testing.assert_allclose(np.diag(found.tau), 1, rtol=1e-15)
    assert int(found.known[0, 1]) == int((~np.isnan(one) & ~np.isnan(other)).sum())


def test_it_is_what_is_counted_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    loss = rng.integers(0, 6, (3, 4, 5)).astype(float)
    loss[rng.random(loss.shape) < 0.1] = np.nan
    data = xarray.Dataset({"loss": (("lr", "width", "method"), loss)}, {"width": [8, 16, 32, 64]})
    found = analysis.rank_agreement(data)
    flat = loss.transpose(1, 0, 2).reshape(4, -1)
    for i, j in itertools.product(range(4), repeat=2):
        assert float(found.tau[i, j]) == pytest.approx(counted(flat[i], flat[j]), abs=1e-14)
        assert int(found.known[i, j]) == (~np.isnan(flat[i]) & ~np.isnan(flat[j])).sum()
    np.testing.assert_array_equal(found.width_other, [8, 16, 32, 64])
    flipped = analysis.rank_agreement(-data, "width")  # an accuracy, say
    np.testing.assert_allclose(flipped.tau, found.tau, rtol=0, atol=1e-14)


def test_of_seeds_the_mean_is_ranked_and_seeds_themselves_can_be_compared() -> None:
    data = xarray.concat([sweep([1, 2, 3], [3, 1, 2]), sweep([3, 4, 8], [3, 1, 2])], "seed").assign_coords(seed=[0, 1])
    data["loss"][1, 0, 1] = 0.5
    found = analysis.rank_agreement(data, "stream")
    assert float(found.tau[0, 1]) == pytest.approx(counted(np.array([2, 1.25, 5.5]), np.array([3.0, 1, 2])))
    assert analysis.rank_agreement(data, "seed").tau.shape == (2, 2)


def test_where_nothing_can_be_said_there_is_nan() -> None:
    found = analysis.rank_agreement(sweep([1, 2, 3], [5, 5, 5], [1, np.nan, np.nan]), "stream")
    np.testing.assert_array_equal(np.isfinite(found.tau), [[True, False, False], [False] * 3, [False] * 3])
    assert found.known.values.tolist() == [[3, 3, 1], [3, 3, 1], [1, 1, 1]]


@pytest.mark.parametrize(("along", "words"), [
    ("width", r"along='width', which is no axis of 'loss'; its axes are: stream, method"),
    ("stream", r"no axis besides 'stream'; it ranks the points on the others"),
])  # fmt: skip
def test_what_cannot_be_ranked_is_refused(along: str, words: str) -> None:
    data = sweep([1, 2], [2, 1])
    with pytest.raises(ValueError, match=words):
        analysis.rank_agreement(data if along == "width" else data.isel(method=0), along)
