"""Several runs in one Board: found by label, drawn by label, live, on a page and in a still."""

import json
import re
import weakref
from typing import Any

import numpy as np
import pytest
import torch

import nbtoolkit
from nbtoolkit import analysis
from nbtoolkit.errors import LandscapeError
from nbtoolkit.store.schema import Var
from nbtoolkit.widget import Board, export_html, export_image, messages, show
from nbtoolkit.widget.figures import describe, shape
from nbtoolkit.widget.overlaid import OverlaidRuns, overlaid
from nbtoolkit.widget.picture import picture
from tests.widget.conftest import FakeRun
from tests.widget.pages import payloads, values_of
from tests.widget.test_messages import received


def trained(steps: int, name: str = "run", state: str = "finished", scale: float = 1.0) -> FakeRun:
    """A run with a loss."""
    made = FakeRun(name=name, state=state)
    made.record.group("loss", {"loss": Var((), "loss", "training loss")})
    norms = {"total": Var((), "1", "gradient norm"), "norm": Var(("param",), "1", "by parameter")}
    made.record.group("grad_norm", norms)
    grow(made, steps, scale)
    return made


def grow(run: FakeRun, steps: int, scale: float = 1.0) -> None:
    """More steps, told to those who listen."""
    now = np.arange(run.step, run.step + steps)
    values = scale * np.exp(-now / 100)
    run.record.groups["loss"].append(now, {"loss": values})
    run.record.groups["grad_norm"].append(now, {"total": values, "norm": values[:, None]}, {"param": ["w"]})
    run.step += steps
    for listener in tuple(run.listeners):
        listener(run)


def shown(*runs: Any, **settings: Any) -> Board:
    """The Board of several runs."""
    board = show(*runs, **settings)
    assert isinstance(board, Board)
    return board


def panels_of(board: Board) -> dict[str, dict]:
    return {panel["id"]: panel for panel in json.loads(board.panels)["panels"]}


def test_each_label_is_a_line_with_rows_of_its_own():
    board = shown(trained(5, "slow"), trained(3, "fast", scale=2.0))
    lines = panels_of(board)["loss/loss"]["lines"]
    assert [(line["label"], line["key"], line["column"]) for line in lines] == [
        ("slow", "loss#0/loss", 0), ("fast", "loss#1/loss", 0),
    ]  # fmt: skip
    assert len({line["color"] for line in lines}) == 2
    head, buffers = messages.reset(board.run.record, {}, 1, {})
    steps, values = received((head, buffers))["loss#1/loss"]
    assert steps.tolist() == [0, 1, 2]
    assert np.allclose(values.ravel(), 2 * np.exp(-steps / 100))
    assert panels_of(board)["loss/loss"]["kind"] == "curves"
    assert board.run.status().step == 5


def test_runs_are_found_in_lists_and_dicts_and_on_boards():
    a, b, c = (trained(4, name) for name in "abc")
    labels = lambda run: list(run.record.sources)  # noqa: E731
    assert labels(overlaid([a, b])) == ["a", "b"]
    assert labels(overlaid([[a, b, c]])) == ["a", "b", "c"]
    assert labels(overlaid([[a, b], [c]])) == ["a, b (n=2)", "c"]
    assert labels(overlaid([{"sgd": [a, b], 3: c}])) == ["sgd (n=2)", "3"]
    assert labels(overlaid([a, b], labels=["x", "y"])) == ["x", "y"]
    assert labels(overlaid([a, Board(b)])) == ["a", "b"]
    assert labels(overlaid([a, a, trained(2, "a")])) == ["a", "a (2)", "a (3)"]
    assert labels(overlaid([a, trained(2, "a (2)"), a])) == ["a", "a (2)", "a (3)"]
    assert labels(overlaid([trained(2, "")])) == ["run"]


@pytest.mark.parametrize("wrong", [[], {}, [3], [[]], {"a": 3}, {"a": []}, "run", None])
def test_what_is_no_run_is_refused(wrong):
    with pytest.raises(TypeError, match=r"show\(\) got a .*; it needs a run, or a Bokeh figure. Several runs come as"):
        show(wrong)
    with pytest.raises(TypeError, match=r"show\(\) got nothing"):
        show()


def test_an_overlay_is_not_overlaid_again():
    board = shown(trained(2), trained(2))
    with pytest.raises(TypeError, match="among these is a OverlaidRuns"):
        show(board, trained(2))


def test_as_many_labels_as_runs():
    with pytest.raises(LandscapeError, match="got 1 as labels for 2 runs; give a list with one for each"):
        show(trained(2), trained(2), labels=["a"])
    with pytest.raises(LandscapeError, match="got one text as labels"):
        show(trained(2), trained(2), labels="ab")


