"""Planted parabolas are found to the last digits; holes, edges and seeds are told."""

from typing import Any

import numpy as np
import pytest
import xarray
from scipy import stats

from nbtoolkit import analysis
from nbtoolkit.analysis.grids import is_geometric, positions
from nbtoolkit.analysis.parabola import EDGE, FAILED, NOT_RUN

LRS = 2.0 ** np.arange(-9, -2)
WIDTHS = [64, 256, 1024]
BEST = {64: -5.3, 256: -6.1, 1024: -6.9}  # log2: slope -0.4


def planted(**axes: Any) -> xarray.Dataset:
    """A loss that is a parabola in log2 of lr around the best of each width."""
    u = np.log2(LRS)[:, None]
    centres = np.array([BEST[width] for width in WIDTHS])
    loss = 0.3 + 0.02 * (u - centres) ** 2
    told = {"units": "loss", "long_name": "final loss"}
    return xarray.Dataset({"loss": (("lr", "width"), loss, told)}, {"lr": LRS, "width": WIDTHS, **axes})


def test_planted_optima_are_found() -> None:
    found = analysis.optimum(planted())
    assert found.best.dims == ("width",)
    np.testing.assert_array_equal(found.best, 2.0 ** np.array([-5, -6, -7]))
    np.testing.assert_allclose(np.log2(found.fitted), list(BEST.values()), rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.fitted_value, 0.3, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.best_value, 0.3 + 0.02 * np.array([0.09, 0.01, 0.01]), rtol=1e-12)
    assert np.isnan(found.fitted_low).all()  # one seed has no interval
    assert found.known.values.tolist() == [7] * 3
    assert found.reason.values.tolist() == [""] * 3
    assert found.best_value.attrs == {"long_name": "best final loss on the grid", "units": "loss"}
    assert "fitted" not in analysis.optimum(planted(), fit=False)


def test_on_a_logarithmic_axis_the_parabola_is_one_of_the_logarithm() -> None:
    data = np.exp(planted())
    data["loss"].attrs = planted().loss.attrs
    found, moved = analysis.optimum(data, scale="log"), analysis.lr_transfer(data, scale="log")
    np.testing.assert_allclose(np.log2(found.fitted), list(BEST.values()), rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.fitted_value, np.exp(0.3), rtol=1e-12)
    assert float(moved.slope) == pytest.approx(-0.4, abs=1e-9)
    assert abs(np.log2(analysis.optimum(data).fitted) - list(BEST.values())).max() > 1e-5
    below = analysis.optimum(planted() - 1, scale="log")  # it has no logarithm
    np.testing.assert_allclose(np.log2(below.fitted), list(BEST.values()), rtol=0, atol=1e-9)
    seeds = np.exp(seeded(4, 1e-5))
    wide, logs = analysis.optimum(seeds, scale="log"), analysis.optimum(np.log(seeds))
    np.testing.assert_allclose(wide.fitted_high / wide.fitted_low, logs.fitted_high / logs.fitted_low, rtol=1e-4)


@pytest.mark.parametrize("flipped", [False, True])
def test_the_order_of_the_axis_and_of_the_dims_does_not_matter(flipped: bool) -> None:
    data = planted().isel(lr=[3, 0, 6, 2, 5, 1, 4])
    data = data.transpose("width", "lr") if flipped else data
    xarray.testing.assert_allclose(analysis.optimum(data), analysis.optimum(planted()))


def test_large_values_can_be_the_good_ones() -> None:
    data = planted()
    data["accuracy"] = 1 - data.loss
    found = analysis.optimum(data, variable="accuracy", largest=True)
    np.testing.assert_allclose(np.log2(found.fitted), list(BEST.values()), atol=1e-9)
    np.testing.assert_allclose(found.fitted_value, 0.7, atol=1e-12)


