"""Decimation keeps what the eye looks for; smoothing is the mean it claims to be; both agree with the browser's."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nbtoolkit.analysis import minmax, smooth

GOLDEN = Path(__file__).parent / "golden_curves.json"

values = arrays(np.float64, st.integers(1, 400), elements=st.one_of(st.just(np.nan), st.floats(-1e6, 1e6)))


def golden_cases() -> list[dict]:
    """Curves with spikes, gaps, uneven steps, constants and infinities, with what Python makes of them."""
    rng = np.random.default_rng(7)
    spiky = rng.normal(size=997)
    spiky[[13, 500, 901]] = [40.0, -40.0, 1e9]
    gappy = rng.normal(size=640)
    gappy[100:180] = np.nan
    gappy[[0, 333, 639]] = np.nan
    uneven = np.cumsum(rng.integers(1, 9, size=700)).astype(float)
    wild = rng.normal(size=300)
    wild[[5, 250]] = [np.inf, -np.inf]
    curves = [
        (np.arange(997.0), spiky, 40), (np.arange(640.0), gappy, 32), (uneven, rng.normal(size=700), 50),
        (np.arange(300.0), wild, 20), (np.arange(500.0), np.full(500, 2.0), 25),
        (np.arange(5.0), rng.normal(size=5), 50),
    ]  # fmt: skip
    return [
        {
            "x": x.tolist(),
            "y": [_text(v) for v in y],
            "buckets": buckets,
            "minmax": minmax(x, y, buckets).tolist(),
            "smooth": [_text(v) for v in smooth(y, 0.9)],
        }
        for x, y, buckets in curves
    ]


def _text(value: float) -> float | str:
    return float(value) if np.isfinite(value) else str(value)


def test_the_golden_file_is_what_python_computes():
    assert json.loads(GOLDEN.read_text()) == golden_cases(), "write it anew: python -m tests.analysis.test_curves"


@given(values, st.integers(1, 60))
def test_minmax_keeps_extremes_ends_and_gaps_in_order(y: np.ndarray, buckets: int):
    x = np.arange(len(y), dtype=float)
    kept = minmax(x, y, buckets)
    assert (np.diff(kept) > 0).all()
    assert kept[0] == 0
    assert kept[-1] == len(y) - 1
    assert len(kept) <= max(3 * buckets + 2, 2 * buckets)
    if not np.isnan(y).all():
        assert np.nanmax(y[kept]) == np.nanmax(y)
        assert np.nanmin(y[kept]) == np.nanmin(y)
    assert np.isnan(y[kept]).any() == np.isnan(y).any()


def test_every_bucket_keeps_its_own_extremes():
    x, y = np.arange(1000.0), np.random.default_rng(0).normal(size=1000)
    kept = minmax(x, y, 10)
    for left, right in zip(range(0, 999, 100), range(100, 1099, 100), strict=False):
        # A tenth of the range from 0 to 999 is 99.9 steps.
        inside = np.flatnonzero((x >= left * 0.999) & (x < right * 0.999))
        assert {inside[y[inside].argmax()], inside[y[inside].argmin()]} <= set(kept)


def test_a_short_curve_is_kept_whole():
    np.testing.assert_array_equal(minmax(np.arange(10.0), np.zeros(10), 5), np.arange(10))


@given(arrays(np.float64, st.integers(1, 50), elements=st.floats(-100, 100)), st.floats(0, 0.999))
def test_smooth_is_the_weighted_mean_of_the_past(y: np.ndarray, weight: float):
    smoothed = smooth(y, weight)
    for i in range(len(y)):
        weights = weight ** np.arange(i, -1, -1.0)
        assert smoothed[i] == pytest.approx(np.average(y[: i + 1], weights=weights), rel=1e-9, abs=1e-9)


def test_smooth_skips_what_was_not_measured():
    y = np.array([1.0, np.nan, 1.0, np.inf, 4.0])
    smoothed = smooth(y, 0.5)
    np.testing.assert_array_equal(np.isnan(smoothed), [False, True, False, True, False])
    np.testing.assert_allclose(smoothed[[0, 2, 4]], smooth(y[[0, 2, 4]], 0.5))


def test_smoothing_of_weight_zero_changes_nothing():
    y = np.random.default_rng(1).normal(size=20)
    np.testing.assert_array_equal(smooth(y, 0.0), y)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden_cases()) + "\n")
