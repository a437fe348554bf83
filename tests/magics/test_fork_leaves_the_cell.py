"""A fork of a cell that runs leaves its training, its tasks and what it shows alone, however the fork ends."""

from typing import Any

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

import nbtoolkit
from nbtoolkit.capture.forking import Fork
from nbtoolkit.capture.replay import _Replay
from tests.magics.test_fork_while_running import Told, trained
from tests.magics.test_replay import CELL, state

SWEEP = """
for rate in (0.1, 0.2, 0.3):
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    for k in range(6):
        step()
        seen.append(model.weight.tolist())
"""
TASKS = """
for t in ("a", "b"):
    %landscape task {t}
    for k in range(4):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), held[t][1]).backward()
        optimizer.step()
"""
DRAWN = """
drawn = iter(loader)
for k in range(5):
    batch, = next(drawn)
    optimizer.zero_grad()
    model(batch).pow(2).mean().backward()
    optimizer.step()
    seen.append(model.weight.tolist())
"""
LOUD = """
for k in range(5):
    step()
    print("printed", k)
    print("complained", k, file=sys.stderr)
    log.warning("logged %d", k)
    display(k)
    clear_output()
"""


def both(
    shell: InteractiveShell, cell: str, at: dict[int, Any], outside: Any, forkable: str = "--forkable"
) -> tuple[Any, Any, Told]:
    """The runs of a cell that is not forked, and of one that is, which has to leave the same behind."""
    kept = shell.user_ns["model"].state_dict()
    kept = {key: tensor.clone() for key, tensor in kept.items()}

    def left() -> Any:
        return shell.user_ns["seen"], shell.user_ns["model"].weight.tolist(), torch.get_rng_state().tolist()

    plain, _ = trained(shell, cell, {}, outside, forkable)
    expected = left()
    shell.user_ns["model"].load_state_dict(kept)
    run, told = trained(shell, cell, at, outside, forkable)
    assert left() == expected
    return plain, run, told


def test_a_fork_that_ends_with_its_optimizer_leaves_the_next_ones_alone(shell: InteractiveShell, outside: Any) -> None:
    plain, runs, told = both(shell, SWEEP, {3: [Fork(steps=2)]}, outside)  # after the fourth
    assert told == [(True, "forked at step 4: optimizer fork@4, 2 steps")]
    assert [run.step for run in runs] == [6, 6, 6]
    for run, other in zip(runs, plain, strict=True):
        assert run["loss"].equals(other["loss"])
    twin = runs[0].forks[0]
    assert twin["loss"].equals(runs[0]["loss"].sel(step=slice(4, 5)))
    assert [len(run.forks) for run in runs] == [1, 0, 0]