def test_an_evenly_spaced_axis_is_read_as_it_stands() -> None:
    x = np.array([-1.0, 0, 1, 2.5, 4])
    data = xarray.DataArray((x - 1.3) ** 2 + 2, {"momentum": x}, name="loss")
    found = analysis.optimum(data, "momentum")
    assert float(found.fitted) == pytest.approx(1.3, abs=1e-12)
    assert float(found.fitted_value) == pytest.approx(2, abs=1e-12)


def test_holes_are_left_out_and_counted() -> None:
    data = planted()
    data["loss"][3, 0] = np.nan  # beside the best of width 64, at -6
    data["loss"][4:, 1] = np.inf  # above the best of width 256
    data["loss"][:, 2] = np.nan
    found = analysis.optimum(data)
    assert float(np.log2(found.fitted[0])) == pytest.approx(-5.3, abs=1e-9)  # the neighbours are -7 and -4 now
    assert found.known.values.tolist() == [6, 4, 0]
    assert found.missing.values.tolist() == [1, 3, 7]
    assert found.reason.values.tolist() == ["", FAILED, "nothing is known"]
    assert (float(found.best[1]), float(found.best[2])) == (2.0**-6, pytest.approx(np.nan, nan_ok=True))
    assert np.isnan(found.fitted[1:]).all()


@pytest.mark.parametrize(("loss", "reasons", "why"), [
    ([3.0, 2.0, 1.0, np.nan, np.nan], None, FAILED), ([3.0, 2.0, 1.0, np.inf, 1.5], None, ""),
    ([3.0, 2.0, 1.0, np.nan, np.inf], ["", "", "", "not run yet", ""], FAILED),
    ([3.0, 2.0, 1.0, np.nan, np.nan], ["", "", "", "not run yet", "cancelled"], NOT_RUN),
    ([3.0, 2.0, 1.0, np.nan, np.nan], ["", "", "", "", "OSError"], FAILED),
    ([np.nan, 1.0, 2.0, 3.0, np.nan], ["OSError", "", "", "", "not run yet"], FAILED),
    ([np.nan, 3.0, 2.0, 1.5, 1.0], ["OSError", "", "", "", ""], EDGE),  # what failed lies on the other side
])  # fmt: skip
def test_beyond_the_best_it_is_told_what_failed_and_what_has_not_run(loss: list[float], reasons: Any, why: str) -> None:
    for order in (slice(None), slice(None, None, -1)):
        data = xarray.Dataset({"loss": ("lr", loss)}, {"lr": LRS[:5]})
        data = data if reasons is None else data.assign(reason=("lr", np.array(reasons, object)))
        assert analysis.optimum(data.isel(lr=order)).reason.item() == why
        seeds = xarray.concat([data.fillna({"loss": 5.0}), data], "seed")  # one of two seeds ran everywhere
        if reasons is not None:
            seeds["reason"][0] = ""
        assert analysis.optimum(seeds.isel(lr=order)).reason.item() == why


def test_of_equal_values_the_first_is_the_best() -> None:
    data = xarray.DataArray([1.0, 0.5, 0.5, 1.0, 1.0], {"lr": LRS[:5]}, name="loss")
    found = analysis.optimum(data)
    assert float(found.best) == LRS[1]
    assert float(np.log2(found.fitted)) == pytest.approx(-7.5, abs=1e-12)  # in the middle of the two
    flat = analysis.optimum(data.isel(lr=[1, 2]))
    assert (float(flat.best), flat.reason.item()) == (LRS[1], "the best is at the edge of the grid")


def seeded(count: int, noise: float) -> xarray.Dataset:
    draw = np.random.default_rng(0)
    data = planted().expand_dims(seed=np.arange(count)).copy(deep=True)
    data["loss"] += noise * draw.normal(size=data.loss.shape)
    return data


