"""A writer cut off anywhere leaves whole rows, writes few objects, and few bytes of them anew."""

import numpy as np
import pytest
import xarray as xr
import zarr

from nbtoolkit.store import files, overviews, reading, stored, writing
from nbtoolkit.store.columns import Record
from nbtoolkit.store.places import Place
from nbtoolkit.store.schema import Var
from tests.store.growing import Growing, assert_grown, assert_values
from tests.store.objects import objects


@pytest.mark.parametrize("ahead", [False, True])
def test_cut_off_at_any_write_a_store_has_whole_rows_and_true_overviews(
    ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "CHUNK_VALUES", 256)
    monkeypatch.setattr(writing, "OVERVIEW_ROWS", 64)
    draw, ends = np.random.default_rng(0), set()
    for turn in range(14):
        with objects() as store:
            grown = Growing()
            writer = writing.Writer(files.create(f"objects://b/{turn}.zarr"), ahead=ahead, live=True)
            store.left = int(draw.integers(0, 200))
            try:
                for _ in range(6):
                    grown.grow(int(draw.integers(1, 300)))
                    writer.write(grown.record)
            except OSError:
                pass
            store.left = float("inf")
            record = files.load(f"objects://b/{turn}.zarr")
            assert_grown(record)
            ends.add(len(record.groups["loss"]) if "loss" in record.groups else -1)
            monkeypatch.setattr(stored, "WHOLE", 0)  # so that all overviews are used
            monkeypatch.setattr(stored, "WHOLE_FIELD", 0)
            monkeypatch.setattr(reading, "LARGE", -1)
            for columns in reading.Reader(f"objects://b/{turn}.zarr").record.groups.values():
                assert isinstance(columns, stored.StoredColumns)
                for plan, steps, values in columns.outlines():
                    assert_values(columns, steps, values) if len(values) == len(columns.variables) else None
                    assert not len(columns) or steps[-1] == columns.rows()[0][-1]
                    assert (np.diff(steps) > 0).all()
                    assert plan.leader in values
    assert len(ends) > 5


def test_a_cut_off_writer_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "CHUNK_VALUES", 256)
    with objects() as store:
        grown, writer = Growing(), writing.Writer(files.create("objects://b/r.zarr"), ahead=True)
        failed = 0
        for turn in range(40):
            grown.grow(37)
            store.left = 3 * turn % 50
            try:
                writer.write(grown.record)
            except OSError:
                failed += 1
        store.left = float("inf")
        writer.write(grown.record)
        writer.trim()
        assert failed > 10
        assert_grown(files.load("objects://b/r.zarr"), {"loss": 1480, "norm": 1480, "plane": 30})
        tree = {
            name: dict(zarr_group.arrays()) for name, zarr_group in Place("objects://b/r.zarr").open_group("r").groups()
        }
        assert tree["loss"]["loss"].shape == (1480,)
        assert tree["norm"]["norm"].shape == (1480, 10)


def test_puts_and_bytes_of_a_write_are_bounded_however_long_the_run() -> None:
    with objects() as store:
        grown, writer = Growing(), writing.Writer(files.create("objects://b/r.zarr"), ahead=True)
        grown.grow(200)
        writer.write(grown.record)
        most = {"puts": 0, "bytes": 0, "gets": 0}
        for _ in range(150):
            grown.grow(200)
            store.count.clear()
            writer.write(grown.record)
            most = {key: max(value, store.count[key]) for key, value in most.items()}
        assert grown.step > writing.CHUNK_VALUES
        # Four variables and three step axes, one object each, of which some end and begin in one write; the root.
        assert most["puts"] <= 2 * 7 + 7 + 2 * 3 + 1
        assert most["bytes"] <= 8 * writing.CHUNK_VALUES * 8
        assert most["gets"] <= 12  # as overviews are begun
        store.count.clear()
        writer.write(grown.record)
        assert store.count["puts"] <= 1


def test_labels_that_appear_later_widen_what_is_kept_and_too_many_end_it() -> None:
    with objects():
        record, root = Record(), files.create("objects://b/r.zarr")
        columns, writer = record.group("norm", {"norm": Var(("param",), "1", "n")}), writing.Writer(root)
        rows = writing.OVERVIEW_ROWS
        for width in range(1, writing.REBUILT + 4):
            steps = np.arange(rows) + rows * (width - 1)
            labels = {"param": [f"p{i}" for i in range(width)]}
            columns.append(steps, {"norm": np.tile(steps[:, None], (1, width)) * 1.0}, labels)
            writer.write(record)
            kept = dict(root[f"{overviews.GROUP}/norm"].arrays())  # type: ignore[union-attr]
            plan = overviews.plans(columns.variables, {"norm": (width,)})[0]
            assert list(kept) == ([plan.name] if width <= writing.REBUILT else [])
            if kept:
                whole = columns.rows()
                wanted = overviews.entries(plan, whole[0], dict(whole[1]))
                np.testing.assert_array_equal(kept[plan.name][:], wanted)
        np.testing.assert_array_equal(
            files.load("objects://b/r.zarr").groups["norm"].rows()[1]["norm"], columns.rows()[1]["norm"]
        )


def test_plain_xarray_reads_a_store_with_overviews(tmp_path) -> None:
    grown = Growing()
    grown.grow(3000)
    path = files.save(grown.record, tmp_path / "run.zarr")
    tree = xr.open_datatree(path, engine="zarr", consolidated=False)
    assert tree["norm"].to_dataset().sizes == {"step": 3000, "param": 10}
    np.testing.assert_array_equal(tree["loss"]["loss"], grown.loss.rows()[1]["loss"])
    kept = zarr.open_group(path, mode="r")[overviews.GROUP]
    assert {name: len(list(group.arrays())) for name, group in kept.groups()} == {"loss": 1, "norm": 1}  # type: ignore[union-attr]


def test_an_array_made_before_its_labels_were_known_has_no_file_for_each(tmp_path) -> None:
    record = Record()
    columns = record.group("norm", {"norm": Var(("param",), "1", "norm")})
    root = files.create(tmp_path / "r.zarr")
    writer = writing.Writer(root)
    writer.write(record)
    names = [f"p{i}" for i in range(100)]
    for step in range(3):
        columns.append([step], {"norm": np.full((1, 100), float(step))}, {"param": names})
        writer.write(record)
    assert zarr.open_array(tmp_path / "r.zarr/norm/norm").nchunks == 1
    loaded = files.load(tmp_path / "r.zarr").groups["norm"]
    assert loaded.labels["param"] == names
    np.testing.assert_array_equal(loaded.rows()[1]["norm"][:, 7], [0, 1, 2])
