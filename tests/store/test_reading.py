"""A reader keeps up with a writer, and of a large store reads what is looked at, not more."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import xarray as xr

import nbtoolkit
from nbtoolkit.errors import StoreError
from nbtoolkit.store import files, reading, stored, writing
from nbtoolkit.store.columns import Record
from nbtoolkit.store.places import Place
from nbtoolkit.store.reading import Reader
from nbtoolkit.store.schema import Var
from nbtoolkit.store.stored import StoredColumns
from tests.store.growing import PARAMS, Growing, assert_grown
from tests.store.objects import Objects, objects

URL = "objects://b/run.zarr"


@pytest.fixture
def store() -> Iterator[type[Objects]]:
    with objects() as made:
        yield made


@pytest.mark.parametrize("limit", [1 << 40, -1])
def test_a_reader_keeps_up_with_a_writer(store: type[Objects], limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGE", limit)
    monkeypatch.setattr(writing, "CHUNK_VALUES", 256)
    grown, writer = Growing(), writing.Writer(files.create(URL), ahead=True, live=True)
    grown.grow(10)
    writer.write(grown.record)
    reader = Reader(URL)
    record, held = reader.record, reader.record.groups["loss"]
    assert not reader.poll()
    for rows in (1, 30, 400):
        grown.grow(rows)
        grown.record.attrs["notes"] = [f"grown by {rows}"]
        writer.write(grown.record)
        assert reader.poll()
        assert not reader.poll()
        assert_grown(record, {name: len(columns) for name, columns in grown.record.groups.items()})
        assert record.attrs == grown.record.attrs
        assert isinstance(record.groups["loss"], StoredColumns) == (limit < 0)
    late = grown.record.group("late", {"late": Var((), "1", "late")})
    late.append([3], {"late": np.array([7.0])})
    writer.write(grown.record)
    assert reader.poll()
    assert record.groups["late"].dataset()["late"].values.tolist() == [7.0]
    assert reader.record is record
    assert record.groups["loss"] is held


def test_a_quiet_poll_reads_one_object(store: type[Objects]) -> None:
    grown, writer = Growing(), writing.Writer(files.create(URL), live=True)
    grown.grow(10)
    writer.write(grown.record)
    reader = Reader(URL)
    store.count.clear()
    assert not reader.poll()
    assert store.count["gets"] == 1


def test_rows_of_a_writer_that_died_before_it_told_are_found(store: type[Objects]) -> None:
    grown, writer = Growing(), writing.Writer(files.create(URL), live=True)
    grown.grow(10)
    writer.write(grown.record)
    reader = Reader(URL)
    grown.grow(10)
    writer._set_attrs = lambda *_: None  # type: ignore[method-assign] - it dies before
    writer.write(grown.record)
    assert not reader.poll()
    reader._heard -= 60
    assert reader.poll()
    assert_grown(reader.record, {"loss": 20, "norm": 20, "plane": 1})
    assert not reader.poll()


def test_the_age_is_that_of_the_last_write(store: type[Objects], monkeypatch: pytest.MonkeyPatch) -> None:
    grown, writer = Growing(), writing.Writer(files.create(URL), live=True)
    writer.write(grown.record)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100)
    reader = Reader(URL)
    assert 99 < reader.age() < 101
    monkeypatch.setattr(time, "time", lambda: now - 1000)  # another machine's clock
    grown.grow(1)
    writer.write(grown.record)
    assert reader.poll()
    assert reader.age() < 5
    files.save(grown.record, "objects://b/saved.zarr")
    assert Reader("objects://b/saved.zarr").age() == float("inf")


def test_a_store_that_vanishes_is_said_and_nothing_is_dropped(store: type[Objects]) -> None:
    grown = Growing()
    grown.grow(10)
    files.save(grown.record, URL)
    reader = Reader(URL)
    Place(URL).remove()
    with pytest.raises(StoreError, match=r"there is nothing at objects://b/run.zarr any more"):
        reader.poll()
    assert_grown(reader.record, {"loss": 10, "norm": 10, "plane": 1})


def test_rows_are_put_into_the_record_under_the_lock_alone(store: type[Objects]) -> None:
    grown, writer = Growing(), writing.Writer(files.create(URL), live=True)
    grown.grow(1)
    writer.write(grown.record)
    lock = threading.Lock()
    reader = Reader(URL, lock=lock)
    grown.grow(5)
    writer.write(grown.record)
    with lock:
        thread = threading.Thread(target=reader.poll, daemon=True)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        assert len(reader.record.groups["loss"]) == 1
    thread.join(10)
    assert len(reader.record.groups["loss"]) == 6


def test_curves_with_rows_of_their_own_share_those_of_both_in_a_picture(store: type[Objects], monkeypatch) -> None:
    made, steps = Record(), np.arange(40_000)
    spiky = {"a": np.where(steps == 7777, 5.0, 0.0), "b": np.where(steps == 9999, -5.0, 0.0)}
    made.group("g", {key: Var((), "1", key) for key in spiky}).append(steps, spiky)
    files.save(made, URL)
    monkeypatch.setattr(reading, "LARGE", -1)
    monkeypatch.setattr(stored, "PIECE", 3000)
    drawn = Reader(URL).record.groups["g"].pictured(["a", "b"])
    assert drawn.sizes["step"] < 10_000
    assert {7777, 9999, 0, 39_999} <= set(drawn["step"].values.tolist())
    for key, values in spiky.items():
        np.testing.assert_array_equal(drawn[key], values[drawn["step"].values])


def test_a_large_run_is_opened_sliced_and_saved_again(store, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGE", -1)
    monkeypatch.setattr(writing, "PIECE", 5000)
    grown = Growing()
    grown.grow(3000)
    grown.record.attrs["state"] = "finished"
    files.save(grown.record, tmp_path / "run.zarr")
    run = nbtoolkit.open_run(tmp_path / "run.zarr")
    again = nbtoolkit.open_run(run.save(URL))
    for name in grown.record.groups:
        assert isinstance(again.record.groups[name], StoredColumns)
        xr.testing.assert_identical(again[name].load(), grown.record.groups[name].dataset())
    assert run["norm"]["norm"].sel(param=PARAMS[2]).values[-1] == 3 * 2999