def test_seeds_give_the_fit_an_interval() -> None:
    data = seeded(5, 1e-5)
    found = analysis.optimum(data)
    np.testing.assert_allclose(np.log2(found.fitted), np.log2(analysis.optimum(data.mean("seed")).fitted), atol=1e-9)
    each = np.log2(analysis.optimum(data, seeds="none").fitted)  # small noise: the vertex is linear in it
    half = stats.t.ppf(0.975, 4) * each.std("seed", ddof=1) / 5**0.5
    np.testing.assert_allclose(np.log2(found.fitted_high / found.fitted), half, rtol=1e-2)
    np.testing.assert_allclose(np.log2(found.fitted / found.fitted_low), half, rtol=1e-2)
    data["loss"][2, 4, 0] = np.nan  # one seed of the best of width 64: -5
    holed = analysis.optimum(data)
    assert holed.missing.values.tolist() == [1, 0, 0]
    assert float(holed.best[0]) == 2.0**-6


def test_the_interval_holds_the_truth_in_19_of_20_cases() -> None:
    draw = np.random.default_rng(1)
    u = np.log2(LRS)
    noisy = 0.02 * (u + 5.3) ** 2 + 0.002 * draw.normal(size=(2000, 4, 7))
    data = xarray.DataArray(noisy, dims=("trial", "seed", "lr"), coords={"lr": LRS}, name="loss")
    found = analysis.optimum(data)
    inside = (found.fitted_low <= 2**-5.3) & (found.fitted_high >= 2**-5.3)
    assert 0.935 < float(inside.mean()) < 0.965


def test_sensitivity_is_the_mean_loss_above_the_best_with_a_cap() -> None:
    loss = xarray.DataArray([[1.0, 0.4, 0.9, 9.0], [0.8, 0.2, np.inf, np.nan]], {"width": [8, 16], "lr": LRS[:4]})
    found = analysis.lr_sensitivity(loss.rename("loss"), 2.0)
    np.testing.assert_allclose(found, [(0.6 + 0 + 0.5 + 1.6) / 4, (0.6 + 0 + 1.8) / 3], rtol=1e-14)
    assert found.attrs["reference"].startswith("Wortsman")
    data = xarray.Dataset({"loss": loss, "reason": loss.copy(data=np.full((2, 4), "", object))})
    ended = analysis.lr_sensitivity(data, 2.0)  # it ran to its end and gave NaN
    assert float(ended[1]) == pytest.approx((0.6 + 0 + 1.8 + 1.8) / 4)
    data["reason"][1, 3] = "not run yet"
    assert float(analysis.lr_sensitivity(data, 2.0)[1]) == pytest.approx((0.6 + 0 + 1.8) / 3)
    caps = xarray.DataArray([2.0, 0.5], {"width": [8, 16]})
    assert float(analysis.lr_sensitivity(data, caps)[1]) == pytest.approx((0.3 + 0 + 0.3) / 3)


def test_the_slope_of_the_optimum_on_the_width_is_found() -> None:
    found = analysis.lr_transfer(planted())
    assert float(found.slope) == pytest.approx(-0.4, abs=1e-9)
    assert float(found.grid_slope) == pytest.approx(-0.5, abs=1e-12)
    assert (float(found.slope_low), float(found.slope_high)) == pytest.approx((-0.4, -0.4), abs=1e-7)
    assert int(found.known) == 3
    assert not bool(found.same)
    still = planted()
    still["loss"][:] = planted().loss.sel(width=[64] * 3).values
    both = xarray.concat([planted(), still], dim=xarray.Variable("way", ["standard", "maximal"]))
    told = analysis.lr_transfer(both)
    np.testing.assert_allclose(told.slope, [-0.4, 0], atol=1e-9)
    assert told.same.values.tolist() == [False, True]


