"""Logarithmic and power-law growth, planted and told apart."""

import numpy as np
import pytest
import xarray

from nbtoolkit import analysis


def series(steps: np.ndarray, values: np.ndarray) -> xarray.DataArray:
    return xarray.DataArray(values, dims="step", coords={"step": steps}, attrs={"units": "param"})


STEPS = np.arange(0, 3000, 10)


def test_planted_growth_is_found_and_told_apart() -> None:
    log = np.concatenate([[0.0], 0.5 + 0.3 * np.log(STEPS[1:])])
    found = analysis.log_growth(series(STEPS, log))
    assert float(found.log_slope) == pytest.approx(0.3)
    assert float(found.log_r2) == pytest.approx(1)
    assert float(found.power_r2) < 0.99
    assert found.log_slope.attrs["units"] == "param"
    power = analysis.log_growth(series(STEPS, 0.2 * STEPS**0.5))
    assert float(power.exponent) == pytest.approx(0.5)
    assert float(power.power_r2) == pytest.approx(1)
    assert float(power.log_r2) < 0.95


def test_r2_is_the_squared_correlation_and_holes_are_left_out() -> None:
    noisy = 1 + 0.3 * np.log(np.maximum(STEPS, 1)) + np.random.default_rng(0).normal(0, 0.1, len(STEPS))
    wanted = np.corrcoef(np.log(STEPS[1:]), noisy[1:])[0, 1] ** 2
    assert float(analysis.log_growth(series(STEPS, noisy)).log_r2) == pytest.approx(wanted, rel=1e-12)
    noisy[5:9] = np.nan
    kept = np.isfinite(noisy) & (STEPS > 0)
    wanted = np.corrcoef(np.log(STEPS[kept]), noisy[kept])[0, 1] ** 2
    assert float(analysis.log_growth(series(STEPS, noisy)).log_r2) == pytest.approx(wanted, rel=1e-12)


def test_what_does_not_grow_has_no_fit() -> None:
    for values in (np.ones(10), np.zeros(10), np.full(10, np.nan)):
        found = analysis.log_growth(series(np.arange(10), values))
        assert all(np.isnan(value) for value in found.data_vars.values())
    assert np.isnan(analysis.log_growth(series(np.arange(3), np.arange(3.0))).log_r2)  # two points are on any line
    two = xarray.DataArray(np.ones((3, 2)), dims=("step", "param"))
    with pytest.raises(ValueError, match=r"log_growth got the dims \('step', 'param'\)"):
        analysis.log_growth(two)
