"""The spectrum panels draw the density, the Ritz values and the outliers of the Dataset."""

import math
from typing import Any

import numpy as np
import pytest
import xarray
from bokeh.models import ColumnDataSource, LogColorMapper, LogScale

from nbtoolkit.analysis import axis_scale, density
from nbtoolkit.panels import eigenaxis, evolution, heatmap, spectrum
from tests.analysis.ritz import bulk, measured, quadrature

PLANTED = np.array([-8.0, 15.0, 40.0])


@pytest.fixture(scope="module")
def ds() -> xarray.Dataset:
    """Three steps, the second of which was not measured."""
    nothing = np.full((4, 30), np.nan)
    alone, planted = bulk(150) - 0.8, np.r_[bulk(150) - 0.8, PLANTED]
    return measured(quadrature(alone, 4, 30), (nothing, nothing), quadrature(planted, 4, 30))


def source(module: Any, ds: xarray.Dataset) -> ColumnDataSource:
    return ColumnDataSource({key: list(values) for key, values in module.columns(ds).items()})


def known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def test_the_last_spectrum_is_drawn_with_its_error(ds: xarray.Dataset) -> None:
    drawn, curves = spectrum.columns(ds), density(ds).isel(step=-1)
    shown = curves["density"].values > drawn["foot"][0]
    assert shown.sum() > 50
    np.testing.assert_allclose(np.sinh(known(drawn["x"])) * axis_scale(ds), curves["bin"], rtol=1e-9)
    np.testing.assert_array_equal(drawn["density"][: len(shown)][shown], curves["density"][shown])
    above = curves["density"] + curves["density_error"]
    np.testing.assert_array_equal(drawn["high"][: len(shown)][shown], above[shown])
    assert (known(drawn["low"]) > 0).all()


def test_every_ritz_value_has_a_stroke_and_every_outlier_a_dot_on_its_bump(ds: xarray.Dataset) -> None:
    drawn, scale = spectrum.columns(ds), axis_scale(ds)
    values = ds["ritz_value"].values[-1]
    np.testing.assert_allclose(np.sinh(known(drawn["ritz"])) * scale, known(values.ravel()), atol=1e-9)
    np.testing.assert_allclose(np.sinh(known(drawn["outlier"])) * scale, PLANTED, rtol=1e-6)
    x, curve = known(drawn["x"]), known(drawn["density"])
    for place, peak in zip(known(drawn["outlier"]), known(drawn["peak"]), strict=True):
        near = curve[np.abs(x - place) < 0.1]
        assert peak > 0.95 * near.max()


def test_a_step_that_was_not_measured_shows_the_one_in_force(ds: xarray.Dataset) -> None:
    early = spectrum.columns(ds.isel(step=slice(0, 2)))
    np.testing.assert_array_equal(early["density"], spectrum.columns(ds.isel(step=slice(0, 1)))["density"])
    assert not np.isfinite(early["outlier"]).any()


def test_axes_are_the_same_for_all_steps_and_name_eigenvalues(ds: xarray.Dataset) -> None:
    plot = spectrum.figure(source(spectrum, ds), ds)
    assert isinstance(plot.y_scale, LogScale)
    assert plot.xaxis[0].axis_label == "loss/param^2"
    written = plot.xaxis[0].major_label_overrides
    assert {"0", "1", "10"} <= set(written.values())
    for place, text in written.items():
        value = float(text.replace("\N{MINUS SIGN}", "-"))
        assert place == pytest.approx(math.asinh(value / axis_scale(ds)))
    low, high = spectrum.bumps(density(ds)["density"].values)
    assert plot.y_range.start < low < high < plot.y_range.end
    linear = spectrum.figure(source(spectrum, ds), ds, scale="linear")
    assert (linear.y_range.start, linear.y_range.end > high) == (0, True)


def test_the_evolution_is_the_density_as_a_field_with_the_largest_on_top(ds: xarray.Dataset) -> None:
    drawn, curves = evolution.columns(ds), density(ds)["density"].values
    image = drawn["image"][0]  # its first row is at the bottom
    lowest = spectrum.bumps(curves)[0] / 2
    np.testing.assert_array_equal(image[:, 0], np.maximum(curves[0], lowest))
    np.testing.assert_array_equal(image[:, -1], np.maximum(curves[-1], lowest))
    assert np.isnan(image[:, heatmap.COLUMNS // 2]).all()


def test_heights_of_the_evolution_are_eigenvalues(ds: xarray.Dataset) -> None:
    plot = evolution.figure(source(evolution, ds), ds)
    mapper = plot.select_one({"name": "colours"})
    assert isinstance(mapper, LogColorMapper)
    assert mapper.nan_color == "rgba(0, 0, 0, 0)"
    bins = density(ds)["bin"].values
    for height, text in plot.yaxis[0].major_label_overrides.items():
        value = float(text.replace("\N{MINUS SIGN}", "-"))
        low = int(height - 0.5)
        assert bins[low] <= value <= bins[low + 1]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ((-2, 6, 0.5), "-1 0 1 10 100"),
        ((-0.5, 3.8, 1.0), "0 1 2 5 10 20"),
        ((0.1, 0.4, 2.0), "0.3 0.4 0.5 0.6 0.7 0.8"),
        ((0, 8, 1e-5), "0 1e-5 1e-4 0.001 0.01"),
        ((8, 14.5, 1.0), "2000 5000 10000 20000 50000 1e5 2e5 5e5"),
    ],
)
def test_an_axis_has_round_eigenvalues(axis: tuple[float, float, float], expected: str) -> None:
    found = eigenaxis.ticks(*axis)
    assert " ".join(found.values()) == expected.replace("-", "\N{MINUS SIGN}")
    assert all(axis[0] <= place <= axis[1] for place in found)


@pytest.mark.parametrize("module", [spectrum, evolution])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_spectra_can_be_built_without_rows(ds: xarray.Dataset, module: Any, scale: str) -> None:
    empty = ds.isel(step=slice(0, 0))
    assert module.figure(source(module, empty), empty, scale=scale).select_one({"name": "x_range"})
