"""What a page that looks closer is answered: the rows of the range as they are, bounded, and none unasked."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nbtoolkit.analysis.overlay import Overlay
from nbtoolkit.store import files, reading, writing
from nbtoolkit.store.columns import Record
from nbtoolkit.store.reading import Reader
from nbtoolkit.store.schema import Var
from nbtoolkit.store.stored import StoredColumns
from nbtoolkit.widget import messages, ranges
from tests.store.growing import Growing, assert_values, loss
from tests.store.objects import Objects, objects
from tests.widget.test_board import Heard
from tests.widget.test_messages import received

URL = "objects://b/run.zarr"
ROWS = 600_000
KEYS = ["loss/loss", "loss/error"]


@pytest.fixture(scope="module")
def held() -> Record:
    """Long curves and fields in memory."""
    grown = Growing()
    grown.grow(ROWS)
    return grown.record


@pytest.fixture(scope="module")
def large(held: Record) -> Iterator[Record]:
    """The same in a store where its rows stay."""
    with objects(), pytest.MonkeyPatch.context() as patch:
        files.save(held, URL)
        patch.setattr(reading, "LARGE", 1 << 20)
        record = Reader(URL).record
        assert all(isinstance(columns, StoredColumns) for columns in record.groups.values())
        yield record


def asked(record: Record, first: Any, last: Any, keys: Any = KEYS, sent: int = ROWS) -> Any:
    """The answer to a page that has been told of so many rows."""
    return ranges.rows(record, dict.fromkeys(record.blocks, sent), {"keys": keys, "from": first, "to": last})


def rows_of(record: Record, first: float, last: float) -> dict[str, np.ndarray]:
    """All rows of the loss in a range, by key, from the record itself."""
    steps, values = record.groups["loss"].rows()
    within = (steps >= first) & (steps <= last)
    return {"step": steps[within]} | {f"loss/{key}": array[within] for key, array in values.items()}


@pytest.mark.parametrize("of", ["held", "large"])
def test_a_page_is_told_where_rows_are_left_out(request, of: str) -> None:
    record = request.getfixturevalue(of)
    head, _ = messages.reset(record, {}, 1, {})
    assert {one["key"]: one["thin"] for one in head["series"]} == dict.fromkeys(
        [*KEYS, "norm/norm", "plane/plane"], True
    )
    few = Growing()
    few.grow(1000)
    for make in (messages.reset, messages.append):
        assert not any("thin" in one for one in make(few.record, {}, 1, {})[0]["series"])
    assert messages.append(few.record, {"plane": 0}, 1, {})[0]["series"][0] == {
        "key": "loss/loss", "x": 0, "y": 1, "width": 1,
    }  # fmt: skip


@pytest.mark.parametrize("of", ["held", "large"])
@pytest.mark.parametrize(
    ("first", "last"), [(0, 0), (123_456, 125_000), (599_990, 10**9), (-50, 16_384), (32_768, 49_151.5)]
)
def test_few_rows_are_all_there(request, of: str, held: Record, first: float, last: float) -> None:
    head, buffers = asked(request.getfixturevalue(of), first, last)
    assert (head["op"], head["from"], head["to"]) == ("rows", first, last)
    assert [one["key"] for one in head["series"]] == KEYS
    assert len({one["x"] for one in head["series"]}) == 1
    assert not any("thin" in one for one in head["series"])
    every = rows_of(held, first, last)
    for key, (steps, values) in received((head, buffers)).items():
        np.testing.assert_array_equal(steps, every["step"])
        np.testing.assert_array_equal(values[:, 0], every[key])


@pytest.mark.parametrize("of", ["held", "large"])
@pytest.mark.parametrize(("first", "last"), [(100_001, 200_000), (1000, 599_000), (300, 300 + (1 << 18) + 999)])
def test_of_many_rows_the_extremes_are_there(request, of: str, held: Record, first: int, last: int) -> None:
    message = asked(request.getfixturevalue(of), first, last)
    assert [one["thin"] for one in message[0]["series"]] == [True, True]
    got = received(message)
    steps, values = got["loss/loss"]
    np.testing.assert_array_equal(got["loss/error"][0], steps)
    assert (steps[0], steps[-1]) == (first, last)
    assert (np.diff(steps) > 0).all()
    assert len(steps) <= 1.5 * messages.FULL + 3  # with the gaps
    assert_values(
        held.groups["loss"], steps.astype(int), {key: got[f"loss/{key}"][1][:, 0] for key in ("loss", "error")}
    )
    every = loss(np.arange(first, last + 1))
    assert (values > 30).sum() == (every > 30).sum()
    assert np.isnan(values).any()


def test_of_a_store_the_chunks_in_the_range_are_read(large: Record) -> None:
    def read(path: str) -> int:
        return sum(count for place, count in Objects.got.items() if path in place)

    Objects.got.clear()
    asked(large, 300_000, 310_000)
    chunk = 8 * writing.CHUNK_VALUES
    assert 0 < read("/loss/loss/c/") <= 2 * chunk
    assert read("/loss/step/c/") <= (2 + 2 * 6) * chunk  # the ends are found in the 37 chunks by halving
    assert read("/norm/") == read("/plane/") == 0
    Objects.got.clear()
    asked(large, 10_000, 590_000)
    assert 0 < read("/_overviews/loss/") < 580_000 * 8 / 4
    assert read("/loss/loss/c/") <= 3 * chunk


@pytest.mark.parametrize("of", ["held", "large"])
def test_fields_are_thinned_by_whole_rows_and_not_read_where_there_are_too_many(request, of: str, held: Record) -> None:
    record = request.getfixturevalue(of)
    head, buffers = asked(record, 500_000, 510_000, ["norm/norm"])
    steps, values = received((head, buffers))["norm/norm"]
    assert head["series"][0]["thin"] is True
    assert 1000 < len(steps) <= messages.FULL_FIELD
    assert steps[-1] == 510_000
    assert_values(held.groups["norm"], steps, {"norm": values})
    assert received(asked(record, -9, -1, ["norm/norm"]))["norm/norm"][1].shape == (0, 10)
    Objects.got.clear()
    assert len(asked(record, 0, ROWS, ["norm/norm"])[0]["series"]) == (of == "held")
    assert not any("/norm/norm/" in path for path in Objects.got)


@pytest.mark.parametrize("of", ["held", "large"])
def test_rows_that_the_page_was_not_told_of_come_by_themselves(request, of: str) -> None:
    got = received(asked(request.getfixturevalue(of), 99_990, 100_010, sent=100_000))
    np.testing.assert_array_equal(got["loss/loss"][0], np.arange(99_990, 100_000))
    assert not len(received(asked(request.getfixturevalue(of), 99_990, 100_010, sent=0))["loss/loss"][0])


@pytest.mark.usefixtures("large")
def test_steps_may_be_far_apart_and_come_several_times(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record()
    columns = record.group("g", {"v": Var((), "1", "v")})
    steps = np.sort(np.concatenate([np.repeat(np.arange(0, 40_000, 7), 4), [10**12]]))
    columns.append(steps, {"v": np.arange(len(steps)) + 0.5})
    files.save(record, "objects://b/apart.zarr")
    monkeypatch.setattr(reading, "LARGE", 0)
    stored = Reader("objects://b/apart.zarr").record
    for first, last in [(0, 0), (7, 7), (28_672, 28_679), (39_998, 10**12), (10**12 + 1, 10**13), (28_674, 28_676)]:
        within = (steps >= first) & (steps <= last)
        got = received(asked(stored, first, last, ["g/v"]))["g/v"]
        np.testing.assert_array_equal(got[0], steps[within])
        np.testing.assert_array_equal(got[1][:, 0], np.flatnonzero(within) + 0.5)


def test_runs_side_by_side_are_looked_at_by_label(held: Record) -> None:
    overlay = Overlay({"a": [held], "b": [held]})
    message = asked(overlay, 5000, 5100, ["loss#1/loss"])
    (key,) = received(message)
    assert key == "loss#1/loss"
    np.testing.assert_array_equal(received(message)[key][1][:, 0], loss(np.arange(5000, 5101)))


@pytest.mark.parametrize(
    ("keys", "first", "last"),
    [(None, 0, 1), ("loss/loss", 0, 1), (KEYS, None, 1), (KEYS, 0, "9"), (KEYS, 2, 1), (KEYS, 0, float("nan")),
     (KEYS, 0, 10**400), (KEYS, True, 5), ({}, 0, 1)],
)  # fmt: skip
def test_what_makes_no_sense_is_not_answered(held: Record, keys: Any, first: Any, last: Any) -> None:
    assert asked(held, first, last, keys) is None


def test_unknown_keys_have_no_rows_and_more_than_a_few_panels_are_not_asked_for(held: Record) -> None:
    assert asked(held, 0, 9, ["x/y", 7, None, "loss"])[0]["series"] == []
    assert asked(held, 0, 9, [*map(str, range(ranges.KEYS)), *KEYS])[0]["series"] == []


def test_what_cannot_be_read_now_is_left_out(large: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(large.groups["loss"], "read", fails)
    assert [one["key"] for one in asked(large, 0, 9, [*KEYS, "norm/norm"])[0]["series"]] == ["norm/norm"]


def test_a_board_answers_with_the_rows_that_the_page_was_told_of(run) -> None:
    made = Heard(run)
    run.train(30)
    made.update()
    run.train(5)  # not sent yet
    made.heard.clear()
    made._handle_custom_msg({"op": "rows", "keys": ["loss/loss"], "from": 10, "to": 99}, [])
    made._handle_custom_msg({"op": "rows", "keys": ["loss/loss"]}, [])
    (answer,) = made.heard
    assert "seq" not in answer[0]
    np.testing.assert_array_equal(received(answer)["loss/loss"][0], np.arange(10, 30))
