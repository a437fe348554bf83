"""Arrays written without Zarr's machinery are what Zarr would have written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbtoolkit.store import quick

CHUNK = 7


def made(root: zarr.Group, name: str, width: tuple[int, ...], dtype: str) -> zarr.Array:
    fill = -1 if dtype == "int64" else np.nan
    return root.create_array(
        name, shape=(0, *width), chunks=(CHUNK, *width), dtype=dtype, fill_value=fill, attributes={"units": "1"}
    )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stops=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    width=st.sampled_from([(), (3,), (2, 4)]),
    dtype=st.sampled_from(["float64", "int64"]),
)
def test_growing_an_array_gives_what_zarr_gives(
    tmp_path_factory: pytest.TempPathFactory, stops: list[int], width: tuple[int, ...], dtype: str
) -> None:
    folder = tmp_path_factory.mktemp("quick") / "a.zarr"
    root = zarr.open_group(folder, mode="w", zarr_format=3)
    slow, fast = made(root, "slow", width, dtype), quick.quick(made(root, "fast", width, dtype))
    assert isinstance(fast, quick.Quick)
    whole = np.arange(1000 * max(1, int(np.prod(width)))).reshape(1000, *width).astype(dtype)
    done = 0
    for stop in np.cumsum(stops):
        for array in (slow, fast):
            array.resize((int(stop), *width))
            at = done - done % CHUNK
            while at < stop:
                until = min(int(stop), at - at % CHUNK + CHUNK)
                array[(slice(at, until), *map(slice, width))] = whole[at:until]
                at = until
        done = int(stop)
    one, other = (json.loads((folder / name / "zarr.json").read_text()) for name in ("slow", "fast"))
    assert one == other
    np.testing.assert_array_equal(zarr.open_array(folder / "fast", mode="r")[:], whole[:done])
    for path in sorted((folder / "slow" / "c").rglob("*")):
        twin = folder / "fast" / path.relative_to(folder / "slow")
        assert twin.exists()
        if path.is_file():
            assert path.read_bytes() == twin.read_bytes()


def test_what_is_not_plain_is_left_to_zarr(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    wide = root.create_array("wide", shape=(0, 6), chunks=(CHUNK, 2), dtype="float64", fill_value=np.nan)
    raw = root.create_array("raw", shape=(0,), chunks=(CHUNK,), dtype="float64", compressors=None)
    assert quick.quick(wide) is wide
    assert quick.quick(raw) is raw
    held = zarr.open_group("memory://quick-test", mode="w", zarr_format=3)
    array = made(held, "x", (), "float64")
    assert quick.quick(array) is array


def test_parts_of_a_chunk_and_smaller_sizes_keep_the_rest(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    array = quick.quick(made(root, "x", (2,), "float64"))
    array.resize((12, 2))
    array[(slice(0, 7), slice(2))] = np.ones((7, 2))
    array[(slice(7, 12), slice(2))] = np.ones((5, 2))
    array[(slice(3, 5), slice(2))] = np.full((2, 2), 5.0)
    array[(slice(7, 9), slice(2))] = np.full((2, 2), 6.0)
    expected = np.ones((12, 2))
    expected[3:5], expected[7:9] = 5, 6
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr/x")[:], expected)
    array.resize((4, 2))
    array.resize((9, 2))
    left: Any = zarr.open_array(tmp_path / "a.zarr/x")[:]
    np.testing.assert_array_equal(left[:4], expected[:4])
    assert np.isnan(left[7:]).all()
    assert array.shape == (9, 2)


def test_attributes_are_put_without_touching_anything_else(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    array = quick.quick(made(root, "x", (), "float64"))
    array.resize((3,))
    assert dict(array.attrs) == {"units": "1"}
    quick.put_attributes(array, {"units": "m"})
    quick.put_attributes(root, {"name": "é"})
    assert dict(zarr.open_group(tmp_path / "a.zarr", mode="r").attrs) == {"name": "é"}
    found = zarr.open_array(tmp_path / "a.zarr/x", mode="r")
    assert (dict(found.attrs), found.shape) == ({"units": "m"}, (3,))
