"""Who waits while a training is paused, from where it is acted on, and what is kept of that."""

import random
import threading
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.capture import Discovery
from nbtoolkit.errors import TrainingStopped, WatchError
from tests import problems
from tests.capture.outside import Elsewhere, elsewhere, while_paused


def test_the_time_of_a_pause_is_no_time_of_the_run() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(3)
        told: list[tuple[float, float]] = []

        def look() -> None:
            told.append((perf_counter(), run.status().elapsed))

        while_paused(run, look, look, look, look, run.resume)
        run.pause()
        problem.train(3)
        assert run.status().state == "watching"
        elapsed = run.status().elapsed
        after = perf_counter() - told[-1][0]
    assert len({seconds for _, seconds in told}) == 1  # it stands still
    assert elapsed <= told[0][1] + after
    assert [one["what"] for one in run.commands] == ["pause", "resume"]
    assert run.commands[1]["seconds"] >= told[-1][0] - told[0][0]


def test_all_optimizers_of_a_loop_wait_together_and_any_run_lets_them_go() -> None:
    problem = problems.gan()
    with Discovery({**problem.models, **problem.optimizers}) as found:
        problem.train(2)
        one, two = found.runs
        states: list[tuple[str, str]] = []

        def look() -> None:
            states.append((one.status().state, two.status().state))

        while_paused(one, look, lambda: two.set_lr(0.5), look, two.resume)
        one.pause()
        problem.train(2)
    assert states == [("paused", "paused")] * 2
    assert [run.state for run in found.runs] == ["finished", "finished"]
    assert [entry["what"] for entry in two.commands] == ["lr", "resume"]
    assert [entry["what"] for entry in one.commands] == ["pause"]


def test_a_loop_in_another_thread_is_acted_on_from_this_one() -> None:
    problem = problems.cnn()
    run = nbtoolkit.watch(problem.model, problem.optimizer, loss=F.cross_entropy, probe=probe())
    loop = Elsewhere(problem.step)
    run.set_lr(0.125)
    run.every("weight_norm", 3)
    curvature = run.measure(nbtoolkit.instruments.sharpness)
    updates = run.measure(nbtoolkit.instruments.update_ratio)
    run.stop()
    assert loop.ended_by() == [TrainingStopped]
    assert [one["what"] for one in run.commands] == ["lr", "every", "measure", "measure", "stop"]
    assert curvature["step"].values.tolist() == [run.commands[2]["step"]]
    assert run.commands[3]["step"] in updates["step"].values
    assert run.commands[-1]["step"] == run.step
    assert run.state == "stopped"


def probe() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(40, 1, 8, 8), torch.randint(0, 3, (40,))


def test_where_the_thread_that_trained_is_gone_another_acts_at_once() -> None:
    problem = problems.mlp()
    run = nbtoolkit.watch(problem.model, problem.optimizer)
    elsewhere(lambda: problem.train(3))
    run.set_lr(0.3)
    assert problem.optimizer.param_groups[0]["lr"] == 0.3
    with pytest.raises(WatchError, match="which exist only within a step"):
        run.measure(nbtoolkit.instruments.update_ratio)
    run.detach()


def test_the_log_is_stored_and_read_back(tmp_path: Path) -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, store=tmp_path / "live.zarr") as run:
        problem.train(2)
        run.set_lr(0.05)
        while_paused(run, run.resume)
        run.pause()
        problem.train(2)
    assert len(run.commands) == 3
    assert nbtoolkit.open_run(tmp_path / "live.zarr").commands == run.commands
    run.save(tmp_path / "saved.zarr")
    assert nbtoolkit.open_run(tmp_path / "saved.zarr").commands == run.commands
    assert run.data.attrs["commands"] == run.commands


def test_a_run_that_was_left_alone_has_no_log() -> None:
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(2)
    assert run.commands == []
    assert "commands" not in run.record.attrs


def test_a_thousand_commands_from_four_threads_leave_a_log_that_the_training_can_be_made_from() -> None:
    problem = problems.mlp()
    run = nbtoolkit.watch(problem.model, problem.optimizer)
    from nbtoolkit.capture import orders, rates

    answered: list[str] = []
    refused: list[str] = []

    def hammer(seed: int) -> None:
        draw = random.Random(seed)
        for place in range(250):
            wanted: Any = draw.choice(
                [
                    rates.SetRate(draw.random() / 10), rates.SetRate(draw.random() / 10, 0), orders.Hold(),
                    orders.Release(), orders.Release(), orders.Advance(draw.randint(1, 3)), rates.SetRate(-1.0),
                    orders.Measure("weight_norm"), orders.Measure("lr"), orders.Every("loss", draw.randint(1, 3)),
                    orders.Every("nothing", 1), orders.Advance(0),
                ]
            )  # fmt: skip
            name = f"{seed}.{place}"
            try:
                run.control.give(wanted, lambda *_, name=name: answered.append(name))
            except WatchError:
                refused.append(name)

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    run.ears.append(lambda: run.resume() if not any(thread.is_alive() for thread in threads) else None)
    while any(thread.is_alive() for thread in threads) or run.control.orders:
        problem.step()
    run.detach()
    steps = run.step
    assert run.state == "finished"
    assert sorted([*answered, *refused]) == sorted(f"{seed}.{place}" for seed in range(4) for place in range(250))
    log = run.commands
    again = problems.mlp()
    for step in range(steps):
        again.step()
        for one in log:
            if one["what"] == "lr" and one["step"] == step + 1:
                again.optimizer.param_groups[0]["lr"] = one["new"]
    for ours, theirs in zip(problem.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
