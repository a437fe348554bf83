"""Files that anybody wrote are read within bounds, and never waited for."""

import json
import os
from pathlib import Path

from nbtoolkit.lab import reading
from nbtoolkit.lab.companions import companions
from tests.lab.test_stored import bounded


def padded(path: Path, size: int) -> Path:
    """An object in a file of so many bytes."""
    path.write_bytes(b'{"a": 1}'.ljust(size))
    return path


def test_an_object_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": "é"}, ensure_ascii=False), encoding="utf-8")
    assert reading.mapping(path) == {"a": "é"}


def test_files_are_read_up_to_a_size(tmp_path: Path) -> None:
    assert reading.mapping(padded(tmp_path / "a.json", reading.LARGEST)) == {"a": 1}
    assert reading.mapping(padded(tmp_path / "b.json", reading.LARGEST + 1)) == {}


def test_no_more_is_read_than_that(tmp_path: Path) -> None:
    path = tmp_path / "vast.json"
    path.touch()
    os.truncate(path, 1 << 40)  # a hole, no room on the disk
    assert reading.mapping(path) == {}


def test_what_is_no_file_is_empty_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "link").symlink_to(padded(tmp_path / "a.json", 10))
    (tmp_path / "folder").mkdir()
    for place in ("pipe", "endless", "link", "folder", "absent"):
        assert bounded(reading.mapping, tmp_path / place) == {}, place
    assert bounded(reading.mapping, Path("/dev/zero")) == {}


def test_no_file_is_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    padded(tmp_path / "a.json", 10)
    before = len(os.listdir("/proc/self/fd"))
    for place in ("pipe", "a.json", "absent", "."):
        reading.mapping(tmp_path / place)
    assert len(os.listdir("/proc/self/fd")) == before


def test_companions_may_be_links(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a").write_text('{"cells": []}')
    (tmp_path / "folder" / "a.ipynb").symlink_to(tmp_path / "a")
    (tmp_path / "folder" / "round.ipynb").symlink_to("round.ipynb")
    os.mkfifo(tmp_path / "folder" / "pipe.ipynb")
    assert bounded(companions, [str(tmp_path / "folder")]) == {"a.ipynb": {"cells": []}}
