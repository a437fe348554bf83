"""The Board hands the page's commands to the run, answers each, and tells what was done."""

import json
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.errors import TrainingStopped
from nbtoolkit.widget import board, messages, show
from nbtoolkit.widget.board import Board
from tests import problems
from tests.capture.outside import Elsewhere, elsewhere, while_paused
from tests.widget.test_messages import unpacked


class Heard(Board):
    """A Board that keeps its messages instead of sending them."""

    def __init__(self, run: Any, names: Any = None) -> None:
        self.heard: list[dict[str, Any]] = []
        self.count = 0
        super().__init__(run, names)

    def send(self, content: Any, buffers: Any = None) -> None:
        self.heard.append(content)

    def ask(self, what: Any, **more: Any) -> str:
        """A message of the page; its id."""
        self.count += 1
        self._handle_custom_msg({"op": "command", "id": f"c{self.count}", "what": what, **more}, [])
        return f"c{self.count}"

    def acks(self, name: str) -> list[tuple[str, str]]:
        return [(head["state"], head["text"]) for head in self.heard if head.get("id") == name]

    def heads(self, key: str) -> list[Any]:
        return [head[key] for head in self.heard if key in head]


@pytest.fixture
def problem() -> problems.Problem:
    return problems.mlp()


@pytest.fixture
def watched(problem: problems.Problem, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run with a Board in a kernel that lets messages in."""
    monkeypatch.setattr(board.Pump, "find", lambda: lambda: None)
    monkeypatch.setattr("nbtoolkit.widget.display.Board", Heard)
    monkeypatch.setattr("nbtoolkit.capture.run.FLUSH_SECONDS", 0.0)
    with nbtoolkit.watch(problem.model, problem.optimizer, name="it") as run:
        yield run, show(run)


def test_between_steps_a_command_is_done_at_once_and_within_one_it_waits(problem: Any, watched: Any) -> None:
    run, page = watched
    problem.train(2)
    assert page.acks(page.ask("lr", rate=0.05)) == [("done", "learning rate: 0.1 -> 0.05 from step 2")]
    names: list[str] = []
    run.ears.append(lambda: names or names.append(page.ask("lr", rate=0.5, group=0)))
    while not names:  # ears are called only so often
        problem.train(1)
    at = run.step
    assert page.acks(names[0]) == [("queued", ""), ("done", f"learning rate of group 0: 0.05 -> 0.5 from step {at}")]
    (pause,) = [page.ask("pause")]
    assert page.acks(pause) == [("queued", "")]
    while_paused(run, lambda: page.ask("resume"))
    problem.train(1)
    assert page.acks(pause)[1:] == [("done", f"paused after step {at + 1}")]


def test_what_the_page_is_told_while_paused(problem: Any, watched: Any) -> None:
    run, page = watched
    problem.train(2)
    before = len(page.heard)

    def look() -> None:
        paused = [head for head in page.heard[before:] if head["op"] != "ack"][-1]
        assert (paused["status"]["state"], paused["status"]["step"]) == ("paused", 3)
        assert page.heads("commands")[-1] == [
            {"step": 3, "what": "pause", "text": "paused after step 3", "old": None, "new": None}
        ]
        page.ask("lr", rate=0.02)

    def again() -> None:
        assert page.heads("status")[-1]["lr"] == [0.02]
        page.ask("measure", name="weight_norm")

    def last() -> None:
        assert page.acks("c3") == [("queued", ""), ("done", "weight_norm measured at step 3")]
        page.ask("resume")

    while_paused(run, look, again, last)
    page.ask("pause")
    problem.train(1)
    problem.train(1)
    states = [status["state"] for status in page.heads("status")]
    assert states[-1] == "watching"
    assert "paused" in states
    assert page.heads("status")[-1]["deaf"] == ""


def test_a_rate_that_is_no_number_is_told_as_json_allows_it(problem: Any, watched: Any) -> None:
    _, page = watched
    problem.optimizer.param_groups[0]["lr"] = float("nan")
    page.update()
    assert page.heads("status")[-1]["lr"] == [None]


def test_the_log_is_sent_when_it_grows_and_in_every_reset(problem: Any, watched: Any) -> None:
    run, page = watched
    problem.train(3)
    page.heard.clear()
    problem.train(3)
    assert page.heads("commands") == []
    page.ask("every", name="weight_norm", steps=2)
    problem.train(3)
    ((one,),) = page.heads("commands")
    assert one == {
        "step": 6, "what": "every", "text": "weight_norm is measured every 2 steps from step 6, before every 10",
        "old": 10, "new": 2,
    }  # fmt: skip
    page._handle_custom_msg({"op": "hello"}, [])
    assert page.heard[-1]["op"] == "reset"
    assert page.heard[-1]["commands"] == [one]
    assert page.heard[-1]["findings"] == []
    run.detach()
    head, _ = unpacked(page.snapshot)
    assert (head["commands"], head["findings"]) == ([one], page._strip.known)
    assert json.loads(messages.pack((head, []))[8:].decode())["commands"] == [one]


def test_of_a_long_log_the_page_has_the_end() -> None:
    log = [{"step": i, "what": "lr", "text": "", "old": float("nan"), "new": 1.0, "own": True} for i in range(500)]
    head = messages.commands_head(log)
    assert [one["step"] for one in head] == list(range(300, 500))
    assert head[0] == {"step": 300, "what": "lr", "text": "", "old": None, "new": 1.0}


def test_two_boards_and_a_closed_one(problem: Any, watched: Any) -> None:
    run, page = watched
    other = show(run)
    assert isinstance(other, Heard)
    problem.train(2)
    page.close()
    other.ask("lr", rate=0.25)
    problem.train(2)
    assert other.heads("commands")[-1][-1]["new"] == 0.25
    assert len(run.listeners) == len(run.ears) == 1
    run.detach()
    assert not run.listeners
    assert run.notes == []


def test_an_ended_run_is_acted_on_no_more(problem: Any, watched: Any) -> None:
    run, page = watched
    problem.train(1)
    assert json.loads(page.controls)["groups"] == 1
    run.detach()
    assert page.controls == ""
    for what in ("pause", "stop", "measure", "lr"):
        name = page.ask(what, name="sharpness", rate=0.1)
        assert page.acks(name) == [("refused", "it is finished: there is no training to act on.")]
    saved = Heard(nbtoolkit.Run("old", run.record))
    assert saved.controls == ""
    assert saved.acks(saved.ask("stop")) == [("refused", "old is saved: there is no training to act on.")]


def test_stop_is_answered_and_ends_in_a_complete_board(problem: Any, watched: Any) -> None:
    _, page = watched
    problem.train(2)
    name = page.ask("stop")
    with pytest.raises(TrainingStopped):
        problem.train(1)
    assert page.acks(name) == [("queued", ""), ("done", "stopped after step 3")]
    head, _ = unpacked(page.snapshot)
    assert (head["status"]["state"], head["status"]["step"]) == ("stopped", 3)
    assert head["status"]["notes"] == []


@pytest.mark.parametrize(
    "content",
    [None, 7, "stop", [], {}, {"op": 3}, {"op": "command"}, {"op": "command", "id": 5, "what": "stop"},
     {"op": "command", "id": "", "what": "stop"}, {"op": "command", "id": "x" * 10**6, "what": "stop"}],
)  # fmt: skip
def test_what_has_no_id_is_ignored(problem: Any, watched: Any, content: Any) -> None:
    run, page = watched
    problem.train(1)
    page.heard.clear()
    page._handle_custom_msg(content, [])
    assert page.heard == []
    problem.train(2)
    assert (run.commands, run.notes, run.step) == ([], [], 3)


@pytest.mark.parametrize(
    "asked",
    [{"what": None}, {"what": "exec"}, {"what": ["stop"]}, {"what": "x" * 10**6}, {"what": "lr"},
     {"what": "lr", "rate": "0.1"}, {"what": "lr", "rate": float("nan")}, {"what": "lr", "rate": True},
     {"what": "lr", "rate": float("inf")},
     {"what": "lr", "rate": 10**400}, {"what": "lr", "rate": 0.1, "group": 1}, {"what": "lr", "rate": 1, "group": 0.0},
     {"what": "advance", "steps": 0}, {"what": "advance", "steps": "1"}, {"what": "advance", "steps": 10**100},
     {"what": "measure"}, {"what": "measure", "name": {}}, {"what": "measure", "name": "x" * 10**6},
     {"what": "measure", "name": "known"}, {"what": "measure", "name": "landscape_slice"},
     {"what": "every", "name": "loss"}, {"what": "every", "name": "loss", "steps": 1.5},
     {"what": "every", "name": "twin_divergence", "steps": 3}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_words(problem: Any, watched: Any, asked: dict[str, Any]) -> None:
    run, page = watched
    problem.train(1)
    ((state, text),) = page.acks(page.ask(**asked))
    assert state == "refused"
    assert 10 < len(text) < 300
    assert "\n" not in text
    problem.train(2)
    assert (run.commands, run.notes, run.step) == ([], [], 3)


def test_what_can_be_measured_and_why_not(problem: Any, watched: Any) -> None:
    run, page = watched
    told = {one["name"]: one for one in json.loads(page.controls)["instruments"]}
    assert {name for name, one in told.items() if one["attached"]} == set(run.instruments)
    assert set(told) == {*nbtoolkit.instruments.known()}
    assert told["loss"] == {"name": "loss", "title": "training loss", "attached": True, "every": 1, "cannot": ""}
    assert told["sharpness"] == {
        "name": "sharpness", "title": "largest Hessian eigenvalue", "attached": False, "every": None, "cannot": "",
    }  # fmt: skip
    assert told["landscape_slice"]["cannot"].startswith("needs the loss as a function of the parameters")
    assert told["stability_gap"]["cannot"].startswith("needs the held-out data of the tasks")
    assert told["twin_divergence"]["cannot"].startswith("compares the run with its forks")
    problem.train(1)
    page.ask("every", name="sharpness", steps=7)
    told = {one["name"]: one for one in json.loads(page.controls)["instruments"]}
    assert (told["sharpness"]["attached"], told["sharpness"]["every"]) == (True, 7)


def test_what_cannot_is_what_the_training_refuses(problem: Any) -> None:
    """Each instrument that the page offers can be measured, and each that it does not cannot."""
    x, y = torch.randn(40, 8), torch.randint(0, 3, (40,))
    for options in ({}, {"loss": F.cross_entropy, "probe": (x, y)}):
        problem = problems.mlp()
        with nbtoolkit.watch(problem.model, problem.optimizer, **options) as run:
            page = Heard(run)
            problem.train(2)
            for one in json.loads(page.controls)["instruments"]:
                name = page.ask("every", name=one["name"], steps=3)
                ((state, text),) = page.acks(name)
                assert (state == "refused") == bool(one["cannot"]), (one, text)
                assert not one["cannot"] or one["cannot"] in text


def test_where_nothing_can_arrive_the_page_says_so(problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board.Pump, "find", lambda: None)
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        page = Heard(run)
        run.listeners.append(lambda _: page.update())
        problem.train(1)
        run.report()
        assert "background thread" in page.heads("status")[-1]["deaf"]
        run.steps._thread = None  # type: ignore[union-attr]
        elsewhere(lambda: problem.train(1))
        page.update()
        assert page.heads("status")[-1]["deaf"] == ""  # the main thread hears the page while another one trains


def test_a_background_thread_is_acted_on_by_the_page(problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board.Pump, "find", lambda: None)
    run = nbtoolkit.watch(problem.model, problem.optimizer)
    page = Heard(run)
    loop = Elsewhere(problem.step)
    names = [page.ask("lr", rate=0.5), page.ask("pause"), page.ask("resume"), page.ask("stop")]
    assert loop.ended_by() == [TrainingStopped]
    assert [[state for state, _ in page.acks(name)] for name in names] == [["queued", "done"]] * 4
    assert [one["what"] for one in run.commands] == ["lr", "pause", "resume", "stop"]


def test_a_new_board_is_laid_out_as_the_last_one(problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "_layouts", [""])
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        first = Heard(run)
        assert first.arrangement == ""
        first.arrangement = json.dumps({"order": ["a"], "hidden": {"loss/loss": True}, "wide": []})
        assert Heard(run).arrangement == first.arrangement
        assert json.loads(Heard(run, ["loss"]).arrangement) == {"order": ["a"], "hidden": {}, "wide": []}
        first.arrangement = "x" * (board.LAYOUT + 1)
        assert json.loads(Heard(run).arrangement)["order"] == ["a"]
        first.arrangement = "nothing that can be read"
        assert Heard(run, ["loss"]).arrangement == ""
