"""``%landscape fork at=STEP``: the cell is run again up to a step, and then does something else."""

import random
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from torch.optim.optimizer import register_optimizer_step_post_hook

from tests.capture.outside import elsewhere

CELL = """
import random
net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, 1))
adam = torch.optim.Adam(net.parameters(), lr=0.02)
schedule = torch.optim.lr_scheduler.StepLR(adam, 1, gamma=0.9)
before = len(seen)
for k in range(20):
    batch = torch.randn(8, 3) + random.random()
    adam.zero_grad()
    loss = net(batch).square().mean()
    loss.backward()
    adam.step()
    schedule.step()
    seen.append(loss.item())
    print('step', k)
    if run is not None: run.log(mine=k)
"""


def value(shell: InteractiveShell, cell: str) -> Any:
    return shell.run_cell(cell).result


def state(shell: InteractiveShell) -> dict[str, Any]:
    names = shell.user_ns
    held = {key: id(names[key]) for key in ("net", "adam", "schedule", "seen", "k", "loss", "batch")}
    rest = {
        "lr": (names["adam"].param_groups[0]["lr"], names["schedule"].last_epoch),
        "seen": list(names["seen"]),
        "random": (names["torch"].get_rng_state().tolist(), random.getstate()),
        "names": sorted(name for name in names if name[0] != "_"),
        "weights": [tensor.tolist() for tensor in names["net"].state_dict().values()],
    }
    return {**held, **rest}


@pytest.fixture
def forkable(shell: InteractiveShell) -> InteractiveShell:
    shell.run_cell("seen, run = [], None\n_ = torch.rand(3)").raise_error()
    shell.run_cell("%%landscape -q -v run --forkable" + CELL).raise_error()
    return shell


