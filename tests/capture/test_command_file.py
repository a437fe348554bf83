"""The file in which a job is asked for something: anybody with the user's rights may have written anything into it."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nbtoolkit
from nbtoolkit.capture import afar, following, lines, listening
from nbtoolkit.capture.lines import Lines
from nbtoolkit.errors import StoreError, WatchError
from nbtoolkit.store.places import Place
from tests import problems
from tests.capture.afar import until


class Watched:
    """A training that listens to a command file, and makes steps when told to."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.problem = problems.mlp()
        self.folder = folder
        options = {"store": folder / "run.zarr", "commands": True, **options}
        self.run = nbtoolkit.watch(self.problem.model, self.problem.optimizer, **options)

    def write(self, *given: Any) -> None:
        """Append lines: text as it is, else as JSON."""
        with (self.folder / "run.commands").open("a") as file:
            file.writelines((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in given)

    def told(self, op: str) -> list[dict[str, Any]]:
        """What the job has said."""
        path = self.folder / "run.acks"
        said = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [one for one in said if one["op"] == op]

    def acks(self, name: str) -> list[str]:
        return [one["state"] for one in self.told("ack") if one["id"] == name]


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(lines, "LOCAL_SECONDS", 0.01)
    (tmp_path / "run.commands").write_text('{"op": "command", "id": "old", "what": "stop"}\n')
    one = Watched(tmp_path)
    with one.run:
        one.problem.train(2)
        until(lambda: one.told("controls"))
        yield one


def test_commands_are_acknowledged_and_carried_out(watched: Watched) -> None:
    job = watched.told("controls")[-1]["job"]
    watched.write({"op": "command", "id": "a", "what": "lr", "rate": 0.03, "job": job}, {"id": "b", "what": "lr"})
    until(lambda: watched.acks("a") == ["queued"] and watched.acks("b"))
    watched.problem.train(1)
    until(lambda: watched.acks("a") == ["queued", "done"])
    assert watched.problem.optimizer.param_groups[0]["lr"] == 0.03
    assert watched.acks("b") == ["refused"]
    assert watched.acks("old") == []
    controls = json.loads(watched.told("controls")[-1]["controls"])
    assert controls["groups"] == 1
    assert {"loss", "sharpness"} <= {one["name"] for one in controls["instruments"]}


def test_an_id_is_heard_once_also_when_the_file_is_written_anew(watched: Watched) -> None:
    command = {"id": "a", "what": "lr", "rate": 0.03}
    watched.write(command, command)
    until(lambda: watched.acks("a"))
    path = watched.folder / "run.commands"
    (watched.folder / "other").write_text(json.dumps({"id": "old", "what": "stop"}) + "\n" + json.dumps(command) + "\n")
    os.replace(watched.folder / "other", path)
    watched.write({"id": "last", "what": "nothing"})
    until(lambda: watched.acks("last"))
    watched.problem.train(2)
    assert [one["new"] for one in watched.run.commands] == [0.03]


def test_what_was_written_for_another_start_is_refused(watched: Watched) -> None:
    watched.write({"id": "a", "what": "stop", "job": "0" * 32})
    (ack,) = until(lambda: watched.told("ack"))
    assert (ack["state"], "another start of this job" in ack["text"]) == ("refused", True)
    watched.problem.train(2)
    assert watched.run.state == "watching"


HOSTILE = [
    "no JSON",
    "[]",
    '"stop"',
    "null",
    "{" * 3000,
    "[" * 3000,
    '{"id": "x", "what": "lr", "rate": ' + "9" * 5000 + "}",
    '{"id": 7, "what": "stop"}',
    '{"id": "", "what": "stop"}',
    '{"what": "stop"}',
    '{"op": "ack", "id": "x1", "what": "stop"}',
    "\x00\xff\u2028",
    '{"id": "long", "what": "stop", "more": "' + "x" * 5000 + '"}',
]
REFUSED = [
    {"what": "exec", "code": "import os"},
    {"what": "__class__"},
    {"what": ["stop"]},
    {"what": "lr", "rate": "0.1"},
    {"what": "lr", "rate": float("nan")},
    {"what": "lr", "rate": 1e400},
    {"what": "lr", "rate": 0.1, "group": -1},
    {"what": "measure", "name": "__import__('os')"},
    {"what": "measure", "name": {"a": 1}},
    {"what": "every", "name": "loss", "steps": 10**30},
    {"what": "advance", "steps": -1},
]


def test_a_hostile_file_does_nothing_and_is_noted_once(watched: Watched) -> None:
    watched.write(*HOSTILE)
    watched.write(*({"id": f"r{place}", **one} for place, one in enumerate(REFUSED)))
    with (watched.folder / "run.commands").open("ab") as file:
        file.write(b"\xff\xfe" + b"y" * 10**6 + b"\n")
    watched.write({"id": "last", "what": "lr", "rate": 0.07})
    until(lambda: watched.acks("last"))
    watched.problem.train(3)
    until(lambda: "done" in watched.acks("last"))
    assert [watched.acks(f"r{place}") for place in range(len(REFUSED))] == [["refused"]] * len(REFUSED)
    assert len(watched.told("ack")) == len(REFUSED) + 2
    assert [one["what"] for one in watched.run.commands] == ["lr"]
    note = listening.LEFT_OUT.format(place=watched.folder / "run.commands", longest=listening.LONGEST)
    assert watched.run.notes.count(note) == 1
    assert watched.run.state == "watching"


def test_in_place_of_the_file_may_be_anything(watched: Watched) -> None:
    path = watched.folder / "run.commands"
    path.unlink()
    os.mkfifo(path)
    watched.problem.train(2)
    path.unlink()
    path.mkdir()
    watched.problem.train(2)
    path.rmdir()
    watched.write({"id": "a", "what": "lr", "rate": 0.02})
    until(lambda: watched.acks("a"))
    watched.problem.train(1)
    until(lambda: "done" in watched.acks("a"))


def test_what_waits_at_the_end_is_answered(watched: Watched) -> None:
    watched.write({"id": "a", "what": "pause"})
    until(lambda: watched.acks("a"))
    watched.run.detach()
    assert watched.acks("a") == ["queued", "refused"]
    assert watched.told("end")
    assert oct((watched.folder / "run.acks").stat().st_mode)[-3:] == "600"


def test_without_a_store_or_a_place_nothing_begins(tmp_path: Path) -> None:
    with pytest.raises(WatchError, match="give store=path too"):
        Watched(tmp_path, store=None)
    (tmp_path / "run.acks").mkdir()
    with pytest.raises(StoreError, match="cannot write beside"):
        Watched(tmp_path)


@pytest.fixture
def followed(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> Iterator[following.Followed]:
    monkeypatch.setattr(following, "FOLLOW_SECONDS", 0.02)
    monkeypatch.setattr(afar, "LOOK_SECONDS", (0.01, 0.01))
    run = nbtoolkit.open_run(watched.folder / "run.zarr", follow=True)
    assert isinstance(run, following.Followed)
    with run:
        until(lambda: run.step == 2 and not run.control.deaf)
        yield run


def test_a_job_that_does_not_answer_is_said_not_to(
    watched: Watched, followed: following.Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(afar, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(listening.Listening, "_listen", lambda self: None)
    with pytest.raises(WatchError, match=r"no answer from the job .* started with commands=True\?"):
        followed.pause()


def test_a_job_that_is_lost_while_it_is_asked_keeps_nobody_waiting(
    watched: Watched, followed: following.Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening.Listening, "_listen", lambda self: None)
    monkeypatch.setattr(afar, "ANSWER_SECONDS", 1e6)
    monkeypatch.setattr(following, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr(type(watched.run.appender), "write", lambda self: None)
    followed.state = "following"
    with pytest.raises(WatchError, match=r"the job has written nothing for \d+ s; it may be gone"):
        followed.pause()


def test_a_job_that_allows_nothing_is_not_asked(tmp_path: Path) -> None:
    other = Watched(tmp_path, commands=False)
    with other.run:
        other.problem.train(1)
        run = nbtoolkit.open_run(tmp_path / "run.zarr", follow=True)
        with run, pytest.raises(WatchError, match="this job takes no commands"):
            run.pause()
    assert not (tmp_path / "run.commands").exists()


def test_a_store_that_vanishes_is_lost_and_what_was_read_stays(
    watched: Watched, followed: following.Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "SILENT_SECONDS", 0.3)
    watched.problem.train(3)
    watched.run.detach()
    until(lambda: followed.state == "finished")
    assert len(followed["loss"]["step"]) == 5
    again = Watched(watched.folder / "again")
    with again.run, nbtoolkit.open_run(again.folder / "run.zarr", follow=True) as run:
        again.problem.train(3)
        until(lambda: "loss" in run.record.groups and len(run["loss"]["step"]) == 3)
        monkeypatch.setattr(type(again.run.appender), "write", lambda self: None)
        shutil.rmtree(again.folder / "run.zarr", ignore_errors=True)
        until(lambda: run.state == "lost")
        assert "there is nothing at" in run.notes[-1] or "cannot be read" in run.notes[-1]
        assert len(run["loss"]["step"]) == 3
        with pytest.raises(WatchError, match="is lost: nobody is there"):
            run.pause()
    assert run.state == "saved"


def test_what_others_say_of_the_controls_is_checked() -> None:
    item = {"name": "loss", "title": "loss", "attached": True, "every": 1, "cannot": ""}
    fits = json.dumps({"groups": 2, "instruments": [item | {"more": "<script>"}], "more": 1})
    assert json.loads(afar._checked(fits)) == {"groups": 2, "instruments": [item]}
    for wrong in (None, 7, "", "[]", "{}", json.dumps({"groups": "x", "instruments": []}),
                  json.dumps({"groups": 1, "instruments": [item | {"name": 7}]}), "[" * 10**5):  # fmt: skip
        assert afar._checked(wrong) == ""


def test_lines_of_a_file_and_of_an_object_store_are_the_same(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    for where in (str(tmp_path / "a"), "memory://lines/a"):
        mine, theirs = Lines(Place(where), 100), Lines(Place(where), 100)
        assert mine.fresh() == []
        theirs.append([{"n": 1}, {"n": 2}])
        assert mine.fresh() == [{"n": 1}, {"n": 2}]
        theirs.append([{"n": "x" * 200}, {"n": 3}])
        assert mine.fresh() == [{"n": 3}]
        assert mine.left_out == 1
        assert mine.fresh() == []
        assert mine.left_out == 0
    with pytest.raises(ValueError, match="JSON"):
        mine.append([{"n": float("nan")}])


def test_a_line_is_read_when_it_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "a"
    read = Lines(Place(path), 100)
    path.write_text('{"n": 1}\n{"n"')
    assert read.fresh() == [{"n": 1}]
    Lines(Place(path), 100).append([{"n": 3}])  # somebody else's line has not ended
    assert read.fresh() == [{"n": 3}]
    assert read.left_out == 1