def test_names_ask_for_layers_and_open_their_panels():
    runs = trained(4, "a"), trained(4, "b")
    assert "grad_norm/norm" in panels_of(shown(*runs))  # of a single parameter: no layers yet
    for run in runs:
        columns = run.record.groups["grad_norm"]
        columns.append([9], {"total": np.ones(1), "norm": np.ones((1, 2))}, {"param": ["w", "b"]})
    assert "grad_norm/norm" not in panels_of(shown(*runs))
    asked = panels_of(shown(*runs, names=["grad_norm"]))
    assert [key for key, panel in asked.items() if panel["shown"]] == [
        "grad_norm/total", "grad_norm/norm@w", "grad_norm/norm@b",
    ]  # fmt: skip


def test_fields_are_left_out_and_that_is_said():
    run = trained(3)
    run.record.group("spectrum", {"density": Var(("node",), "1", "density")})
    board = shown(run, trained(3))
    assert board.run.status().notes == ["shown for one run at a time, by show(run): spectrum"]


def test_of_live_runs_only_what_is_new_is_sent():
    one = trained(3, "a", "watching")
    record, sent = overlaid([one, trained(2, "b")]).record, {}
    messages.reset(record, sent, 1, {})
    grow(one, 4)
    message = messages.append(record, sent, 2, {})
    assert {series["key"] for series in message[0]["series"]} == {
        "loss#0/loss", "grad_norm#0/total", "grad_norm#0/norm",
    }  # fmt: skip
    assert received(message)["loss#0/loss"][0].tolist() == [3, 4, 5, 6]


def test_the_mean_of_live_runs_is_sent_anew(monkeypatch):
    one, two = trained(3, "a", "watching"), trained(6, "b")
    board = shown({"both": [one, two]})
    sent = []
    monkeypatch.setattr(board, "send", lambda head, buffers=None: sent.append((head, buffers)))
    monkeypatch.setattr(board.run, "_next", 0.0)
    grow(one, 2)
    resets = [message for message in sent if message[0]["op"] == "reset"]
    assert received(resets[-1])["loss#0/loss"][0].tolist() == [0, 1, 2, 3, 4]
    count = len(sent)
    grow(one, 1)  # too soon after
    assert len(sent) == count
    one.end()
    resets = [message for message in sent if message[0]["op"] == "reset"]
    assert received(resets[-1])["loss#0/loss"][0].tolist() == [0, 1, 2, 3, 4, 5]
    assert board.snapshot
    assert board.run.state == "finished"


def test_the_board_ends_with_the_last_run():
    one, two = trained(3, "a", "watching"), trained(2, "b", "watching")
    board = shown(one, two)
    one.end()
    assert not board.snapshot
    assert board.run.status().state == "watching"
    two.end()
    assert board.snapshot
    assert one.listeners == two.listeners == []


def test_an_overlay_nobody_holds_is_not_kept_by_its_runs():
    run = trained(3, "a", "watching")
    gone = weakref.ref(OverlaidRuns({"a": [run]}))
    grow(run, 1)
    assert gone() is None
    assert run.listeners == []


def test_a_listener_that_fails_is_dropped_and_the_training_goes_on():
    run = trained(3, "a", "watching")
    both = OverlaidRuns({"a": [run]})

    def fails(_):
        raise RuntimeError("no")

    both.listeners.append(fails)
    grow(run, 1)
    assert both.listeners == []
    assert both.status().notes == ["a listener was dropped: RuntimeError: no"]


def test_what_the_browser_says_is_heard_from_any_run():
    run = trained(3, "a", "watching")
    both = OverlaidRuns({"a": [run], "b": [trained(1)]})
    heard = []
    both.ears.append(lambda: heard.append(1))
    for ear in tuple(run.ears):
        ear()
    assert heard == [1]
    del both
    for ear in tuple(run.ears):
        ear()
    assert run.ears == []


def test_the_description_changes_only_with_what_is_there():
    run = trained(3, "a", "watching")
    both = OverlaidRuns({"a": [run], "b": [trained(1)]})
    before = shape(both.record), describe(both.record)
    grow(run, 5)
    assert (shape(both.record), describe(both.record)) == before
    run.record.group("new", {"x": Var((), "1", "x")}).append([3], {"x": np.ones(1)})
    both.hear(run)
    both._next = 0.0
    both.hear(run)
    assert shape(both.record) != before[0]