def test_without_a_change_the_cell_does_what_it_did(
    forkable: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    before, parent = state(forkable), forkable.user_ns["run"]
    mine = parent["mine"]["mine"].values.tolist()
    capsys.readouterr()
    twin = value(forkable, "%landscape fork at=6 steps=5 every=1 -q -o")
    assert "step 0" not in capsys.readouterr().out
    assert (twin.name, twin.step, twin.state) == ("adam fork@6", 11, "finished")
    for name in ("loss", "grad_norm", "lr"):
        for key, values in twin[name].data_vars.items():
            assert values.values.tobytes() == parent[name][key].sel(step=twin[name]["step"]).values.tobytes(), key
    assert twin["loss"]["step"].values.tolist() == [6, 7, 8, 9, 10]
    assert twin["mine"]["mine"].values.tolist() == [6, 7, 8, 9, 10]
    assert state(forkable) == before
    assert parent["mine"]["mine"].values.tolist() == mine
    assert parent.twin is None
    assert twin.copies.steps == [6, 7, 8, 9, 10, 11]


def test_changes_are_made_at_that_step_and_undone(forkable: InteractiveShell) -> None:
    before, parent = state(forkable), forkable.user_ns["run"]
    twin = value(forkable, "%landscape fork at=4 steps=3 lr=0.5 perturb=1e-2 seed=3 -q -o -v twin")
    assert twin["lr"]["lr"].values[:, 0].tolist() == pytest.approx([0.5, 0.45, 0.405])
    assert twin["loss"]["loss"].values[0] != parent["loss"]["loss"].sel(step=4).item()
    assert forkable.user_ns.pop("twin") is twin
    assert state(forkable) == before
    again = value(forkable, "%landscape fork at=4 steps=3 lr=0.5 perturb=1e-2 seed=3 -q -o")
    assert again["loss"].equals(twin["loss"])
    longer = value(forkable, "%landscape fork at=18 steps=9 -q -o")
    assert (longer.step, longer.state) == (20, "finished")


def test_a_cell_that_trains_a_model_made_before_it(shell: InteractiveShell) -> None:
    shell.run_cell("%%landscape model optimizer -q -v run --forkable\nfor _ in range(9): step()").raise_error()
    weight, rate = shell.user_ns["model"].weight, shell.user_ns["optimizer"].param_groups[0]["lr"]
    shell.run_cell("model.weight.data.add_(1)").raise_error()  # since the cell
    now = weight.tolist()
    twin = value(shell, "%landscape fork at=2 steps=4 lr=0.3 -q -o")
    assert (twin.step, twin["lr"]["lr"].values[0].tolist()) == (6, [0.3])
    assert (shell.user_ns["model"].weight is weight, weight.tolist()) == (True, now)
    assert shell.user_ns["optimizer"].param_groups[0]["lr"] == rate
    assert not shell.user_ns["optimizer"]._optimizer_step_pre_hooks
    assert shell.user_ns["run"].step == 9
    assert shell.user_ns["run"]["loss"].sizes["step"] == 9


def test_a_loop_within_a_function_and_its_own_schedule(shell: InteractiveShell) -> None:
    cell = """
def train():
    net = nn.Linear(3, 1)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(sgd, lambda done: 0.5 ** done)
    for _ in range(6):
        sgd.zero_grad()
        net(x).square().mean().backward()
        sgd.step()
        schedule.step()
    return net
trained = train()
"""
    shell.run_cell("%%landscape -q --forkable" + cell).raise_error()
    trained = shell.user_ns["trained"]
    twin = value(shell, "%landscape fork at=2 steps=3 lr=0.8 -q -o")
    assert twin["lr"]["lr"].values[:, 0].tolist() == pytest.approx([0.8, 0.4, 0.2])
    assert shell.user_ns["trained"] is trained


def test_a_failing_replay_puts_everything_back(forkable: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state(forkable)
    monkeypatch.setattr("nbtoolkit.capture.changes.Changes.make", lambda *_: 1 / 0)
    result = forkable.run_cell("%landscape fork at=3 -q")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert state(forkable) == before
    assert forkable.user_ns["run"].twin is None


def test_a_cell_with_two_optimizers_beside_one_that_was_watched_then(shell: InteractiveShell) -> None:
    shell.run_cell("%landscape watch model optimizer -q -v earlier").raise_error()
    cell = """
one, two = nn.Linear(3, 1), nn.Linear(3, 1)
first, second = torch.optim.SGD(one.parameters(), lr=0.1), torch.optim.Adam(two.parameters(), lr=0.1)
for _ in range(5):
    step()
    for net, each in ((one, first), (two, second)):
        each.zero_grad()
        net(x).square().mean().backward()
        each.step()
"""
    runs = value(shell, "%%landscape -q -o --forkable" + cell)
    earlier = shell.user_ns["earlier"]
    earlier.detach()
    twin = value(shell, "%landscape fork at=2 steps=2 -q -o")
    assert (twin.name, twin.step, twin.data.attrs["optimizer"]) == ("second fork@2", 4, "Adam")
    assert [(run.step, run.twin, run["loss"].sizes["step"]) for run in runs] == [(5, None, 5)] * 2
    assert (earlier.step, earlier["loss"].sizes["step"]) == (5, 5)
    assert not shell.user_ns["optimizer"]._optimizer_step_pre_hooks


def test_a_named_optimizer_is_the_one_that_is_followed(shell: InteractiveShell) -> None:
    cell = "\nspare = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)\nfor _ in range(5): spare.step(); step()"
    shell.run_cell("%%landscape model optimizer -q --forkable" + cell).raise_error()
    twin = value(shell, "%landscape fork at=2 steps=2 -q -o")
    assert (twin.step, twin.data.attrs["parameters"]) == (4, 4)


@pytest.mark.parametrize(
    ("before", "line", "said"),
    [
        ("", "at=0", "at=0: expected a step from 1 to 19, before the last of adam."),
        ("", "at=20", "at=20: expected a step from 1 to 19"),
        ("a = torch.randn(60, 60)", "at=a", "at=tensor([["),
        ("a = torch.randn(60, 60)", "at=3 lr=a", "lr=tensor([["),
        ("a = torch.randn(60, 60)", "at=3 steps=a", "steps=tensor([["),
        ("", "at=3 steps=0", "steps=0: expected a whole number of steps"),
        ("", "step at=3", "fork needs STEP, the name of a function"),
        ("", "", "fork needs STEP, the name of a function"),
        ("%%landscape -q\nstep()", "at=3", "at= runs the cell of optimizer again, whose start was not kept"),
    ],
)
def test_what_cannot_be_replayed_is_said_in_one_line(
    forkable: InteractiveShell, message: Any, before: str, line: str, said: str
) -> None:
    forkable.run_cell(before)
    assert said in message(f"%landscape fork {line}")


@pytest.mark.parametrize(
    ("disturb", "said"),
    [
        (
            "x = x * (1 if count() < 13 else 2)",
            "not reproducible: loss is another at step 3; usual causes: GPU kernels",
        ),
        ("if count() > 12: break", "the cell, run again, made 3 steps of this optimizer and ended before step 5"),
    ],
)
def test_a_cell_that_does_something_else_is_refused(
    shell: InteractiveShell, message: Any, monkeypatch: pytest.MonkeyPatch, disturb: str, said: str
) -> None:
    monkeypatch.setenv("COUNTED", "0")
    shell.run_cell(
        "import os\ndef count():\n    os.environ['COUNTED'] = str(int(os.environ['COUNTED']) + 1)\n"
        "    return int(os.environ['COUNTED'])"
    ).raise_error()
    cell = f"%%landscape -q --forkable\nfor _ in range(9):\n    {disturb}\n    step()"
    shell.run_cell(cell).raise_error()
    weight, x = shell.user_ns["model"].weight.tolist(), shell.user_ns["x"].tolist()
    assert said in message("%landscape fork at=5 steps=2 -q")
    assert (shell.user_ns["model"].weight.tolist(), shell.user_ns["x"].tolist()) == (weight, x)


@pytest.mark.parametrize("by", ["outside", "the cell"])
def test_a_cell_whose_learning_rate_was_set_while_it_ran_does_the_same_again(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    first = []

    def outside(optimizer: Any, *_: Any) -> None:
        """A hand of which the cell knows nothing, and which is not there when it is run again."""
        run = shell.user_ns["run"]
        if run is not None and run.step in (3, 8) and run.twin is None and by == "outside":
            first.append(run.step)
            elsewhere(lambda: run.set_lr(0.3 / run.step))

    cell = CELL
    if by == "the cell":
        cell = CELL.replace("    schedule.step()", "    if k in (3, 8): run.set_lr(0.3 / k)\n    schedule.step()")
    hook = register_optimizer_step_post_hook(outside)
    try:
        shell.run_cell("seen, run = [], None").raise_error()
        shell.run_cell("%%landscape -q -v run --forkable" + cell).raise_error()
        parent, before = shell.user_ns["run"], state(shell)
        assert [one["step"] for one in parent.commands] == [4, 9]
        assert first == ([3, 8] if by == "outside" else [])
        capsys.readouterr()
        for at in (3, 4, 7, 12):
            twin = value(shell, f"%landscape fork at={at} steps=1 every=1 -q -o")
            assert capsys.readouterr().err == ""
            rates = parent["lr"].sel(step=slice(0, at))["lr"].values.tolist()
            told = [one["step"] for one in parent.commands if at < one["step"] <= at + 1]
            assert [one["step"] for one in twin.commands] == told
            assert twin["lr"]["lr"].values.tolist() == rates[-1:]
            assert twin["loss"]["loss"].values[0] == parent["loss"]["loss"].sel(step=at).item()
        assert state(shell) == before
        assert len(parent.commands) == 2
    finally:
        hook.remove()
