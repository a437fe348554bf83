"""The density of a spectrum is a density, is the formula it claims to be, and is the browser's too."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray

from nbtoolkit.analysis import axis_scale, density
from nbtoolkit.analysis.spectra import BINS, WIDTH
from nbtoolkit.numerics.spectra import outlier_values, outliers
from nbtoolkit.panels import eigenaxis
from nbtoolkit.panels.spectrum import bumps
from tests.analysis.ritz import bulk, measured, quadrature

GOLDEN = Path(__file__).parent / "golden_spectra.json"
BULK = bulk(150)


def few() -> xarray.Dataset:
    """Two steps: a bulk about zero, then with outliers, one probe of it broken down."""
    first = quadrature(BULK - 0.8, 3, 12)
    values, weights = quadrature(np.r_[BULK - 0.8, -9, 20, 50], 3, 12, seed=1)
    values[1, :2] = weights[1, :2] = np.nan
    weights[1] /= np.nansum(weights[1])
    return measured(first, quadrature(np.r_[BULK - 0.8, -9, 20, 50], 3, 12), (values, weights))


def golden_case() -> dict:
    """What Python makes of `few`, and of some axes."""
    ds = few()
    values, weights = ds["ritz_value"].values, ds["ritz_weight"].values
    curves, scale = density(ds), axis_scale(ds)
    masks = [outliers(v, w) for v, w in zip(values, weights, strict=True)]
    axes = [(-2.0, 6.0, 0.5), (0.1, 0.4, 2.0), (-9.5, 9.5, 1e-5), (3.0, 3.5, 1.0)]
    return {
        "steps": ds["step"].values.tolist(),
        "sizes": list(values.shape[1:]),
        "values": _plain(values),
        "weights": _plain(weights),
        "scale": scale,
        "ends": np.arcsinh(curves["bin"].values[[0, -1]] / scale).tolist(),
        "density": _plain(curves["density"].values),
        "error": _plain(curves["density_error"].values),
        "bumps": list(bumps(curves["density"].values)),
        "masks": [mask.ravel().tolist() for mask in masks],
        "outliers": [outlier_values(v, mask).tolist() for v, mask in zip(values, masks, strict=True)],
        "axes": [{"axis": axis, "ticks": list(eigenaxis.ticks(*axis).items())} for axis in axes],
    }


def _plain(values: np.ndarray) -> list:
    return [[None if np.isnan(v) else float(f"{v:.12g}") for v in row.ravel()] for row in values]


def test_the_golden_file_is_what_python_computes() -> None:
    golden, now = json.loads(GOLDEN.read_text()), json.loads(json.dumps(golden_case()))
    for key, value in now.items():
        if key in ("density", "error", "values", "weights"):  # LAPACK differs in the last digits
            expected, found = (np.array(one, float) for one in (golden[key], value))
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
        elif key in ("ends", "bumps", "outliers"):
            np.testing.assert_allclose(np.hstack(value), np.hstack(golden[key]), rtol=1e-6)
        else:
            assert value == golden[key], f"{key}: write it anew: python -m tests.analysis.test_spectra"


@pytest.mark.parametrize("width", [0.03, WIDTH, 0.3])
def test_a_density_integrates_to_one(width: float) -> None:
    ds = few()
    grid = axis_scale(ds) * np.sinh(np.linspace(-12, 12, 200_001))
    curves = density(ds, grid=grid, width=width)["density"].values
    np.testing.assert_allclose(np.trapezoid(curves, grid, axis=1), 1, atol=1e-6)


def test_the_default_grid_holds_all_but_a_millionth() -> None:
    curves = density(few())
    assert curves.sizes == {"step": 3, "bin": BINS}
    places = np.arcsinh(curves["bin"].values / curves.attrs["axis_scale"])
    slope = np.hypot(curves["bin"].values, curves.attrs["axis_scale"])
    assert np.ptp(np.diff(places)) < 1e-12
    np.testing.assert_allclose(np.trapezoid(curves["density"] * slope, places, axis=1), 1, atol=1e-6)


def test_a_single_node_is_the_kernel_itself() -> None:
    ds = measured((np.array([[3.0]]), np.array([[1.0]])))
    scale = axis_scale(ds)
    assert scale == 2.0  # the nearest of 1, 2 and 5, of 3
    grid = np.array([-1.0, 0.0, 2.9, 3.0, 3.3])
    places, node = np.arcsinh(grid / 2), np.arcsinh(3 / 2)
    kernel = np.exp(-((places - node) ** 2) / (2 * 0.1**2)) / np.sqrt(2 * np.pi * 0.1**2) / np.sqrt(grid**2 + 4)
    curves = density(ds, grid=grid, width=0.1)
    np.testing.assert_allclose(curves["density"].values[0], kernel, rtol=1e-12)
    assert np.isnan(curves["density_error"]).all()


def test_the_error_is_the_standard_error_over_the_probes() -> None:
    ds = few()
    grid = np.linspace(-10, 60, 71)
    whole = density(ds, grid=grid, width=0.2)
    scale = whole.attrs["axis_scale"]
    alone = []
    for probe in range(3):
        values, weights = (ds[name].values[1, probe] for name in ("ritz_value", "ritz_weight"))
        distance = (np.arcsinh(grid / scale)[:, None] - np.arcsinh(values / scale)) / 0.2
        alone.append((weights * np.exp(-(distance**2) / 2)).sum(1) / 0.2 / np.sqrt(2 * np.pi) / np.hypot(grid, scale))
    np.testing.assert_allclose(whole["density"][1], np.mean(alone, axis=0), rtol=1e-10)
    np.testing.assert_allclose(whole["density_error"][1], np.std(alone, axis=0, ddof=1) / np.sqrt(3), rtol=1e-8)


def test_moments_of_the_density_are_those_of_the_spectrum() -> None:
    spectrum = np.r_[BULK, 20.0, 30.0]
    ds = measured(quadrature(spectrum, 40, 60))
    grid = axis_scale(ds) * np.sinh(np.linspace(-6, 6, 20_001))
    mean = np.trapezoid(density(ds, grid=grid, width=0.01)["density"].values[0] * grid, grid)
    assert mean == pytest.approx(spectrum.mean(), rel=0.1)


def test_the_scale_is_the_width_of_the_bulk_whatever_lies_outside() -> None:
    assert axis_scale(measured(quadrature(BULK, 4, 30))) == 1.0
    assert axis_scale(measured(quadrature(np.r_[BULK, 500.0, 900.0], 4, 30))) == 1.0
    assert axis_scale(measured(quadrature(np.r_[BULK * 1e-7, 500.0, 900.0], 4, 30))) == 0.1  # 1e-4 of the largest
    assert axis_scale(few().isel(step=slice(0, 0))) == 1.0


def test_values_alone_are_an_empirical_spectrum() -> None:
    ds = few()[["ritz_value"]]
    curves = density(ds, grid=np.array([0.5]), width=0.2)["density"].values
    values = np.arcsinh(ds["ritz_value"].values[0] / axis_scale(ds))
    place = np.arcsinh(0.5 / axis_scale(ds))
    kernel = np.exp(-(((place - values) / 0.2) ** 2) / 2).mean() / 0.2 / np.sqrt(2 * np.pi)
    assert curves[0, 0] == pytest.approx(kernel / np.hypot(0.5, axis_scale(ds)))


def test_a_step_without_values_is_blank() -> None:
    nothing = np.full((3, 12), np.nan)
    curves = density(measured(quadrature(BULK, 3, 12), (nothing, nothing)))
    assert np.isfinite(curves["density"][0]).all()
    assert np.isnan(curves["density"][1]).all()


def test_other_data_are_refused() -> None:
    with pytest.raises(ValueError, match="no variable has the dims step, probe and node"):
        density(xarray.Dataset({"loss": ("step", [1.0])}))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden_case()) + "\n")
