"""Overviews keep the extremes that are there, and nothing that is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbtoolkit.store import overviews
from nbtoolkit.store.schema import Var

BLOCK = overviews.CURVE_BLOCK
VALUES = st.sampled_from([0.0, -1.0, 2.5, np.nan, np.inf, -np.inf]) | st.floats(-9, 9)


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(float, st.tuples(st.integers(1, 3), st.just(4), st.integers(1, 3)), elements=VALUES))
def test_least_largest_first_and_first_nan_of_each_block_are_kept(blocks: np.ndarray) -> None:
    count, block, width = blocks.shape
    rows = overviews.kept_rows(blocks.reshape(-1, width), block, curve=True)
    for values, places in zip(blocks, rows, strict=True):
        found = places[places >= 0]
        assert found.tolist() == sorted(set(found.tolist()))
        assert set(places[len(found) :].tolist()) <= {-1}
        wanted = {0}
        for column in values.T:
            numbers = column[~np.isnan(column)]
            kept = column[found]
            if len(numbers):
                assert np.nanmin(kept) == numbers.min()
                assert np.nanmax(kept) == numbers.max()
            if len(numbers) < len(column):
                wanted.add(int(np.flatnonzero(np.isnan(column))[0]))
        assert wanted <= set(found.tolist())
    assert rows.shape == (count, 1 + 3 * width)


def test_entries_are_rows_that_were_measured_with_what_is_drawn_beside_them() -> None:
    variables = {
        "top": Var((), "1", "t", error="error", line="edge"), "error": Var((), "1", "e"), "edge": Var((), "1", "l"),
        "field": Var(("param",), "1", "f"), "wide": Var(("layer",), "1", "w"),
    }  # fmt: skip
    sizes = {"top": (), "error": (), "edge": (), "field": (9,), "wide": (12,)}
    draw, rows = np.random.default_rng(0), 3 * BLOCK
    steps = np.arange(rows) * 2 + 5
    values = {key: draw.standard_normal((rows, *size)) for key, size in sizes.items()}
    curve, field = overviews.plans(variables, sizes)
    assert (curve.leader, list(curve.sizes)) == ("top", ["top", "error", "edge"])
    assert (field.leader, list(field.sizes)) == ("wide", ["field", "wide"])
    for plan in (curve, field):
        kept_steps, kept = overviews.unpacked(plan, overviews.entries(plan, steps, values))
        places = (kept_steps - 5) // 2
        for key in plan.sizes:
            np.testing.assert_array_equal(kept[key], values[key][places])
    steps_of_fields, _ = overviews.unpacked(field, overviews.entries(field, steps, values))
    np.testing.assert_array_equal(steps_of_fields, steps[overviews.FIELD_BLOCK - 1 :: overviews.FIELD_BLOCK])


@pytest.mark.parametrize("sizes", [{"v": (0,)}, {"v": (3, 0)}])
def test_what_has_no_values_is_left_out(sizes: dict) -> None:
    dims = ("param", "layer")[: len(sizes["v"])]
    assert overviews.plans({"v": Var(dims, "1", "v")}, sizes) == []
