"""Of a large store what is looked at is read, not more."""

from collections.abc import Iterator

import numpy as np
import pytest

from nbtoolkit.analysis.recorded import AT_ONCE, recorded
from nbtoolkit.capture.run import Run
from nbtoolkit.store import files, reading, stored, writing
from nbtoolkit.store.columns import Record
from nbtoolkit.store.reading import Reader
from nbtoolkit.store.stored import StoredColumns
from nbtoolkit.widget import figures, messages, picture
from tests.store.growing import Growing, assert_values, loss
from tests.store.objects import Objects, objects

URL = "objects://b/run.zarr"
ROWS = 300_000


@pytest.fixture(scope="module")
def large() -> Iterator[Record]:
    """A store whose rows stay where they are, as its reader has it."""
    with objects(), pytest.MonkeyPatch.context() as patch:
        grown = Growing()
        grown.grow(ROWS)
        files.save(grown.record, URL)
        patch.setattr(reading, "LARGE", 1 << 20)
        yield Reader(URL).record


def read_of(name: str) -> int:
    """Bytes read of the values of a variable."""
    return sum(count for path, count in Objects.got.items() if f"/{name}/c/" in path)


def test_the_first_picture_needs_overviews_and_the_last_rows_alone(large: Record) -> None:
    Objects.got.clear()
    panels = figures.describe(large)
    head, buffers = messages.reset(large, {}, 1, {})
    assert "norm/norm" in panels
    assert [one["key"] for one in head["series"]][:2] == ["loss/loss", "loss/error"]
    assert read_of("loss") + read_of("norm") < 2 * 2 * writing.CHUNK_VALUES * 8
    assert sum(Objects.got.values()) < large.groups["norm"].nbytes / 8
    at = {one["key"]: (np.asarray(buffers[one["x"]]), np.asarray(buffers[one["y"]])) for one in head["series"]}
    steps, values = at["loss/loss"]
    np.testing.assert_array_equal(values, loss(steps.astype(int)))
    every = loss(np.arange(ROWS))
    assert (np.nanmin(values), np.nanmax(values)) == (np.nanmin(every), np.nanmax(every))
    assert (values > 30).sum() == (every > 30).sum()  # no spike is lost
    assert (steps[0], steps[-1]) == (0, ROWS - 1)
    assert len(messages.pack((head, buffers))) < 4e6
    field_steps, field = at["norm/norm"]
    np.testing.assert_array_equal(field, np.outer(field_steps, np.arange(1.0, 11.0)))
    assert messages.SCREEN <= len(field_steps) <= messages.FULL_FIELD
    assert field_steps[-1] == ROWS - 1


def test_a_dataset_reads_what_is_taken_from_it(large: Record) -> None:
    whole = large.groups["norm"].dataset()
    Objects.got.clear()
    assert whole.sizes == {"step": ROWS, "param": 10}
    few = whole["norm"].sel(step=[12_345, 299_999], param="p3")
    assert read_of("norm") == 0
    np.testing.assert_array_equal(few, [4 * 12_345, 4 * 299_999])
    assert 0 < read_of("norm") <= 3 * writing.CHUNK_VALUES * 8
    np.testing.assert_array_equal(whole["norm"][100:130:10, ::-1][:, 0], 10.0 * np.arange(100, 130, 10))
    tree = large.tree()
    np.testing.assert_array_equal(tree["loss"]["loss"], loss(np.arange(ROWS)))
    assert tree["loss"]["loss"].attrs["error"] == "error"


def test_rows_of_a_plane_are_read_alone(large: Record) -> None:
    columns = large.groups["plane"]
    Objects.got.clear()
    steps, values = columns.piece(3000, 3001)
    assert steps.tolist() == [150_000]
    np.testing.assert_array_equal(values["plane"][0].ravel(), 150_000 + np.arange(12.0))
    assert read_of("plane") <= 2 * writing.CHUNK_VALUES * 8
    assert columns.holds("plane")


def test_rules_and_pictures_of_a_large_store_are_bounded(large: Record) -> None:
    group = recorded(large).groups["norm"]
    assert len(group.steps) == ROWS * AT_ONCE // large.groups["norm"].nbytes < ROWS
    assert group.steps[-1] == ROWS - 1
    assert large.groups["norm"].first_within(8 * 11 * 1000) == ROWS - 1000
    drawn = large.groups["loss"].pictured(["loss", "error"])
    assert 1000 < drawn.sizes["step"] < 30_000
    np.testing.assert_array_equal(drawn["loss"], loss(drawn["step"].values))
    run = Run("large", large)
    assert picture.picture(run) is not None


def test_without_overviews_pieces_are_looked_at(large: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "PIECE", 30_000)
    sizes = []
    read = StoredColumns.read

    def watched(self: StoredColumns, key: str, start: int, stop: int) -> np.ndarray:
        values = read(self, key, start, stop)
        sizes.append(values.size)
        return values

    monkeypatch.setattr(StoredColumns, "read", watched)
    for columns in list(large.groups.values()):
        assert isinstance(columns, StoredColumns)
        monkeypatch.setattr(columns, "kept", {})
        for _, steps, values in columns.outlines():
            assert_values(columns, steps, values)
            assert steps[-1] == columns.rows()[0][-1]
            assert len(steps) < 40_000
            if columns.name == "loss":
                assert (values["loss"] > 30).sum() == (loss(np.arange(ROWS)) > 30).sum()
    assert max(sizes) <= 30_000