def test_the_interval_of_the_slope_is_that_of_least_squares() -> None:
    data = planted()
    data["loss"][:, 1] = 0.3 + 0.02 * (np.log2(LRS) + 6.4) ** 2
    found = analysis.lr_transfer(data)
    fit: Any = stats.linregress(np.log2(WIDTHS), [-5.3, -6.4, -6.9])
    half = stats.t.ppf(0.975, 1) * fit.stderr
    assert float(found.slope) == pytest.approx(fit.slope, rel=1e-9)
    assert float(found.slope_high - found.slope) == pytest.approx(half, rel=1e-6)
    data["loss"][:4, 2] = np.nan
    at_the_edge = analysis.lr_transfer(data)
    assert (int(at_the_edge.known), np.isnan(at_the_edge.slope_low)) == (2, True)
    assert float(at_the_edge.slope) == pytest.approx(-0.55, abs=1e-9)


def test_intervals_are_those_of_student() -> None:
    data = seeded(4, 0.1)
    data["loss"][1, 0, 0] = data["loss"][1:, 1, 1] = np.nan
    data["name"] = (("lr",), list("abcdefg"))
    found = analysis.intervals(data)
    assert list(found.data_vars) == ["loss", "loss_interval", "loss_count"]
    for lr, width in ((0, 0), (2, 1)):
        values = data.loss.values[:, lr, width]
        values = values[np.isfinite(values)]
        low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
        assert float(found.loss[lr, width]) == pytest.approx(values.mean(), rel=1e-14)
        assert float(found.loss_interval[lr, width]) == pytest.approx((high - low) / 2, rel=1e-12)
        assert int(found.loss_count[lr, width]) == len(values)
    assert np.isnan(found.loss_interval[1, 1])
    assert not np.isnan(found.loss[1, 1])
    assert found.loss.attrs["error"] == "loss_interval"


def test_a_seed_that_is_infinite_leaves_no_interval_and_gives_no_warning() -> None:
    data = seeded(3, 0.1)
    data["loss"][1, 0, 0] = np.inf
    data["loss"][:2, 1, 0] = np.array([-np.inf, np.inf])
    found = analysis.intervals(data)
    assert float(found.loss[0, 0]) == np.inf
    assert np.isnan(found.loss_interval[:2, 0]).all()
    assert np.isnan(found.loss[1, 0])
    assert np.isfinite(found.loss_interval[2:]).all()


@pytest.mark.parametrize(("values", "geometric"), [
    ([1, 2, 4, 8], True), ([1, 2, 3, 4], False), ([64, 1024], True), ([2, 3], False), ([0, 1, 10], False),
    ([0.1, 0.03, 0.01], True), (["a", "b", "c"], False), ([5], False), ([1, 10, 100, 1001], True),
])  # fmt: skip
def test_axes_are_geometric_where_their_logarithm_is_more_even(values: list[Any], geometric: bool) -> None:
    assert is_geometric(values) is geometric
    wanted = np.arange(3.0) if values == ["a", "b", "c"] else np.log2(values) if geometric else values
    np.testing.assert_array_equal(positions(values), np.asarray(wanted, float))


@pytest.mark.parametrize(("call", "words"), [
    (lambda: analysis.optimum(planted().assign(other=1.0)), r"optimum\(\) got no variable; name one of: loss, other"),
    (lambda: analysis.optimum(planted(), variable="acc"), r"got variable='acc'; name one of: loss"),
    (lambda: analysis.optimum([1, 2]), r"got a list; give a sweep's Dataset"),
    (lambda: analysis.optimum(planted(), "eta"), r"over='eta', which is no axis of 'loss'; its axes are: lr, width"),
    (lambda: analysis.optimum(planted().expand_dims(step=2)), r"'loss' over steps.*data\.isel\(step=-1\)"),
    (lambda: analysis.optimum(planted().assign_coords(lr=list("abcdefg"))), r"the values a, b, c, d, e, f"),
    (lambda: analysis.lr_transfer(planted(), along="depth"), r"along='depth', which is no axis"),
    (lambda: analysis.lr_transfer(planted().assign_coords(width=[0, 1, 2])), r"0, 1, 2; it needs positive numbers"),
    (lambda: analysis.intervals(planted()), r"no axis of any variable; there are: loss \('lr', 'width'\)"),
])  # fmt: skip
def test_what_cannot_be_read_is_refused(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
