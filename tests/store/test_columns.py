"""Columns keep what is appended, under its labels, and hand it out without copies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbtoolkit.errors import InstrumentError
from nbtoolkit.store.columns import FIRST_CAPACITY, Columns, Record
from nbtoolkit.store.schema import Var, check_companions, companions

SCALAR = {"loss": Var((), units="nats", long_name="loss")}
VECTOR = {"norm": Var(("param",), units="1", long_name="norm", scale="log")}


@settings(deadline=None)  # the first call imports xarray
@given(st.lists(st.integers(0, 700), max_size=6))
def test_blocks_of_any_size_come_back_in_order(sizes: list[int]) -> None:
    columns, total = Columns("loss", SCALAR), 0
    for size in sizes:
        steps = np.arange(total, total + size)
        columns.append(steps, {"loss": steps * 0.5})
        total += size
    data = columns.dataset()
    np.testing.assert_array_equal(data["step"], np.arange(total))
    np.testing.assert_array_equal(data["loss"], np.arange(total) * 0.5)


def test_a_dataset_is_a_view_that_stays_valid_when_the_columns_grow() -> None:
    columns = Columns("loss", SCALAR)
    columns.append([0, 1], {"loss": np.array([1.0, 2.0])})
    early = columns.dataset()
    steps = np.arange(2, 2 + 3 * FIRST_CAPACITY)
    columns.append(steps, {"loss": steps * 1.0})
    assert early["loss"].values.tolist() == [1.0, 2.0]
    assert np.shares_memory(columns.dataset()["loss"].values, columns.rows()[1]["loss"])
    with pytest.raises(ValueError, match="read-only"):
        columns.dataset()["loss"].values[0] = 9.0


def test_new_labels_widen_with_nan_and_old_places_are_kept() -> None:
    columns = Columns("norm", VECTOR)
    columns.append([0], {"norm": np.array([[1.0, 2.0]])}, {"param": ["a", "b"]})
    columns.append([1], {"norm": np.array([[3.0, 4.0]])}, {"param": ["c", "a"]})
    data = columns.dataset()["norm"]
    assert data["param"].values.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(data, [[1, 2, np.nan], [4, np.nan, 3]])


def test_what_is_left_out_is_nan() -> None:
    columns = Columns("loss", SCALAR)
    columns.append([5], {})
    assert np.isnan(columns.dataset()["loss"].values).tolist() == [True]


def test_reasons_are_counted_in_the_attributes() -> None:
    columns = Columns("loss", SCALAR)
    columns.missing("loss", 3, "no backward")
    columns.missing("loss", 4, "no backward", 2)
    assert columns.dataset()["loss"].attrs["not_measured"] == "no backward (3 times, first at step 3)"


def test_axes_are_labelled_from_the_declaration() -> None:
    data = Columns("norm", VECTOR, {"reference": "here"}).dataset()
    assert data["norm"].dims == ("step", "param")
    assert data["norm"].attrs == {"long_name": "norm", "units": "1", "scale": "log"}
    assert data.attrs["reference"] == "here"
    assert data["step"].attrs["long_name"] == "optimizer steps done"


def test_a_record_is_a_tree_of_its_groups() -> None:
    record = Record({"name": "r"})
    record.group("loss", SCALAR).append([0], {"loss": np.array([1.0])})
    record.group("norm", VECTOR)
    tree = record.tree()
    assert list(tree.children) == ["loss", "norm"]
    assert tree.attrs == {"name": "r"}
    assert record.group("loss", SCALAR) is record.groups["loss"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Var(("width",), "1", "w"), "dims besides step are: param, layer"),
        (lambda: Var(("step",), "1", "w"), "declared with dims"),
        (lambda: Var((), "1", "w", scale="cubic"), "use 'linear' or 'log'"),
        (lambda: Var((), "1", "w", line=float("nan")), "use a finite number or an output's name"),
    ],
)
def test_words_without_a_meaning_are_refused(make, message: str) -> None:
    with pytest.raises(InstrumentError, match=message):
        make()


SHARPNESS = {
    "sharpness": Var((), "1", "sharpness", error="bound", line="edge"),
    "bound": Var((), "1", "bound"),
    "edge": Var((), "1", "edge"),
    "ratio": Var((), "1", "ratio", line=1.0),
    "layers": Var(("layer",), "1", "by layer", error="layers_error", line="edge"),
    "layers_error": Var(("layer",), "1", "bound by layer"),
}


def test_error_and_line_are_in_the_attributes_where_they_are_declared() -> None:
    data = Columns("sharpness", SHARPNESS).dataset()
    assert (data["sharpness"].attrs["error"], data["sharpness"].attrs["line"]) == ("bound", "edge")
    assert data["ratio"].attrs["line"] == 1.0
    assert not {"error", "line"} & set(data["edge"].attrs)
    for key, var in SHARPNESS.items():
        assert Var.read(var.dims, data[key].attrs) == var


def test_errors_and_lines_are_the_companions_of_others() -> None:
    check_companions(SHARPNESS)
    assert companions(SHARPNESS) == {"bound", "edge", "layers_error"}


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (Var((), "1", "v", error="nowhere"), r"'one' names 'nowhere' as its error, .* there are: other\."),
        (Var((), "1", "v", error="one"), "names 'one' as its error"),
        (Var((), "1", "v", error="field"), r"no other output with dims \(\)"),
        (Var(("layer",), "1", "v", error="other"), r"no other output with dims \('layer',\)"),
        (Var((), "1", "v", line="nowhere"), "names 'nowhere' as its line"),
        (Var(("layer",), "1", "v", line="field"), "names 'field' as its line"),
    ],
)
def test_an_error_or_a_line_that_cannot_be_drawn_is_refused(one: Var, message: str) -> None:
    with pytest.raises(InstrumentError, match=message):
        check_companions({"one": one, "other": Var((), "1", "o"), "field": Var(("layer",), "1", "f")})
