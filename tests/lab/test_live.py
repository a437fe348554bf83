"""The runs that kernels announce are read with care."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from nbtoolkit.lab.live import MOST, announced

ENTRY = {"name": "run", "state": "watching", "step": 3, "boards": ["a"], "store": ""}


@pytest.fixture
def told(tmp_path: Path):
    """Write an announcement; the connection file it stands beside."""

    def write(name: str, content: Any) -> Path:
        folder = tmp_path / "nbtoolkit"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path / "kernel-1.json"

    return write


def test_runs_come_in_the_order_they_began(told) -> None:
    told("kernel-1.x.json", ENTRY | {"name": "second", "born": 2.0})
    connection = told("kernel-1.y.json", ENTRY | {"name": "first", "born": 1.0, "pid": os.getpid()})
    assert announced(connection) == [ENTRY | {"name": "first"}, ENTRY | {"name": "second"}]


def test_another_kernel_says_nothing_of_this_one(told) -> None:
    told("kernel-12.x.json", ENTRY)
    connection = told("kernel-2.x.json", ENTRY)
    assert announced(connection) == []
    assert announced(connection.with_name("absent.json")) == announced(Path("/nowhere/kernel-1.json")) == []


def test_a_process_that_is_gone_is_not_listed(told) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    assert announced(told("kernel-1.x.json", ENTRY | {"pid": child})) == []
    assert announced(told("kernel-1.x.json", ENTRY | {"pid": os.getpid()})) == [ENTRY]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000, b"\xff".decode("latin1") * 3, "{}" * 3])
def test_what_cannot_be_read_is_left_out(told, content: str) -> None:
    told("kernel-1.x.json", content)
    assert announced(told("kernel-1.y.json", ENTRY)) == [ENTRY]


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
    (entry,) = announced(told("kernel-1.x.json", wrong))
    assert entry == {"name": "", "state": "", "step": None, "boards": ["b"], "store": ""}
    (entry,) = announced(told("kernel-1.x.json", ENTRY | {"name": "n" * 10_000, "boards": "abc", "pid": -1}))
    assert (len(entry["name"]), entry["boards"]) == (200, [])


def test_there_is_a_bound(told) -> None:
    for i in range(MOST + 5):
        connection = told(f"kernel-1.{i}.json", ENTRY | {"born": i, "step": i})
    assert [entry["step"] for entry in announced(connection)] == list(range(5, MOST + 5))
