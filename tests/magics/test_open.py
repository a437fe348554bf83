"""``%landscape open``: stored runs, from a line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from nbtoolkit import widget
from nbtoolkit.magics import complete

WATCHED = "%%landscape -q -v run -i loss\nfor _ in range(3): step()"


@pytest.fixture
def saved(shell: InteractiveShell) -> Any:
    """A run that is stored at ``runs/first.zarr``."""
    shell.run_cell(WATCHED).raise_error()
    shell.run_cell("%landscape save runs/first.zarr -q").raise_error()
    return shell.user_ns["run"]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is drawn."""
    drawn: list[Any] = []
    monkeypatch.setattr(widget, "show", lambda run, **_: drawn.append(run))
    return drawn


def test_a_stored_run_is_drawn_given_back_and_the_current_one(
    shell: InteractiveShell, saved: Any, shown: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    opened: Any = shell.run_cell("%landscape open runs/first.zarr -o -v kept").result
    assert shown == [opened] == [shell.user_ns["kept"]]
    assert opened is not saved
    assert opened.state == "saved"
    np.testing.assert_array_equal(opened["loss"]["loss"], saved["loss"]["loss"])
    assert shell.run_cell("%landscape open runs/first.zarr -q").result is None
    assert len(shown) == 1
    capsys.readouterr()
    shell.run_cell("%landscape show loss").raise_error()
    assert shown[-1] not in (saved, opened)  # the one opened last
    shell.run_cell("%landscape").raise_error()
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == [
        f"{saved.name}: finished", f"{saved.name}: saved", f"{saved.name}: saved"
    ]  # fmt: skip


def test_a_training_under_way_stays_the_current_one(shell: InteractiveShell, saved: Any) -> None:
    shell.run_cell("%landscape watch model optimizer -q -v live\n%landscape open runs/first.zarr -q").raise_error()
    shell.run_cell("step()\n%landscape stop -q").raise_error()
    assert shell.user_ns["live"].state == "finished"


def test_variables_in_a_path_are_those_where_the_line_stands(shell: InteractiveShell, saved: Any) -> None:
    shell.run_cell(
        "kept = []\ndef load(which):\n    %landscape open runs/{which}.zarr -q -v one\n    kept.append(one)\n"
        "load('first')"
    ).raise_error()
    assert [run.name for run in shell.user_ns["kept"]] == [saved.name]


def test_a_watched_cell_gives_its_own_runs_back(shell: InteractiveShell, saved: Any) -> None:
    shell.run_cell("%%landscape -q -v own\n%landscape open runs/first.zarr -q -v other\nstep()").raise_error()
    assert (shell.user_ns["own"].state, shell.user_ns["other"].state) == ("finished", "saved")


def test_a_store_that_is_still_to_come_is_followed(shell: InteractiveShell, shown: list[Any]) -> None:
    followed: Any = shell.run_cell("%landscape open later.zarr --follow -o").result
    assert followed.state == "waiting"
    assert shown == [followed]
    shell.run_cell(WATCHED).raise_error()
    shell.user_ns["run"].save("later.zarr")
    followed.control.thread.join(20)
    assert followed.state == "finished"
    assert followed["loss"]["step"].values.tolist() == [0, 1, 2]


def test_following_ends_with_stop(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell("%landscape open later.zarr --follow -q -v followed").raise_error()
    capsys.readouterr()
    shell.run_cell("%landscape stop").raise_error()
    followed = shell.user_ns["followed"]
    assert followed.state == "saved"
    assert capsys.readouterr().out.startswith("later: saved, step 0")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("open", "%landscape open needs PATH: %landscape open PATH [--follow]"),
        ("open a b", "has no place for 'b'"),
        ("open a --folow", "no option '--folow' here; did you mean '--follow'?"),
        ("open runs/frist.zarr", "nothing at 'runs/frist.zarr'; did you mean 'runs/first.zarr'? There are: runs/first"),
        ("open runs/first", "nothing at 'runs/first'; did you mean 'runs/first.zarr'?"),
        ("open runs/else.zarr", "nothing at 'runs/else.zarr'. There are: runs/first.zarr."),
        ("open nowhere/run.zarr", "nowhere: %landscape save PATH and"),
        ("open runs", "is not a Zarr store"),
        ("open runs --follow", "is not a Zarr store"),
        ("open nothing://run.zarr", "cannot be opened"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    message: Callable[[str], str], saved: Any, shown: list[Any], line: str, words: str
) -> None:
    assert words in message(f"%landscape {line}")
    assert shown == []


def test_many_stores_are_not_all_listed(message: Callable[[str], str], saved: Any) -> None:
    for k in range(9):
        saved.save(f"many/{k}.zarr")
    assert message("%landscape open many/x.zarr").endswith("many/6.zarr, many/7.zarr and 1 more.")


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("open ", ["ipython/", "runs/"]),
        ("open --follow r", ["runs/"]),
        ("open runs/", ["runs/first.zarr", "runs/second/"]),
        ("open runs/f", ["runs/first.zarr"]),
        ("open runs/first.zarr ", []),
        ("open nowhere/", []),
        ("open s3://bucket/", []),
        ("open --f", ["--follow"]),
    ],
)
def test_stores_and_folders_are_completed(
    shell: InteractiveShell, saved: Any, tmp_path: Path, begun: str, offered: list[str]
) -> None:
    for folder in ("runs/second", "runs/.hidden"):
        (tmp_path / folder).mkdir()
    (tmp_path / "runs/file").touch()
    assert complete.words(shell, f"%landscape {begun}") == offered
