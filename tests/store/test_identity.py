"""Another training at the same place is told from the first; a store that is removed is said to be."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbtoolkit
from nbtoolkit.capture.following import ANOTHER, Followed
from nbtoolkit.errors import StoreError
from nbtoolkit.store import files, reading, writing
from nbtoolkit.store.columns import Columns, Record
from nbtoolkit.store.identity import IDENTITY
from nbtoolkit.store.places import Place
from nbtoolkit.store.reading import Reader
from nbtoolkit.store.schema import Var
from tests.store.objects import objects


class Training:
    """A store with a curve of one value."""

    def __init__(self, place: Any, value: float, rows: int, **attrs: Any) -> None:
        self.value, self.record = value, Record(attrs)
        self.columns: Columns = self.record.group("loss", {"loss": Var((), "1", "loss")})
        self.writer = writing.Writer(files.create(place), live=True)
        self.grow(rows)

    def grow(self, rows: int) -> None:
        at = len(self.columns)
        self.columns.append(np.arange(at, at + rows), {"loss": np.full(rows, self.value)})
        self.writer.write(self.record)


@pytest.fixture(params=["local", "objects"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    with objects():
        yield tmp_path / "run.zarr" if request.param == "local" else "objects://b/run.zarr"


def values(record: Record) -> list[float]:
    return record.groups["loss"].rows()[1]["loss"].tolist()


def untold(training: Training, place: Any) -> None:
    """Make a store as it was made before there were identities."""
    training.writer._identity = {}
    attrs = dict(Place(place).open_group("r").attrs)
    del attrs[IDENTITY]
    Place(place).open_group("r+").attrs.put(attrs)


@pytest.mark.parametrize("limit", [1 << 40, -1])
@pytest.mark.parametrize("rows", [30, 160])
@pytest.mark.parametrize("older", [False, True])
def test_two_trainings_never_make_one_curve(
    where: Any, limit: int, rows: int, older: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LARGE", limit)
    first = Training(where, 1.0, 100, name="first", created="then", told=1)
    untold(first, where) if older else None
    reader = Reader(where)
    assert IDENTITY not in reader.record.attrs
    reader.record.attrs["noted"] = "by a reader"
    Place(where).remove()
    again = Training(where, 2.0, rows, name="second", created="now")
    untold(again, where) if older else None
    assert reader.poll()
    assert values(reader.record) == [2.0] * rows
    assert reader.record.attrs == {"name": "second", "created": "now"}
    assert reader.record.generation == 1  # type: ignore[attr-defined]
    again.grow(100)
    assert reader.poll()
    assert values(reader.record) == [2.0] * (rows + 100)
    assert reader.record.generation == 1  # type: ignore[attr-defined]


def test_fewer_rows_than_were_there_are_read_anew(where: Any) -> None:
    untold(Training(where, 1.0, 100), where)
    reader = Reader(where)
    Place(where).remove()
    untold(Training(where, 2.0, 40), where)
    assert reader.poll()
    assert values(reader.record) == [2.0] * 40
    assert not reader.poll()


def test_an_identity_is_kept_where_a_run_goes_on_and_by_no_copy(where: Any) -> None:
    first = Training(where, 1.0, 100)
    known = first.writer.root.attrs[IDENTITY]
    assert Place(where).open_group("r").attrs[IDENTITY] == known
    reader = Reader(where)
    notes: list[str] = []
    files.Appender(where, Record(), lambda: None, notes.append, step=60).close()
    assert Place(where).open_group("r").attrs[IDENTITY] == known
    assert reader.poll()
    assert reader.identity == known
    files.save(reader.record, "objects://b/copy.zarr")
    assert Place("objects://b/copy.zarr").open_group("r").attrs[IDENTITY] != known


def test_a_follower_says_that_it_is_another_run(where: Any) -> None:
    Training(where, 1.0, 100, name="first", notes=["of the first"])
    run = Followed(Place(where))
    assert run.notes == ["of the first"]
    Place(where).remove()
    run.look()
    run.state = "lost"
    assert len(run["loss"]["step"]) == 100
    again = Training(where, 2.0, 3, name="second", steps=3)
    run.look()
    assert (run.name, run.step, run.state) == ("second", 3, "following")
    assert run["loss"]["loss"].values.tolist() == [2.0] * 3
    again.grow(1)
    run.look()
    assert len(run["loss"]["step"]) == 4
    assert run.notes == [ANOTHER.format(place=where)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("instead", ["nothing", "another", "moved"])
def test_a_store_that_is_removed_under_its_writer_is_said_and_not_made_again(tmp_path: Path, instead: str) -> None:
    where, notes, record = tmp_path / "run.zarr", [], Record()
    columns = record.group("loss", {"loss": Var((), "1", "loss")})
    appender = files.Appender(where, record, lambda: None, notes.append)
    columns.append([0], {"loss": np.ones(1)})
    appender.write()
    assert notes == []
    where.rename(tmp_path / "elsewhere") if instead == "moved" else shutil.rmtree(where)
    if instead == "another":
        Training(where, 2.0, 5)
    before = contents(tmp_path)
    columns.append([1], {"loss": np.ones(1)})
    appender.write()
    appender.close()
    assert len(set(notes)) == 1
    why = "another store was made in its place" if instead == "another" else "it was removed or moved away"
    assert notes[0] == (
        f"the store {where} could not be written ({why}); the run goes on in memory: keep it with run.save(path)"
    )
    assert contents(tmp_path) == before


def test_what_is_removed_in_the_middle_of_a_write_is_not_made_again(tmp_path: Path) -> None:
    where = tmp_path / "run.zarr"
    training = Training(where, 1.0, 10)
    for gone in ("loss/step", "loss/loss", "loss"):
        shutil.rmtree(where / gone)
        with pytest.raises(FileNotFoundError):
            training.grow(10)
        assert not (where / gone).exists()


def gutted(place: Path) -> Training:
    """A store that lacks a group of two."""
    training = Training(place, 1.0, 10)
    training.record.group("norm", {"norm": Var((), "1", "norm")}).append([0], {"norm": np.ones(1)})
    training.record.group("empty", {"empty": Var((), "1", "empty")})
    training.writer.write(training.record)
    shutil.rmtree(place / "norm")
    shutil.rmtree(place / "empty")
    return training


def test_a_group_that_is_told_of_and_not_there_is_damage(tmp_path: Path) -> None:
    gutted(tmp_path / "run.zarr")
    with pytest.raises(StoreError, match=r"group 'norm' of .* is damaged \(it has 1 rows by the root") as caught:
        nbtoolkit.open_run(tmp_path / "run.zarr")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("begun", [False, True])
def test_a_follower_notes_damage_and_follows_the_rest(tmp_path: Path, begun: bool) -> None:
    where = tmp_path / "run.zarr"
    training = gutted(where)
    if begun:  # the damage comes later, and the writer lives
        shutil.rmtree(where)
        training = Training(where, 1.0, 10)
        norm = training.record.group("norm", {"norm": Var((), "1", "norm")})
        norm.append([0], {"norm": np.ones(1)})
        training.writer.write(training.record)
        run = Followed(Place(where))
        assert len(run["norm"]["step"]) == 1
        told = json.loads((where / "zarr.json").read_text())
        told["attributes"]["rows"]["norm"] = 2
        told["attributes"]["heartbeat"] += 1
        shutil.rmtree(where / "norm")
        (where / "zarr.json").write_text(json.dumps(told))
        run.look()
        assert len(run["norm"]["step"]) == 1
    else:
        run = Followed(Place(where))
        assert "norm" not in run.record.groups
    assert [note.split(" of ")[0] for note in run.notes] == ["group 'norm'"]
    assert "is damaged" in run.notes[0]
    training.grow(5)
    run.look()
    assert len(run["loss"]["step"]) == 15
