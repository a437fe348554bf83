"""The intrinsic dimension of made-up accuracies."""

import numpy as np
import pytest
import xarray

from nbtoolkit.analysis import objective_intrinsic_dim


def runs(accuracy: list[list[float]], d: list[int], full: float | list[float] = 1.0) -> xarray.Dataset:
    full_accuracy = ((), full) if isinstance(full, float) else ("seed", full)
    return xarray.Dataset({"accuracy": (("d", "seed"), np.array(accuracy)), "full_accuracy": full_accuracy}, {"d": d})


def test_it_is_the_least_dimension_that_is_enough() -> None:
    found = objective_intrinsic_dim(runs([[0.5, 0.7], [0.85, 0.93], [0.95, 0.91], [0.99, 0.99]], [100, 160, 240, 360]))
    assert (float(found.intrinsic_dim), float(found.below)) == (240, 160)
    assert (float(found.lowest), float(found.highest), int(found.reached)) == (160, 240, 2)
    assert float(found.threshold) == 0.9
    np.testing.assert_allclose(found.mean_accuracy, [0.6, 0.89, 0.93, 0.99])
    np.testing.assert_allclose(found.standard_error, [0.1, 0.04, 0.02, 0.0], atol=1e-15)


def test_the_order_of_the_dimensions_and_of_the_dims_does_not_matter() -> None:
    ds = runs([[0.5, 0.7], [0.85, 0.93], [0.95, 0.91]], [100, 160, 240])
    expected = objective_intrinsic_dim(ds)
    for other in (ds.isel(d=[2, 0, 1]), ds.transpose("seed", "d")):
        xarray.testing.assert_identical(objective_intrinsic_dim(other), expected)


def test_the_threshold_is_a_share_of_the_mean_full_accuracy() -> None:
    ds = runs([[0.5], [0.72], [0.8]], [10, 20, 40], [0.8])
    assert float(objective_intrinsic_dim(ds).intrinsic_dim) == 20  # reached exactly
    assert float(objective_intrinsic_dim(ds, share=0.95).intrinsic_dim) == 40
    assert float(objective_intrinsic_dim(ds, share=0.5).below) == 0
    assert np.isnan(objective_intrinsic_dim(ds).standard_error).all()


def test_where_none_is_enough_it_is_nan_and_says_why() -> None:
    found = objective_intrinsic_dim(runs([[0.1, 0.2], [0.3, 0.4]], [10, 20]))
    for name in ("intrinsic_dim", "below", "lowest", "highest"):
        assert np.isnan(found[name])
        assert found[name].attrs["not_measured"]
    assert "reaches 0.9 of the full accuracy 1;" in found.intrinsic_dim.attrs["not_measured"]
    some = objective_intrinsic_dim(runs([[0.1, 0.2], [0.8, 1.0]], [10, 20]))
    assert (float(some.intrinsic_dim), float(some.lowest)) == (20, 20)
    assert np.isnan(some.highest)
    assert some.highest.attrs["not_measured"] == "1 of 2 seeds never do"
    assert "not_measured" not in some.lowest.attrs


def test_what_is_missing_is_told() -> None:
    with pytest.raises(ValueError, match=r"needs accuracy with the dims d and seed.*; this has nothing"):
        objective_intrinsic_dim(xarray.Dataset())
    with pytest.raises(ValueError, match=r"accuracy \('width', 'seed'\)"):
        objective_intrinsic_dim(runs([[0.5]], [10]).rename(d="width"))
    with pytest.raises(ValueError, match=r"share=1\.5: expected a number above 0"):
        objective_intrinsic_dim(runs([[0.5]], [10]), share=1.5)
