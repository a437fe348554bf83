"""The runs that kernels announce are read with care."""

import json
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from nbtoolkit.lab.live import FOLDER, MOST, announced

ENTRY = {"name": "run", "state": "watching", "step": 3, "boards": ["a"], "store": ""}


@pytest.fixture
def told(tmp_path: Path):
    """Write an announcement; the connection file it stands beside."""

    def write(stem: str, content: Any) -> Path:
        folder = tmp_path / FOLDER
        folder.mkdir(exist_ok=True)
        (folder / f"{stem}.{uuid4().hex}.json").write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path / f"{stem}.json"

    return write


def test_runs_come_in_the_order_they_began(told) -> None:
    told("kernel-1", ENTRY | {"name": "second", "born": 2.0})
    connection = told("kernel-1", ENTRY | {"name": "first", "born": 1.0, "pid": os.getpid()})
    assert announced(connection) == [ENTRY | {"name": "first"}, ENTRY | {"name": "second"}]


def test_another_kernel_says_nothing_of_this_one(told, tmp_path: Path) -> None:
    told("kernel-12", ENTRY)
    told("kernel-2", ENTRY)
    connection = tmp_path / "kernel-1.json"
    assert announced(connection) == []
    assert announced(connection.with_name("absent.json")) == announced(Path("/nowhere/kernel-1.json")) == []


def test_only_names_that_are_written_there_are_read(told, tmp_path: Path) -> None:
    connection = told("kernel-1", ENTRY)
    told("kernel-1.b", ENTRY | {"name": "of a kernel with a longer name"})
    for name in ("kernel-1.x.json", f"kernel-1.{'0' * 32}.part", f"kernel-1.{'0' * 33}.json"):
        (tmp_path / FOLDER / name).write_text(json.dumps(ENTRY | {"name": name}))
    (tmp_path / "outside.json").write_text(json.dumps(ENTRY | {"name": "outside"}))
    (tmp_path / FOLDER / f"kernel-1.{'1' * 32}.json").symlink_to(tmp_path / "outside.json")
    assert announced(connection) == [ENTRY]
    assert [entry["name"] for entry in announced(tmp_path / "kernel-1.b.json")] == ["of a kernel with a longer name"]


def test_a_process_that_is_gone_is_not_listed(told) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    assert announced(told("kernel-1", ENTRY | {"pid": child})) == []
    assert announced(told("kernel-1", ENTRY | {"pid": os.getpid()})) == [ENTRY]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000, b"\xff".decode("latin1") * 3, "{}" * 3])
def test_what_cannot_be_read_is_left_out(told, content: str) -> None:
    told("kernel-1", content)
    assert announced(told("kernel-1", ENTRY)) == [ENTRY]


def test_values_of_another_kind_become_blank(told) -> None:
    wrong = {
        "name": ["<script>"],
        "state": 7,
        "step": "1",
        "boards": [1, "b", None],
        "store": {},
        "born": "x",
        "pid": "y",
    }
    (entry,) = announced(told("kernel-1", wrong))
    assert entry == {"name": "", "state": "", "step": None, "boards": ["b"], "store": ""}
    (entry,) = announced(told("kernel-2", ENTRY | {"name": "n" * 10_000, "boards": "abc", "pid": -1}))
    assert (len(entry["name"]), entry["boards"]) == (200, [])


def test_there_is_a_bound(told) -> None:
    for i in range(MOST + 5):
        connection = told("kernel-1", ENTRY | {"born": i, "step": i})
    assert [entry["step"] for entry in announced(connection)] == list(range(5, MOST + 5))
