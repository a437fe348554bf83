"""Outliers are what was planted outside a bulk, and a bulk has none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbtoolkit.numerics.spectra import outlier_values, outliers
from tests.analysis.ritz import bulk, quadrature

PLANTED = np.array([10, 12, 15, 20, 30, 50, 80, 120, 200.0])
BULK = bulk(500)
RNG = np.random.default_rng(5)


def count(values: np.ndarray, weights: np.ndarray) -> int:
    return int(np.median(outliers(values, weights).sum(axis=1)))


@pytest.mark.parametrize("nodes", [20, 40, 80])
def test_nine_planted_eigenvalues_are_nine_outliers(nodes: int) -> None:
    values, weights = quadrature(np.r_[BULK, PLANTED], 6, nodes)
    mask = outliers(values, weights)
    assert mask.sum(axis=1).tolist() == [9] * 6
    np.testing.assert_allclose(outlier_values(values, mask), PLANTED, rtol=1e-3)


@pytest.mark.parametrize("nodes", [10, 20, 80])
@pytest.mark.parametrize(
    "spectrum",
    [BULK, BULK - 1, np.tanh(RNG.standard_normal(600)), RNG.laplace(size=600), RNG.exponential(size=600)],
    ids=["Marchenko-Pastur", "centred", "bounded", "Laplace", "exponential"],
)
def test_a_bulk_alone_has_none(spectrum: np.ndarray, nodes: int) -> None:
    assert not outliers(*quadrature(spectrum, 6, nodes)).any()


def test_outliers_lie_on_both_sides() -> None:
    values, weights = quadrature(np.r_[BULK - 1, -9, -6, 11, 20, 40.0], 6, 40)
    mask = outliers(values, weights)
    np.testing.assert_allclose(outlier_values(values, mask), [-9, -6, 11, 20, 40], rtol=1e-6)


def test_what_lies_close_to_the_bulk_belongs_to_it() -> None:
    edge = BULK.max() - np.median(BULK)
    for factor, expected in ((1.2, 0), (2.0, 1)):
        assert count(*quadrature(np.r_[BULK, np.median(BULK) + factor * edge], 6, 80)) == expected


def test_a_ritz_value_on_which_the_probes_disagree_is_no_outlier() -> None:
    values, weights = quadrature(np.r_[BULK, 30.0], 6, 40)
    values[np.arange(6), values.argmax(axis=1)] *= np.linspace(0.9, 1.1, 6)
    assert not outliers(values, weights).any()


def test_more_than_a_tenth_of_the_spectrum_is_no_outlier() -> None:
    for size, expected in ((100, 5), (25, 0)):
        assert count(*quadrature(np.r_[bulk(size), 20, 30, 40, 50, 60], 5, 25)) == expected


def test_a_probe_that_broke_down_is_judged_by_what_it_has() -> None:
    values, weights = quadrature(np.r_[BULK, PLANTED], 6, 60)
    values[2], weights[2] = np.nan, np.nan
    low = np.argsort(values[4])[:20]
    values[4, low] = weights[4, low] = np.nan
    mask = outliers(values, weights)
    assert mask.sum(axis=1).tolist() == [9, 9, 0, 9, 9, 9]
    assert len(outlier_values(values, mask)) == 9


def test_too_few_nodes_tell_nothing() -> None:
    values, weights = quadrature(np.r_[BULK, 1000.0], 6, 9)
    assert not outliers(values, weights).any()
    assert outlier_values(values, outliers(values, weights)).size == 0
    nothing = np.full((3, 20), np.nan)
    assert not outliers(nothing, nothing).any()


@settings(max_examples=20)
@given(st.floats(1e-6, 1e6), st.permutations(range(5)), st.permutations(range(30)))
def test_neither_units_nor_order_matter(factor: float, probes: list[int], nodes: list[int]) -> None:
    values, weights = quadrature(np.r_[bulk(100), PLANTED], 5, 30)
    place = np.ix_(probes, nodes)
    np.testing.assert_array_equal(outliers(values * factor, weights)[place], outliers(values, weights)[place])
    np.testing.assert_array_equal(outliers(-values, weights), outliers(values, weights))
    np.testing.assert_array_equal(outliers(values[place], weights[place]), outliers(values, weights)[place])
