"""A ``%%landscape --forkable`` cell forked while it runs: it is run again within itself, and goes on as if not."""

from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import nbtoolkit
from nbtoolkit.capture.forking import Fork, progress
from nbtoolkit.capture.orders import Hold, Release
from nbtoolkit.errors import WatchError
from tests.capture.outside import elsewhere
from tests.magics.test_replay import CELL, state

# Batches of a DataLoader, in a function whose variables nobody else knows.
LOADED = """
from torch.utils.data import DataLoader, TensorDataset
data = TensorDataset(torch.randn(24, 3))
def train():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, 1))
    adam = torch.optim.Adam(net.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.StepLR(adam, 1, gamma=0.9)
    for epoch in range(4):
        for batch, in DataLoader(data, batch_size=5, shuffle=True):
            adam.zero_grad()
            loss = net(batch).square().mean()
            loss.backward()
            adam.step()
            schedule.step()
            seen.append(loss.item())
    return [tensor.tolist() for tensor in net.state_dict().values()]
weights = train()
"""

DRAWN = (
    "adam needs a cell that can be run again while it runs: drawn was made before it and cannot be wound back; make it "
    "within the cell."
)

Told = list[tuple[bool, str]]


def trained(
    shell: InteractiveShell, cell: str, at: dict[int, Any], outside: Any, forkable: str = "--forkable"
) -> tuple[nbtoolkit.Run, Told]:
    """Run a cell; after these steps its run is asked for something."""
    shell.run_cell("seen, run = [], None\n_ = torch.manual_seed(5)\nrandom = __import__('random')\nrandom.seed(5)")
    told: Told = []
    left = dict(at)

    def act() -> None:
        run = shell.user_ns["run"]
        if run is not None and run.twin is None and run.step in left:
            for order in left.pop(run.step):
                try:
                    elsewhere(lambda order=order: run.control.give(order, lambda *what: told.append(what)))
                except WatchError as error:
                    told.append((False, str(error)))

    outside(act)
    shell.run_cell(f"%%landscape -q -v run {forkable}{cell}").raise_error()
    return shell.user_ns["run"], told


def test_the_cell_goes_on_as_if_it_had_not_been_run_again(shell: InteractiveShell, outside: Any) -> None:
    def values() -> dict[str, Any]:
        return {key: value for key, value in state(shell).items() if not isinstance(value, int)}

    plain, _ = trained(shell, CELL, {}, outside)
    expected = values()
    run, told = trained(shell, CELL, {4: [Fork(steps=5)], 11: [Fork(steps=50, lr=0.5)]}, outside)
    assert values() == expected
    assert told == [
        (True, "forked at step 5: adam fork@5, 5 steps"),
        (True, "forked at step 12: adam fork@12 lr=0.5, ended after 8 of 50 steps"),
    ]
    for name in ("loss", "grad_norm", "lr", "mine"):
        assert run[name].equals(plain[name]), name
    twin, other = run.forks
    for name, first in (("loss", 5), ("grad_norm", 5), ("lr", 5), ("mine", 6)):  # which is logged after its step
        assert twin[name].equals(run[name].sel(step=slice(first, first + 4))), name
    assert other["lr"]["lr"].values[:, 0] == pytest.approx([0.5 * 0.9**k for k in range(8)])
    assert run["twin_divergence"]["distance"].sel(fork=twin.name).max() == 0
    assert [run.notes, twin.notes, other.notes] == [[], [], []]
    assert (run.state, run.twin) == ("finished", None)


def test_a_loop_over_a_loader_in_a_function(shell: InteractiveShell, outside: Any) -> None:
    trained(shell, LOADED, {}, outside)
    expected = shell.user_ns["seen"], shell.user_ns["weights"]
    run, told = trained(shell, LOADED, {7: [Fork(steps=9)]}, outside)
    assert [done for done, _ in told] == [True]
    assert (shell.user_ns["seen"], shell.user_ns["weights"]) == expected
    assert run.forks[0]["loss"].equals(run["loss"].sel(step=slice(8, 16)))


