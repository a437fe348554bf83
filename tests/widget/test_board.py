"""The Board sends each row once, keeps count, and answers a browser that lost some."""

import json
from typing import Any

import numpy as np
import pytest

from nbtoolkit.instruments import default
from nbtoolkit.widget import Board, board
from nbtoolkit.widget.figures import describe
from tests.widget.test_messages import received, unpacked

UNASKED = [item.name for item in default() if item.name not in ("loss", "grad_norm")]


class Heard(Board):
    """A Board that keeps its messages instead of sending them."""

    def __init__(self, run: Any) -> None:
        self.heard: list[tuple[dict[str, Any], list[Any]]] = []
        super().__init__(run)

    def send(self, content: Any, buffers: Any = None) -> None:
        self.heard.append((content, buffers))


@pytest.fixture
def live(run, monkeypatch) -> Heard:
    """A Board in a kernel that lets the browser's messages in."""
    monkeypatch.setattr(board.Pump, "find", lambda: lambda: None)
    made = Heard(run)
    run.listeners.append(lambda run: made.update() if run.state == "watching" else made.finish())
    run.train(2)  # brings the labels
    made.heard.clear()
    return made


def test_updates_are_numbered_and_add_up(run, live):
    first = run.step
    for _ in range(5):
        run.train(3)
    heads = [head for head, _ in live.heard]
    assert [head["op"] for head in heads] == ["append"] * 5
    assert np.diff([head["seq"] for head in heads]).tolist() == [1] * 4
    steps = np.concatenate([received(message)["loss/loss"][0] for message in live.heard])
    np.testing.assert_array_equal(steps, np.arange(first, run.step))


def test_hello_is_answered_with_everything_and_updates_go_on_from_there(run, live):
    run.train(3)
    live._handle_custom_msg({"op": "hello"}, [])
    run.train(2)
    (_, answer, update) = live.heard
    assert answer[0]["op"] == "reset"
    np.testing.assert_array_equal(received(answer)["loss/loss"][0], np.arange(run.step - 2))
    np.testing.assert_array_equal(received(update)["loss/loss"][0], [run.step - 2, run.step - 1])
    assert update[0]["seq"] == answer[0]["seq"] + 1


def test_without_a_way_in_the_first_messages_repeat_everything(run, monkeypatch):
    monkeypatch.setattr(board.Pump, "find", lambda: None)
    made = Heard(run)
    run.listeners.append(lambda _: made.update())
    run.train(2)
    run.train(2)
    assert {head["op"] for head, _ in made.heard} == {"reset"}
    made._born = made._last_reset = -board.CERTAIN - 1
    monkeypatch.setattr(board.time, "monotonic", lambda: 0.0)
    run.train(2)
    assert made.heard[-1][0]["op"] == "append"


def test_panels_are_described_anew_only_when_something_appears(run, live):
    before = live.panels
    run.train(2)
    assert live.panels is before
    run.record.group("val", {"val": run.record.groups["loss"].variables["loss"]}, {"reference": "run.log"})
    run.record.groups["val"].append([run.step], {"val": np.array([0.5])})
    run.train(2)
    assert "val/val" in [panel["id"] for panel in json.loads(live.panels)["panels"]]
    assert live.heard[-1][0]["op"] in ("append", "reset")


def test_the_end_is_kept_in_the_widgets_own_state(run, live):
    run.train(9)
    assert live.snapshot == b""
    run.end()
    head, buffers = unpacked(live.snapshot)
    assert head["status"]["state"] == "finished"
    steps, values = received((head, buffers))["loss/loss"]
    np.testing.assert_array_equal(steps, np.arange(run.step))
    np.testing.assert_array_equal(values[:, 0], run.record.groups["loss"].rows()[1]["loss"])


def test_a_finished_run_is_complete_at_once(run):
    run.train(4)
    run.state = "saved"
    assert unpacked(Board(run).snapshot)[0]["status"]["state"] == "saved"


def test_boards_share_one_bokeh(run):
    first, second = Board(run), Board(run)
    assert first.asset == second.asset
    assert first.uid != second.uid
    assert len(first.panels) + len(first._esm) < 200_000
    assert len(board.shared_asset().source) > 1_000_000


def test_each_panel_is_described_with_its_words_and_its_figures(run):
    run.train(3)
    told = json.loads(describe(run.record))
    loss, total, field = told["panels"]
    assert (loss["title"], loss["definition"], total["reference"]) == ("training loss", "what is minimised", "calculus")
    assert [panel["kind"] for panel in told["panels"]] == ["curves", "curves", "heatmap"]
    assert [line["label"] for line in field["lines"]] == ["0.weight", "0.bias", "2.weight"]
    assert [(line["key"], line["column"]) for line in field["lines"]] == [("grad_norm/norm", i) for i in range(3)]
    assert all(form in told["figures"] for panel in told["panels"] for form in panel["forms"].values())


def test_at_most_six_panels_are_open_at_first_of_what_nobody_asked_for(run):
    variables = run.record.groups["grad_norm"].variables
    for i, name in enumerate(UNASKED):
        columns = run.record.group(name, variables)
        columns.append([0], {"total": np.ones(1), "norm": np.ones((1, 1))}, {"param": ["a"]})
        run.record.group(f"own{i}", {"v": variables["total"]}, {"reference": "run.log"})
    run.train(1)
    shown = [panel for panel in json.loads(describe(run.record))["panels"] if panel["shown"]]
    assert len(shown) == 6
    assert [panel["kind"] for panel in shown].count("heatmap") == 2
    assert "own0/v" in [panel["id"] for panel in shown]


def test_each_instrument_asked_for_is_open_before_what_nobody_asked_for(run):
    variables = run.record.groups["grad_norm"].variables
    asked = {"fields": {"norm": variables["norm"]}, "curves": variables, "more": variables, "last": variables}
    for name, some in asked.items():
        rows = {"total": np.ones(1), "norm": np.ones((1, 1))}
        run.record.group(name, some).append([0], {key: rows[key] for key in some}, {"param": ["a"]})
    run.train(1)
    shown = [panel["id"] for panel in json.loads(describe(run.record))["panels"] if panel["shown"]]
    # For a second field there is room.
    assert shown == ["loss/loss", "fields/norm", "curves/total", "curves/norm", "more/total", "last/total"]
    for i in range(6):
        run.record.group(f"other {i}", {"total": variables["total"]})
    shown = [panel["id"] for panel in json.loads(describe(run.record))["panels"] if panel["shown"]]
    assert shown[:5] == ["loss/loss", "fields/norm", "curves/total", "more/total", "last/total"]
    assert shown[5:] == ["other 0/total", "other 1/total", "other 2/total"]


def test_the_name_of_the_run_is_told_for_there_may_be_several(run, live):
    run.train(1)
    assert live.heard[-1][0]["status"]["name"] == run.name


def test_a_fourth_curve_takes_the_place_of_what_nobody_logs(run):
    variables = run.record.groups["grad_norm"].variables
    for name in UNASKED:
        run.record.group(name, {"total": variables["total"]})
    run.train(1)
    shown = [panel["id"] for panel in json.loads(describe(run.record))["panels"] if panel["shown"]]
    assert shown == ["loss/loss", "grad_norm/total", "grad_norm/norm", *(f"{name}/total" for name in UNASKED[:2])]


def test_named_groups_alone_are_open(run):
    run.train(1)
    told = json.loads(Board(run, ["grad_norm"]).panels)["panels"]
    assert [panel["group"] for panel in told if panel["shown"]] == ["grad_norm", "grad_norm"]
    assert len(told) == 3