def test_pages_and_stills_show_an_overlay(tmp_path):
    runs = {"sgd": [trained(300, scale=scale) for scale in (1, 2, 4)], "adam": trained(200)}
    board = shown(runs)
    (payload,) = payloads(export_html(board.run, tmp_path / "page.html").read_text())
    assert payload["status"]["name"] == "sgd (n=3), adam"
    lines = payload["panels"]["panels"][0]["lines"]
    assert [(line["label"], line["error"]["key"]) for line in lines] == [
        ("sgd (n=3)", "loss#0/loss_interval"), ("adam", "loss#1/loss_interval"),
    ]  # fmt: skip
    steps, values = values_of(payload, "loss#0/loss")
    assert np.allclose(values[:, 0], 7 / 3 * np.exp(-steps / 100), rtol=1e-7)
    png = picture(board.run)
    assert png is not None
    assert png.startswith(b"\x89PNG")


def test_part_of_an_overlay_on_a_page(tmp_path):
    board = shown(trained(3, "a"), trained(4, "b"))
    (payload,) = payloads(export_html(board.run, tmp_path / "page.html", panels=["loss"]).read_text())
    assert [series["key"] for series in payload["series"]] == ["loss#0/loss", "loss#1/loss"]


def test_what_was_done_to_a_run_is_told_under_its_label(tmp_path):
    one, two = trained(3, "a"), trained(4, "b")
    done = {"step": 2, "what": "lr", "text": "learning rate: 0.1 -> 0.2", "old": 0.1, "new": 0.2}
    one.record.attrs["commands"], two.record.attrs["commands"] = [done], [{**done, "step": 1}]
    both = overlaid([one, two])
    assert [(told["step"], told["text"]) for told in both.commands] == [
        (1, "b: learning rate: 0.1 -> 0.2"), (2, "a: learning rate: 0.1 -> 0.2"),
    ]  # fmt: skip
    (payload,) = payloads(export_html(both, tmp_path / "page.html").read_text())
    assert [told["text"] for told in payload["commands"]] == [told["text"] for told in both.commands]


def test_no_rule_speaks_of_several_runs_together():
    assert analysis.diagnose(shown(trained(3, "a"), trained(4, "b")).run.record) == []


def test_data_and_name_of_an_overlay():
    both = overlaid([trained(2, "a" * 60), trained(3, "b" * 60)])
    assert len(both.name) == 80
    assert both.data["loss"]["loss"].dims == ("step", "run")
    assert repr(both).startswith("<2 runs: aaa")


def test_labels_in_different_directions_do_not_run_into_each_other():
    name = overlaid([trained(2, "אבג"), trained(2, "3"), trained(2, "b\u202e\u2069")]).name
    assert name == "\u2068אבג\u2069, \u20683\u2069, \u2068b\u2069"
    long = overlaid([trained(2, "א" * 60), trained(2, "ב" * 60), trained(2, "c")]).name
    assert long == f"\u2068{'א' * 60}\u2069, \u2068{'ב' * 17}…\u2069"
    assert overlaid([trained(2, "a"), trained(2, "é 😀")]).name == "a, é 😀"


def test_a_legend_has_room_in_its_picture_and_colours_of_many_runs_differ_in_dashes(tmp_path):
    many = overlaid([trained(4, f"seed {i}") for i in range(30)])
    text = export_image(many, "loss", tmp_path / "many.svg").read_text()
    assert [f"<!-- seed {i} -->" in text for i in range(30)] == [i < 8 for i in range(30)]
    assert "<!-- and 22 more -->" in text
    assert len(set(re.findall(r"stroke-dasharray: ([\d., ]+)", text))) >= 3
    few = export_image(overlaid([trained(4, str(i)) for i in range(8)]), "loss", tmp_path / "few.svg").read_text()
    assert "stroke-dasharray" not in few
    assert "more -->" not in few


def test_watched_in_one_picture_the_weights_are_those_of_unwatched_trainings():
    def train(*, watched: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        nets = [torch.nn.Linear(4, 1) for _ in range(2)]
        optimizers = [torch.optim.SGD(net.parameters(), lr=0.1 / (i + 1)) for i, net in enumerate(nets)]
        runs = [nbtoolkit.watch(net, opt) for net, opt in zip(nets, optimizers, strict=True)] if watched else []
        board = shown(*runs) if watched else None
        for _ in range(50):
            for net, optimizer in zip(nets, optimizers, strict=True):
                optimizer.zero_grad()
                net(torch.randn(8, 4)).square().mean().backward()
                optimizer.step()
        for run in runs:
            run.detach()
        assert board is None or (board.snapshot and board.run.data["loss"]["loss"].shape == (50, 2))
        return [p.detach().clone() for net in nets for p in net.parameters()]

    for one, other in zip(train(watched=False), train(watched=True), strict=True):
        assert torch.equal(one, other)
