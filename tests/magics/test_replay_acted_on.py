"""``%landscape fork at=STEP`` of a cell that was acted on or acts on itself: stopped, paused, another rate."""

from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from torch.optim.optimizer import register_optimizer_step_post_hook

from tests.capture.outside import elsewhere
from tests.magics.test_replay import CELL, state, value


def test_what_was_set_from_outside_after_the_step_of_the_fork_is_set_in_the_twin(shell: InteractiveShell) -> None:
    def outside(optimizer: Any, *_: Any) -> None:
        run = shell.user_ns["run"]
        if run is not None and run.step in (3, 8, 12) and run.twin is None:
            elsewhere(lambda: run.set_lr(0.3 / run.step))

    hook = register_optimizer_step_post_hook(outside)
    try:
        shell.run_cell("seen, run = [], None").raise_error()
        shell.run_cell("%%landscape -q -v run --forkable" + CELL).raise_error()
    finally:
        hook.remove()
    parent, before = shell.user_ns["run"], state(shell)
    twin = value(shell, "%landscape fork at=6 -q -o")
    assert (twin.step, twin.notes) == (20, [])
    for name in ("loss", "lr", "grad_norm"):
        assert twin[name].equals(parent[name].sel(step=slice(6, None))), name
    assert twin.commands == [one for one in parent.commands if one["step"] > 6]
    other = value(shell, "%landscape fork at=6 lr=0.5 -q -o")
    assert other["lr"]["lr"].values[:, 0] == pytest.approx([0.5 * 0.9**k for k in range(14)])
    assert other.commands == []
    assert other.notes == [
        "learning rates that were set from outside in adam at step 9, 13 are not set here: lr= was given"
    ]
    assert state(shell) == before


@pytest.mark.parametrize("line", ["run.stop()", "run.pause()", "run.advance(2)"])
def test_a_cell_that_stops_or_pauses_itself(shell: InteractiveShell, line: str) -> None:
    seen = []

    def ear() -> None:
        seen.append(shell.user_ns["run"].status().state)
        if seen[-1] == "paused":
            shell.user_ns["run"].resume()

    shell.user_ns["ear"] = ear
    loop = "\nfor k in range(30):\n    step()\n    if k == 0: run.ears.append(ear)\n"
    shell.run_cell(f"%%landscape model optimizer -q -v run --forkable{loop}    if k == 15: {line}").raise_error()
    parent, weight = shell.user_ns["run"], shell.user_ns["model"].weight.tolist()
    end = "stopped" if "stop" in line else "finished"
    assert (parent.state, parent.step) == (end, 17 if "stop" in line else 30)
    assert ("paused" in seen) == ("stop" not in line)
    seen.clear()
    twin = value(shell, "%landscape fork at=5 -q -o")
    assert (twin.state, twin.step) == (parent.state, parent.step)
    assert twin["loss"].equals(parent["loss"].sel(step=slice(5, None)))
    assert "paused" not in seen
    assert shell.user_ns["model"].weight.tolist() == weight


def test_a_twin_that_is_stopped_or_paused_from_outside(shell: InteractiveShell) -> None:
    acts: list[str] = []

    def outside(optimizer: Any, *_: Any) -> None:
        twin = shell.user_ns["run"].twin
        if twin is not None and twin.step in (7, 9) and shell.user_ns["run"].forks:
            acts.append(str(twin.step))
            elsewhere(twin.pause if twin.step == 7 else twin.stop)
            twin.ears[:] = [lambda: elsewhere(twin.resume) if twin.status().state == "paused" else None]

    loop = "\nfor k in range(30): step()"
    shell.run_cell(f"%%landscape model optimizer -q -v run --forkable{loop}").raise_error()
    hook = register_optimizer_step_post_hook(outside)
    try:
        result = shell.run_cell("%landscape fork at=5 -q -o")
        result.raise_error()
    finally:
        hook.remove()
    twin: Any = result.result
    assert (twin.state, twin.step, acts) == ("stopped", 10, ["7", "9"])
    assert [one["what"] for one in twin.commands] == ["pause", "resume", "stop"]
    assert shell.user_ns["run"].twin is None