def test_what_was_set_and_paused_before_is_so_in_the_fork(shell: InteractiveShell, outside: Any) -> None:
    seen: list[tuple[str, str]] = []

    def ear() -> None:
        run = shell.user_ns["run"]
        seen.append((run.status().state, progress(run)))
        if run.status().state == "paused" and run.forks:
            run.control.give(Release(), lambda *_: None)

    def hear() -> None:
        run = shell.user_ns["run"]
        if run is not None and run.step == 1:
            run.ears[:] = [ear]

    outside(hear)
    rate = nbtoolkit.capture.rates.SetRate(0.3)
    run, told = trained(shell, CELL, {6: [rate], 9: [Hold(), Fork(steps=4)]}, outside)
    assert [done for done, _ in told] == [True, True, True]
    assert run.forks[0]["lr"].equals(run["lr"].sel(step=slice(10, 13)))
    assert run.forks[0]["loss"].equals(run["loss"].sel(step=slice(10, 13)))
    assert seen[-1][1] == ""
    assert "paused" in [state for state, _ in seen]
    assert [one["what"] for one in run.commands] == ["lr", "pause", "fork", "resume"]


def test_what_cannot_be_run_again_is_refused(shell: InteractiveShell, outside: Any) -> None:
    shell.run_cell("drawn = (k for k in range(30))").raise_error()
    run, told = trained(shell, CELL.replace("in range(20)", "in drawn"), {4: [Fork()]}, outside)
    assert told == [(False, DRAWN)]
    assert (run.step, run.forks) == (30, [])

    hook = "    adam.register_step_post_hook(lambda *_: None)"
    hooked = CELL.replace("    schedule.step()", f"    schedule.step()\n{hook}")
    run, told = trained(shell, hooked, {4: [Fork()]}, outside)
    assert told[0][0] is False
    assert "another step hook after nbtoolkit's" in told[0][1]
    assert (run.step, run.forks) == (20, [])

    clock = CELL.replace("+ random.random()", "+ __import__('time').perf_counter()")
    run, told = trained(shell, clock, {4: [Fork()]}, outside)
    assert told[0][0] is False
    assert "the cell is not reproducible: loss is another at step 0" in told[0][1]
    assert (run.step, run.forks) == (20, [])


def test_an_interrupt_while_the_cell_is_run_again(shell: InteractiveShell, outside: Any) -> None:
    def interrupt() -> None:
        run = shell.user_ns["run"]
        if run is not None and run.twin is not None and run.twin.step == 3:
            raise KeyboardInterrupt

    outside(interrupt)
    with pytest.raises(KeyboardInterrupt):
        trained(shell, CELL, {8: [Fork()]}, outside)
    run = shell.user_ns["run"]
    assert (run.state, run.step, run.forks) == ("interrupted", 9, [])
    assert len(shell.user_ns["seen"]) == 8  # within the ninth step
    assert (shell.user_ns["k"], run.twin) == (8, None)


def test_a_plain_cell_says_what_to_write(shell: InteractiveShell, outside: Any) -> None:
    _, told = trained(shell, CELL, {2: [Fork()]}, outside, forkable="")
    assert "begin the cell with %%landscape --forkable" in told[0][1]


def test_a_loop_in_the_background_is_asked_by_the_verb(shell: InteractiveShell) -> None:
    shell.run_cell("""
%landscape watch model optimizer -q -v run
import threading
made, over, begun = run.forkable(step), threading.Event(), threading.Event()
def loop():
    while not over.is_set():
        made()
        begun.set()
thread = threading.Thread(target=loop)
thread.start()
begun.wait()
""").raise_error()
    try:
        result = shell.run_cell("%landscape fork steps=3 lr=0.5 -q -o")
    finally:
        shell.run_cell("over.set()\nthread.join()").raise_error()
    result.raise_error()
    run: nbtoolkit.Run = shell.user_ns["run"]
    twin: Any = result.result
    assert run.forks == [twin]
    assert (twin.data.attrs["changes"], twin["loss"].sizes["step"]) == ({"lr": 0.5}, 3)
    assert twin.name in run.commands[0]["text"]