def test_an_interrupt_while_the_fork_ends_still_puts_all_back(
    shell: InteractiveShell, outside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, left = _Replay.close, []

    def interrupted(again: _Replay) -> None:
        close(again)
        raise KeyboardInterrupt

    def interrupt() -> None:
        if not left and shell.user_ns["run"] is not None and shell.user_ns["run"].step == 9:
            raise KeyboardInterrupt

    outside(interrupt)
    for at in ({}, {8: [Fork()]}):
        with monkeypatch.context() as patch:
            patch.setattr(_Replay, "close", interrupted)
            with pytest.raises(KeyboardInterrupt):
                trained(shell, CELL, at, outside)
        left.append({key: state(shell)[key] for key in ("seen", "lr", "random", "weights")})
    assert left[0] == left[1]
    run: nbtoolkit.Run = shell.user_ns["run"]
    assert (run.state, run.step, run.twin) == ("interrupted", 9, None)
    assert [fork.state for fork in run.forks] == ["finished"]


def test_the_tasks_of_a_fork_are_its_own(shell: InteractiveShell, outside: Any) -> None:
    shell.run_cell("""
model = nn.Linear(3, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
held = {"a": (x, torch.zeros(16, dtype=torch.long)), "b": (x, torch.ones(16, dtype=torch.long))}
""").raise_error()
    plain, run, told = both(shell, TASKS, {1: [Fork(steps=4)]}, outside, "--forkable --tasks held")
    assert told == [(True, "forked at step 2: optimizer fork@2, 4 steps")]
    for name in ("task", "accuracy_matrix", "stability_gap"):
        assert run[name].equals(plain[name]), name
    (twin,) = run.forks
    assert twin["task"]["task_trained"].values.tolist() == ["a", "b"]
    assert twin["task"]["step"].values.tolist() == [2, 4, 4, 6]
    assert [run.notes, twin.notes] == [[], []]


def test_a_cell_run_twice_makes_its_iterators_itself(shell: InteractiveShell, outside: Any) -> None:
    shell.run_cell("""
from torch.utils.data import DataLoader, TensorDataset
loader = DataLoader(TensorDataset(x), batch_size=3, shuffle=True)
""").raise_error()
    trained(shell, DRAWN, {}, outside)
    _, run, told = both(shell, DRAWN, {1: [Fork(steps=2)]}, outside)
    assert told == [(True, "forked at step 2: optimizer fork@2, 2 steps")]
    assert run.forks[0]["loss"].equals(run["loss"].sel(step=slice(2, 3)))

    kept = DRAWN.replace("drawn =", "if fresh: drawn =").replace("range(5)", "range(4)")
    shell.user_ns["fresh"] = False
    prepare = "drawn = iter(loader)\n"
    plain = both_drawn(shell, prepare, kept, {}, outside)
    asked = both_drawn(shell, prepare, kept, {1: [Fork(steps=2)]}, outside)
    assert asked[0] == plain[0]
    assert "drawn was made before it and cannot be wound back" in asked[1][0][1]


def both_drawn(
    shell: InteractiveShell, prepare: str, cell: str, at: dict[int, Any], outside: Any
) -> tuple[list[float], Told]:
    """The batch that such a cell has drawn last."""
    shell.run_cell("_ = torch.manual_seed(1)\n" + prepare).raise_error()
    _, told = trained(shell, cell, at, outside)
    return shell.user_ns["batch"].tolist(), told


def test_what_has_been_shown_is_not_shown_again(
    shell: InteractiveShell, outside: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(shell.display_pub, "publish", lambda data, *_, **__: shown.append(data["text/plain"]))
    monkeypatch.setattr(shell.display_pub, "clear_output", lambda *_, **__: shown.append("cleared"))
    shell.run_cell("""
import logging, sys
from IPython.display import clear_output, display
log = logging.getLogger("of the cell")
log.propagate = False
handler = logging.StreamHandler()
log.addHandler(handler)
""").raise_error()
    capsys.readouterr()
    stream = shell.user_ns["handler"].stream
    show = Fork(steps=2, started=lambda _: shell.user_ns["display"]("Board"))
    run, told = trained(shell, LOUD, {3: [show]}, outside)
    assert [done for done, _ in told] == [True]
    assert run.forks[0].notes == []
    printed, complained = capsys.readouterr()
    for word, text in (("printed", printed), ("complained", complained), ("logged", complained)):
        assert text.count(word) == 5, word
    own = [["'Board'"] if k == 3 else [] for k in range(5)]
    assert shown == [each for k in range(5) for each in (*own[k], str(k), "cleared")]
    assert shell.user_ns["handler"].stream is stream


def test_words_for_what_is_not_forked(shell: InteractiveShell, outside: Any) -> None:
    cell = "\nfor k in range(4): step()\n"
    _, told = trained(shell, cell, {3: [Fork()]}, outside)
    assert told == [(False, "the cell makes no more steps after step 4, and so leaves none to a fork.")]
    within = shell.run_cell("%%landscape -q -v run --forkable\nfor k in range(4): step()\n%landscape fork at=2 -q")
    assert type(within.error_in_exec).__name__ == "UsageError"
    assert "the cell of optimizer is still running" in str(within.error_in_exec)
