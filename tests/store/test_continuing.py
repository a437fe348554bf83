"""A store is gone on with from a step: what was lost is removed, all else stays, and nothing is lost by a mistake."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbtoolkit
from nbtoolkit.errors import StoreError
from nbtoolkit.store import files, overviews, reading, writing
from nbtoolkit.store.columns import Record
from nbtoolkit.store.places import Place
from nbtoolkit.store.reading import Reader
from nbtoolkit.store.schema import Var
from tests.store.growing import Growing, assert_grown
from tests.store.objects import objects


def appended(grown: Growing, where: Any, rows: int, step: int = 0) -> list[str]:
    """Let an Appender write some rows; what it notes."""
    notes: list[str] = []
    appender = files.Appender(where, grown.record, lambda: None, notes.append, step=step)
    grown.grow(rows)
    appender.close()
    return notes


@pytest.fixture(params=["local", "objects"])
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(writing, "CHUNK_VALUES", 256)
    monkeypatch.setattr(writing, "OVERVIEW_ROWS", 64)
    with objects():
        yield tmp_path / "run.zarr" if request.param == "local" else "objects://b/run.zarr"


@pytest.mark.parametrize("step", [1, 500, 640, 1000, 2000])
def test_the_rows_are_those_of_a_run_without_a_break(where: Any, step: int) -> None:
    first = Growing()
    first.record.attrs |= {
        "created": "then", "notes": ["old"], "commands": [{"step": 0, "what": "a"}, {"step": 900, "what": "b"}]
    }  # fmt: skip
    appended(first, where, 1000)
    follower = Reader(where)
    second = Growing(step)
    second.record.attrs |= {"created": "now", "notes": ["new"], "model": "M"}
    lost = max(0, 1000 - step)
    planes = 20 - -(-min(step, 1000) // 50)
    notes = appended(second, where, 700, step)
    assert notes == [f"went on from step {step}; {2 * lost + planes} rows of the part that was lost were removed"]
    assert follower.poll()
    assert follower.record.generation == 1  # type: ignore[attr-defined]
    for record in (follower.record, Reader(where).record):
        steps = record.groups["loss"].rows()[0]
        np.testing.assert_array_equal(steps, np.r_[: min(step, 1000), step : step + 700])
        if step <= 1000:
            assert_grown(record)
        assert (record.attrs["created"], record.attrs["model"]) == ("then", "M")
        assert record.attrs["notes"] == ["old", "new"]
        assert [one["what"] for one in record.attrs["commands"]] == ["a"] + ["b"] * (step > 900)
    assert Place(where).open_group("r").attrs["generation"] == 1


def test_overviews_are_those_of_a_run_without_a_break(where: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    appended(Growing(), where, 1500)
    appended(Growing(700), where, 1100, 700)
    whole = Growing()
    whole.grow(1800)
    monkeypatch.setattr(reading, "LARGE", -1)
    kept = 0
    for name, columns in Reader(where).record.groups.items():
        for plan in overviews.plans(columns.variables, columns.sizes):  # type: ignore[attr-defined]
            found = columns.kept.get(plan.name)  # type: ignore[attr-defined]
            if found is None:
                assert name == "plane"
                continue
            steps, values = whole.record.groups[name].piece(0, 1800 // plan.block * plan.block)
            np.testing.assert_array_equal(found[:], overviews.entries(plan, steps, dict(values))[: found.shape[0]])
            assert found.shape[0] >= (1800 - writing.OVERVIEW_ROWS) // plan.block
            kept += 1
    assert kept == 2


def test_again_and_again(where: Any) -> None:
    appended(Growing(), where, 100)
    for step in (90, 150, 120, 200):
        appended(Growing(step), where, 100, step)
    record = Reader(where).record
    assert Place(where).open_group("r").attrs["generation"] == 4
    np.testing.assert_array_equal(record.groups["loss"].rows()[0], np.arange(300))
    assert_grown(record)


def test_labels_in_another_order_and_new_ones_find_their_places(where: Any) -> None:
    made = Growing()
    appended(made, where, 5)
    other = Record()
    other.group("norm", made.norm.variables).append([5], {"norm": np.array([[3.0, 99.0]])}, {"param": ["p2", "new"]})
    files.Appender(where, other, lambda: None, lambda note: None, step=5).close()
    norm = Reader(where).record.groups["norm"].dataset()["norm"]
    assert norm["param"].values.tolist() == [*(f"p{i}" for i in range(10)), "new"]
    assert norm.sel(step=5, param=["p2", "new"]).values.tolist() == [3.0, 99.0]
    assert np.isnan(norm.sel(step=5, param="p0"))
    assert norm.sel(step=4, param="p1") == 8.0
    assert np.isnan(norm.sel(step=4, param="new"))


def contents(where: Any) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(where).rglob("*") if path.is_file()}


def test_what_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    where = tmp_path / "run.zarr"
    appended(Growing(), where, 100)
    before = contents(where)
    other = Record()
    other.group("norm", {"norm": Var(("layer",), "1", "norm")})
    with pytest.raises(StoreError, match=r"'norm' was measured otherwise there \(norm differ\); nothing was changed"):
        files.Appender(where, other, lambda: None, lambda note: None, step=50)
    with pytest.raises(StoreError, match="exists already; nothing was changed"):
        files.Appender(where, Record(), lambda: None, lambda note: None)
    assert contents(where) == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_text("mine")
    with pytest.raises(StoreError, match="not a Zarr store that can be read"):
        files.Appender(tmp_path / "other", Record(), lambda: None, lambda note: None, step=50)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["mine"]


def test_where_there_is_nothing_a_new_store_is_begun(where: Any) -> None:
    assert appended(Growing(40), where, 10, 40) == []
    np.testing.assert_array_equal(Reader(where).record.groups["loss"].rows()[0], np.arange(40, 50))


def test_a_cut_that_was_cut_off_shows_whole_rows_and_can_be_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "CHUNK_VALUES", 256)
    monkeypatch.setattr(files, "FIRST_WAIT", 0.001)
    for puts in (0, 1, 2, 3, 5, 8, 100):
        with objects() as store:
            url = "objects://b/run.zarr"
            appended(Growing(), url, 700)
            store.left, cut = puts, ""
            try:
                files.Appender(url, Growing(300).record, lambda: None, lambda note: None, step=300).close()
            except StoreError as error:
                cut = str(error)
            store.left = float("inf")
            record = Reader(url).record
            assert_grown(record)
            assert {len(columns) for columns in record.groups.values()} <= {300, 700, 6, 14}
            assert ("could not all be removed" in cut) == (puts < 100)
            if cut:
                appended(Growing(300), url, 100, 300)
                assert_grown(Reader(url).record, {"loss": 400, "norm": 400, "plane": 8})


def test_a_watched_run_goes_on(tmp_path: Path) -> None:
    from tests import problems

    path = tmp_path / "run.zarr"
    for step in (0, 30):
        problem = problems.mlp()
        with nbtoolkit.watch(problem.model, problem.optimizer, store=path, step=step):
            problem.train(50)
    run = nbtoolkit.open_run(path)
    np.testing.assert_array_equal(run["loss"]["step"], np.arange(80))
    assert run.step == 80
    assert any(note.startswith("went on from step 30; ") for note in run.notes)


def test_what_was_logged_after_the_last_step_of_the_checkpoint_stays(where: Any) -> None:
    steps = np.arange(20)
    for start in (0, 12):
        record = Record()
        logged = record.group("val", {"val": Var((), "1", "val")}, {"reference": "run.log"})
        told = record.group("task", {"task": Var((), "1", "task")}, {"reference": "run.begin_task"})
        notes: list[str] = []
        appender = files.Appender(where, record, lambda: None, notes.append, step=start)
        first = start + 1 if start != 12 else 12  # it logs at once where it goes on
        logged.append(steps[first:], {"val": steps[first:] + 100.0 * start})
        told.append(steps[start:], {"task": steps[start:] / 1.0})
        appender.close()
    assert notes == ["went on from step 12; 15 rows of the part that was lost were removed"]
    kept = Reader(where).record.groups
    np.testing.assert_array_equal(kept["val"].rows()[0], np.r_[1:13, 12:20])
    np.testing.assert_array_equal(kept["val"].rows()[1]["val"], np.r_[1.0:13, 1212.0:1220])
    np.testing.assert_array_equal(kept["task"].rows()[0], steps)


def test_a_loss_logged_at_the_checkpoint_is_kept_by_a_watched_run(tmp_path: Path) -> None:
    from tests import problems

    path = tmp_path / "run.zarr"
    for step in (0, 12):
        problem = problems.mlp()
        with nbtoolkit.watch(problem.model, problem.optimizer, store=path, step=step) as run:
            for _ in range(4):
                problem.train(4)
                run.log(val_loss=float(run.step))
    kept = nbtoolkit.open_run(path)
    assert kept["val_loss"]["step"].values.tolist() == [4, 8, 12, 16, 20, 24, 28]
    np.testing.assert_array_equal(kept["loss"]["step"], np.arange(28))
